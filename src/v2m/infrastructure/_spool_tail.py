"""The memory in which a recording goes on when its disk is full.

Made with the spool and empty until it is needed. The file keeps what it has; the addresses after that
are mapped anew, to a memfd, while the callback goes on writing before them.
"""

import os
import threading
from pathlib import Path
from typing import Final

from v2m.infrastructure._pages import map_over

# Of the memory that is available when a disk has filled up; the model and the desktop need the rest.
_SHARE_OF_MEMORY: Final = 1 / 4


class Tail:
    """A memfd as long as the file and addressed like it, so that what the file holds is a hole here.

    Everything in bytes. Closing it is safe at any time and from any thread.
    """

    def __init__(self, size: int) -> None:
        """Make it; it takes no memory yet. Raises OSError."""
        self._size = size
        self._fd = os.memfd_create("v2m-spool-tail", os.MFD_CLOEXEC)
        self._lock = threading.Lock()
        self.boundary = 0  # where the file ends and this begins; 0: it is not used
        self.end = 0  # of what may be written here
        os.ftruncate(self._fd, size)

    @property
    def closed(self) -> bool:
        """Whether `close` has been called."""
        return self._fd < 0

    def limit(self, boundary: int) -> int:
        """Return how far the recording could go if it went on here from `boundary`."""
        return min(self._size, boundary + memory_to_spare())

    def begin(self, address: int, boundary: int) -> None:
        """Map this over the mapping of the file that starts at `address`, from `boundary`, the end of a page.

        Raises:
            OSError: it cannot be mapped; the mapping is as it was.
        """
        map_over(address + boundary, self._size - boundary, fd=self._fd, offset=boundary)
        self.boundary, self.end = boundary, self.limit(boundary)

    def reserve(self, start: int, end: int) -> int:
        """Take memory from `start` to `end` or to the limit; return how far it goes. Raises OSError."""
        end = min(end, self.end)
        if end > start:
            os.posix_fallocate(self._fd, start, end - start)
        return max(start, end)

    def reader_fd(self) -> int | None:
        """Open a new read-only descriptor, which the caller closes; None when it is closed."""
        with self._lock:
            return None if self.closed else os.open(f"/proc/self/fd/{self._fd}", os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Let go of it; the memory is free when no reader has it any more. Twice is fine."""
        with self._lock:
            fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def memory_to_spare(report: Path = Path("/proc/meminfo")) -> int:
    """Return how many bytes a recording may take of the memory that is available now."""
    try:
        line = next(line for line in report.read_text("ascii").splitlines() if line.startswith("MemAvailable:"))
        return int(int(line.split()[1]) * 1024 * _SHARE_OF_MEMORY)
    except (OSError, StopIteration):  # /proc is hidden: the longest recording limits it
        return 1 << 62
