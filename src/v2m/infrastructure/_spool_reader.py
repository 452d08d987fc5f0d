"""A spool as the worker sees it: its descriptors, mapped read-only."""

import contextlib
import mmap
import os
import stat
import struct
import sys
from types import TracebackType
from typing import Final, Self

from v2m.domain.audio import (
    OFFSET_CONTINUED_AT,
    OFFSET_DICTATION,
    OFFSET_HEAD,
    OFFSET_MAGIC,
    OFFSET_STARTED_WALL_NS,
    SAMPLE_BYTES,
    SAMPLE_RATE_HZ,
    SPOOL_HEADER_BYTES,
    SPOOL_MAGIC,
    SPOOL_VERSION,
)
from v2m.domain.errors import StorageError

_IDENTITY: Final = struct.Struct("=8sII")


class SpoolReader:
    """A spool mapped read-only; the writer may still be appending to it.

    Its end may be in memory (`_spool_tail.Tail`), which is addressed as the file is. That can begin and
    be over at any time, but nothing that this has seen moves: what is in the tail stays there.
    """

    def __init__(self, fd: int, tail_fd: int | None = None) -> None:
        """Take over the descriptors, of the file and of its tail. Raises StorageError when it is not a spool."""
        fds = [fd] if tail_fd is None else [fd, tail_fd]
        try:
            # Before the size: a file has grown to the whole before it names no boundary any more.
            self._boundary = _boundary(int.from_bytes(os.pread(fd, 8, OFFSET_CONTINUED_AT), sys.byteorder))
            self._maps = [mmap.mmap(fd, checked_size(fd), access=mmap.ACCESS_READ)]
            if tail_fd is not None:
                self._maps.append(mmap.mmap(tail_fd, os.fstat(tail_fd).st_size, access=mmap.ACCESS_READ))
        except (OSError, ValueError) as error:
            raise StorageError(f"The recording cannot be read: {error}.", hint="v2m history") from error
        finally:
            for each in fds:
                os.close(each)
        self._views = [memoryview(each) for each in self._maps]
        # A native cast loads a whole word at once: never half of an old and half of a new head.
        self._words = self._views[0][:SPOOL_HEADER_BYTES].cast("Q")

    @property
    def head(self) -> int:
        """Samples that may be read; grows while the recording goes on."""
        head = self._words[OFFSET_HEAD // 8]  # first: its boundary was told before it went beyond
        self._boundary = self._boundary or _boundary(self._words[OFFSET_CONTINUED_AT // 8])
        end = len(self._views[0])
        if self._boundary:
            end = len(self._views[1]) if self._views[1:] else min(end, self._boundary)
        return max(0, min(head, (end - SPOOL_HEADER_BYTES) // SAMPLE_BYTES))

    @property
    def started_ns(self) -> int:
        """When it was begun, on the wall clock."""
        started_ns: int = struct.unpack_from("=q", self._views[0], OFFSET_STARTED_WALL_NS)[0]
        return started_ns

    @property
    def dictation(self) -> int:
        """Whose recording it is."""
        return self._words[OFFSET_DICTATION // 8]

    def pcm(self, start: int, end: int) -> memoryview:
        """Return samples `start` to `end` as S16LE bytes, never past the head; copied only across the boundary."""
        end = max(0, min(end, self.head))
        start = max(0, min(start, end))
        first, last = SPOOL_HEADER_BYTES + start * SAMPLE_BYTES, SPOOL_HEADER_BYTES + end * SAMPLE_BYTES
        if not self._boundary or last <= self._boundary:
            return self._views[0][first:last]
        if first >= self._boundary:
            return self._views[1][first:last]
        return memoryview(b"".join((self._views[0][first : self._boundary], self._views[1][self._boundary : last])))

    def close(self) -> None:
        """Unmap; memory that a view still shows stays until the view goes. Twice is fine."""
        self._words.release()
        for view, mapped in zip(self._views, self._maps, strict=True):
            view.release()
            with contextlib.suppress(BufferError):
                mapped.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def checked_size(fd: int) -> int:
    """Return the size of the spool behind a descriptor. Raises OSError, ValueError (not a spool)."""
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_size < SPOOL_HEADER_BYTES:
        raise ValueError("it is no file with a header")
    magic, version, rate_hz = _IDENTITY.unpack(os.pread(fd, _IDENTITY.size, OFFSET_MAGIC))
    if magic != SPOOL_MAGIC:
        raise ValueError("it was not made by v2m")
    if (version, rate_hz) != (SPOOL_VERSION, SAMPLE_RATE_HZ):
        raise ValueError(f"its format {version} at {rate_hz} Hz is not known")
    return found.st_size


def _boundary(continued_at: int) -> int:
    """Return the place in bytes of the sample from which a recording is in its tail; 0: it is not."""
    return SPOOL_HEADER_BYTES + continued_at * SAMPLE_BYTES if continued_at else 0
