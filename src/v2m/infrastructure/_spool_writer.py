"""A spool while it is written: a file that is mapped, allocated ahead and survives a crash.

The callback may touch only pages that exist: a page that the disk has no room for ends the process
(SIGBUS). So disk space is reserved minutes ahead with `posix_fallocate`, pages are populated seconds
ahead, and only then `allocated` in the header says that they may be written.
"""

import contextlib
import ctypes
import mmap
import os
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from v2m.domain.audio import (
    OFFSET_ALLOCATED,
    OFFSET_DICTATION,
    OFFSET_FIRST_NS,
    OFFSET_FLAGS,
    OFFSET_HEAD,
    OFFSET_LAST_NS,
    OFFSET_LEVEL,
    OFFSET_MAGIC,
    OFFSET_OVERRUN,
    OFFSET_PEAK,
    SAMPLE_BYTES,
    SAMPLE_RATE_HZ,
    SPOOL_HEADER_BYTES,
    SPOOL_MAGIC,
    SPOOL_VERSION,
    SpoolFlag,
)
from v2m.domain.errors import StorageError

_POPULATED_AHEAD_BYTES: Final = 1 << 20  # 32 s: a sync that hangs for that long costs nothing
_RESERVED_AHEAD_BYTES: Final = 10 << 20  # 5 min: how early a full disk is noticed
_MADV_POPULATE_WRITE: Final = 23  # Linux 5.14; not in the mmap module

_START = struct.Struct("=QqqI")  # dictation, wall clock, monotonic clock, flags: contiguous from OFFSET_DICTATION
_IDENTITY = struct.Struct("=8sII")


class MappedSpool:
    """A `Spool`; made by `SpoolDirectory`, whose thread calls `maintain` while a recording is open."""

    def __init__(
        self, fd: int, path: Path | None, *, capacity: int, on_close: Callable[["MappedSpool", int, int], None]
    ) -> None:
        """Map the file behind `fd` for `capacity` samples and own it until `close` hands it to `on_close`.

        `on_close` is given the descriptor, which is to be cut to the size in bytes and closed.

        Raises:
            OSError: there is no room; the descriptor is still the caller's.
        """
        self.path = path
        self.dictation = 0
        self.capacity = capacity
        self._fd = fd
        self._on_close = on_close
        self._lock = threading.Lock()  # growing against closing; never held during a sync
        self._size = SPOOL_HEADER_BYTES + capacity * SAMPLE_BYTES
        self._reserved = 0  # bytes of the file that the disk has room for
        self._refused: OSError | None = None
        os.ftruncate(fd, self._size)
        self._reserve()
        self._map = mmap.mmap(fd, self._size)
        self._anchor = ctypes.c_char.from_buffer(self._map)
        self.header_address = ctypes.addressof(self._anchor)
        self._bytes = memoryview(self._map)
        self._show_header(self._bytes[:SPOOL_HEADER_BYTES])
        _IDENTITY.pack_into(self._map, OFFSET_MAGIC, SPOOL_MAGIC, SPOOL_VERSION, SAMPLE_RATE_HZ)
        self._publish()

    @property
    def head(self) -> int:
        """Samples stored so far."""
        return self._u64[OFFSET_HEAD // 8]

    @property
    def overrun(self) -> int:
        """Samples that found no room."""
        return self._u64[OFFSET_OVERRUN // 8]

    @property
    def peak(self) -> int:
        """Greatest absolute sample so far, 0…32768."""
        return self._u32[OFFSET_PEAK // 4]

    @property
    def first_sample_ns(self) -> int:
        """CLOCK_MONOTONIC of the first sample, 0 before."""
        return self._i64[OFFSET_FIRST_NS // 8]

    @property
    def last_sample_ns(self) -> int:
        """CLOCK_MONOTONIC of the latest samples, 0 before."""
        return self._i64[OFFSET_LAST_NS // 8]

    @property
    def flags(self) -> SpoolFlag:
        """What is known about the recording."""
        return SpoolFlag(self._u32[OFFSET_FLAGS // 4])

    def begin(self, dictation: int) -> None:
        """Make the spare the spool of a recording that starts now."""
        self.dictation = dictation
        _START.pack_into(self._map, OFFSET_DICTATION, dictation, time.time_ns(), time.monotonic_ns(), 0)

    def take_level(self) -> int:
        """Return the greatest absolute sample since the last call."""
        level = self._u32[OFFSET_LEVEL // 4]
        self._u32[OFFSET_LEVEL // 4] = 0
        return level

    def append(self, pcm: bytes | bytearray | memoryview) -> int:
        """Store S16LE mono 16 kHz; return how many samples found room."""
        with memoryview(pcm).cast("B") as source, self._lock:
            if self.closed:
                return 0
            count, head = len(source) // SAMPLE_BYTES, self.head
            if self._allocated < head + count:
                self._grow(ahead=count * SAMPLE_BYTES)
            stored = max(0, min(count, self._allocated - head))
            self._u64[OFFSET_OVERRUN // 8] += count - stored
            if stored:
                self._store(source[: stored * SAMPLE_BYTES], head)
            return stored

    def reader_fd(self) -> int:
        """Open a new read-only descriptor for the worker; the caller closes it."""
        return os.open(f"/proc/self/fd/{self._fd}", os.O_RDONLY | os.O_CLOEXEC)

    def set_flags(self, flags: SpoolFlag) -> None:
        """Add flags to the header."""
        with self._lock:
            if not self.closed:
                self._u32[OFFSET_FLAGS // 4] |= flags

    def close(self) -> None:
        """End the recording: unmap, and have the file cut to what was stored. Twice is fine."""
        with self._lock:
            if self.closed:
                return
            size = SPOOL_HEADER_BYTES + self.head * SAMPLE_BYTES
            last = bytearray(self._bytes[:SPOOL_HEADER_BYTES])
            for view in (self._u64, self._i64, self._u32, self._bytes):
                view.release()
            self._show_header(memoryview(last))  # what was recorded can still be asked for
            del self._anchor
            self._map.close()
            self.header_address = 0
        self._on_close(self, self._fd, size)

    def delete(self) -> None:
        """Close and remove the audio for good; twice is fine. Raises StorageError when the file stays."""
        self.close()
        if self.path is not None:
            remove(self.path)

    @property
    def closed(self) -> bool:
        """Whether `close` has been called."""
        return self._map.closed

    def maintain(self) -> OSError | None:
        """Populate and reserve ahead of the head, sync what is there; return why there is no more room."""
        with self._lock:
            if self.closed:
                return None
            self._grow(ahead=_POPULATED_AHEAD_BYTES)
            try:
                syncing = os.dup(self._fd)  # outlives `close`
            except OSError:  # too many open files: what is unsynced now is synced a second later
                syncing = None
        if syncing is not None:
            sync(syncing, None)
        with self._lock:
            if not self.closed:
                # Syncing makes pages read-only until they are touched again: touch what is written next.
                start = (SPOOL_HEADER_BYTES + self.head * SAMPLE_BYTES) & -mmap.PAGESIZE
                _populate(self.header_address, SPOOL_HEADER_BYTES)
                _populate(self.header_address + start, min(4 * SAMPLE_RATE_HZ, self._populated - start))
            return self._refused

    def seconds_left(self) -> float:
        """Return how long the recording can go on if the disk stays as it is."""
        head_bytes = SPOOL_HEADER_BYTES + self.head * SAMPLE_BYTES
        return max(0, self._reserved - head_bytes) / SAMPLE_BYTES / SAMPLE_RATE_HZ

    @property
    def _allocated(self) -> int:
        return self._u64[OFFSET_ALLOCATED // 8]

    @property
    def _populated(self) -> int:
        return SPOOL_HEADER_BYTES + self._allocated * SAMPLE_BYTES

    def _show_header(self, header: memoryview) -> None:
        # Native casts load and store a whole word at once; struct's "=" formats go byte by byte.
        self._u64, self._i64, self._u32 = header.cast("Q"), header.cast("q"), header.cast("I")
        header.release()

    def _store(self, pcm: memoryview, head: int) -> None:
        start = SPOOL_HEADER_BYTES + head * SAMPLE_BYTES
        self._bytes[start : start + len(pcm)] = pcm
        with self._bytes[start : start + len(pcm)].cast("h") as samples:
            peak = max(*samples, -min(samples), 0)
        for offset in (OFFSET_PEAK, OFFSET_LEVEL):
            self._u32[offset // 4] = max(self._u32[offset // 4], peak)
        now = time.monotonic_ns()
        self._i64[OFFSET_FIRST_NS // 8] = self.first_sample_ns or now
        self._i64[OFFSET_LAST_NS // 8] = now
        self._u64[OFFSET_HEAD // 8] = head + len(pcm) // SAMPLE_BYTES

    def _grow(self, *, ahead: int) -> None:
        try:
            self._refused = None
            self._reserve(ahead)
        except OSError as error:
            self._refused = error
        self._publish(ahead)

    def _reserve(self, ahead: int = 0) -> None:
        """Ask the disk for room, in large steps. Raises OSError."""
        head = self.head if self._reserved else 0
        margin = _RESERVED_AHEAD_BYTES if self.path else 2 * _POPULATED_AHEAD_BYTES
        wanted = min(self._size, SPOOL_HEADER_BYTES + head * SAMPLE_BYTES + max(ahead, margin))
        if wanted > self._reserved:
            wanted = min(self._size, wanted + _POPULATED_AHEAD_BYTES)
            os.posix_fallocate(self._fd, self._reserved, wanted - self._reserved)
            self._reserved = wanted

    def _publish(self, ahead: int = 0) -> None:
        """Populate the pages ahead of the head, then tell the callback that it may use them."""
        head_bytes = SPOOL_HEADER_BYTES + self.head * SAMPLE_BYTES
        wanted = min(self._reserved, head_bytes + max(ahead, _POPULATED_AHEAD_BYTES))
        start = self._populated
        if wanted <= start:
            return
        if not _populate(self.header_address + (start & -mmap.PAGESIZE), wanted - (start & -mmap.PAGESIZE)):
            for page in range(-(-start // mmap.PAGESIZE) * mmap.PAGESIZE, wanted, mmap.PAGESIZE):
                self._map[page] = 0
        self._u64[OFFSET_ALLOCATED // 8] = (wanted - SPOOL_HEADER_BYTES) // SAMPLE_BYTES


def sync(fd: int, size: int | None) -> None:
    """Cut a file to `size`, write it to its disk, close the descriptor; a disk that refuses stops nobody."""
    with contextlib.suppress(OSError):
        try:
            if size is not None:  # uncut it is only longer than its audio, whose length `head` tells
                os.ftruncate(fd, size)
            os.fdatasync(fd)
        finally:
            os.close(fd)


def remove(path: Path) -> None:
    """Delete the file of a recording; nothing happens if it is gone. Raises StorageError."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        if not os.path.lexists(path):  # a read-only disk refuses before it looks
            return
        raise StorageError(f"The recording {path} cannot be deleted: {error.strerror}.", hint=f"rm '{path}'") from error


def _populate(address: int, length: int) -> bool:
    """Make pages present and writable without changing them; False where the kernel cannot (before 5.14)."""
    libc = ctypes.CDLL(None, use_errno=True)  # unlike mmap.madvise, a foreign call releases the GIL
    return length <= 0 or libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(length), _MADV_POPULATE_WRITE) == 0
