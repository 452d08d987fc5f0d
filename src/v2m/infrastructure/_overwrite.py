"""Zeros in place of what a file holds. A disk that writes elsewhere (SSD, btrfs, snapshots) may keep the old bytes."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_STEP_BYTES: Final = 1 << 20


def overwrite(path: Path) -> None:
    """Write zeros over all that was ever written to a file and have them on the disk. Raises OSError."""
    fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        for start, end in written(fd):
            for at in range(start, end, _STEP_BYTES):
                os.pwrite(fd, bytes(min(_STEP_BYTES, end - at)), at)
        os.fsync(fd)
    finally:
        os.close(fd)


def written(fd: int, start: int = 0) -> Iterator[tuple[int, int]]:
    """Yield where a file has bytes of its own, from `start` on; what was only reserved is left out if that is known."""
    end = start
    with contextlib.suppress(OSError):  # ENXIO: nothing more
        while True:
            first = os.lseek(fd, end, os.SEEK_DATA)
            end = os.lseek(fd, first, os.SEEK_HOLE)
            yield first, end
