"""A spool as the worker sees it: a descriptor, mapped read-only."""

import contextlib
import mmap
import os
import stat
import struct
from types import TracebackType
from typing import Final, Self

from v2m.domain.audio import (
    OFFSET_DICTATION,
    OFFSET_HEAD,
    OFFSET_MAGIC,
    SAMPLE_BYTES,
    SAMPLE_RATE_HZ,
    SPOOL_HEADER_BYTES,
    SPOOL_MAGIC,
    SPOOL_VERSION,
)
from v2m.domain.errors import StorageError

_IDENTITY: Final = struct.Struct("=8sII")


class SpoolReader:
    """A spool mapped read-only; the writer may still be appending to it."""

    def __init__(self, fd: int) -> None:
        """Take over the descriptor. Raises StorageError when it is not a spool."""
        try:
            self._size = checked_size(fd)
            self._map = mmap.mmap(fd, self._size, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise StorageError(f"The recording cannot be read: {error}.", hint="v2m history") from error
        finally:
            os.close(fd)
        self._bytes = memoryview(self._map)
        # A native cast loads a whole word at once: never half of an old and half of a new head.
        self._words = self._bytes[:SPOOL_HEADER_BYTES].cast("Q")

    @property
    def head(self) -> int:
        """Samples that may be read; grows while the recording goes on."""
        return min(self._words[OFFSET_HEAD // 8], (self._size - SPOOL_HEADER_BYTES) // SAMPLE_BYTES)

    @property
    def dictation(self) -> int:
        """Whose recording it is."""
        return self._words[OFFSET_DICTATION // 8]

    def pcm(self, start: int, end: int) -> memoryview:
        """Return samples `start` to `end` as S16LE bytes, uncopied and never past the head."""
        end = max(0, min(end, self.head))
        start = max(0, min(start, end))
        return self._bytes[SPOOL_HEADER_BYTES + start * SAMPLE_BYTES : SPOOL_HEADER_BYTES + end * SAMPLE_BYTES]

    def close(self) -> None:
        """Unmap; memory that a view still shows stays until the view goes. Twice is fine."""
        self._words.release()
        self._bytes.release()
        with contextlib.suppress(BufferError):
            self._map.close()

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
