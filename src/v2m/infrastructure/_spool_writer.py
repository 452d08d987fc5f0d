"""A spool while it is written: a file that is mapped, allocated ahead and survives a crash.

The callback may touch only pages that exist: a page that the disk has no room for ends the process
(SIGBUS). So disk space is reserved minutes ahead with `posix_fallocate`, pages are populated seconds
ahead, and only then `allocated` in the header says that they may be written. A disk that has no room
when the reserve is used up ends nothing: the addresses after it become memory (`_spool_tail.Tail`), as do
those that were reserved and cannot be populated (ext4 may want room for its own records of them).
"""

import contextlib
import ctypes
import mmap
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from v2m.domain.audio import (
    OFFSET_ALLOCATED,
    OFFSET_CONTINUED_AT,
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
from v2m.infrastructure._pages import populate
from v2m.infrastructure._spool_header import SpoolHeader
from v2m.infrastructure._spool_leftover import Leftover, remove, sync
from v2m.infrastructure._spool_tail import Tail

_POPULATED_AHEAD_BYTES: Final = 1 << 20  # 32 s: a sync that hangs for that long costs nothing
_RESERVED_AHEAD_BYTES: Final = 10 << 20  # 5 min: how early a full disk is noticed

_START = struct.Struct("=QqqI")  # dictation, wall clock, monotonic clock, flags: contiguous from OFFSET_DICTATION
_IDENTITY = struct.Struct("=8sII")


@contextlib.contextmanager
def no_room() -> Iterator[None]:
    """Turn what the system refuses into the StorageError that says so."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"There is no room for a recording: {error.strerror}.", hint="df -h ~/.local/state"
        ) from error


class MappedSpool(SpoolHeader):
    """A `Spool`; made by `SpoolDirectory`, whose thread calls `maintain` while a recording is open."""

    def __init__(
        self, fd: int, path: Path | None, *, capacity: int, on_close: Callable[["MappedSpool", Leftover], None]
    ) -> None:
        """Map the file behind `fd` for `capacity` samples and own it until `close`.

        `on_close` is given what is to be settled then. Without a path everything is in memory.

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
        self._reserved = 0  # bytes that there is room for, in the file and in the tail
        self._refused: OSError | None = None
        self._leftover: Leftover | None = None
        os.ftruncate(fd, self._size)
        self._tail: Tail | None = None
        self._reserve(SPOOL_HEADER_BYTES + self._margin)
        self._map = mmap.mmap(fd, self._size)
        self._anchor = ctypes.c_char.from_buffer(self._map)
        self.header_address = ctypes.addressof(self._anchor)
        self._bytes = memoryview(self._map)
        self._show(self._bytes[:SPOOL_HEADER_BYTES])
        _IDENTITY.pack_into(self._map, OFFSET_MAGIC, SPOOL_MAGIC, SPOOL_VERSION, SAMPLE_RATE_HZ)
        self._publish(SPOOL_HEADER_BYTES + _POPULATED_AHEAD_BYTES)
        self._tail = Tail(self._size) if path else None  # the last that may fail: nobody would close it

    def begin(self, dictation: int) -> None:
        """Make the spare the spool of a recording that starts now."""
        self.dictation = dictation
        _START.pack_into(self._map, OFFSET_DICTATION, dictation, time.time_ns(), time.monotonic_ns(), 0)

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

    def reader_fds(self) -> tuple[int, ...]:
        """Open new read-only descriptors for the worker, which the caller closes: the file's, its tail's.

        Raises:
            StorageError: there is no descriptor left.
        """
        with no_room():
            fd = os.open(f"/proc/self/fd/{self._fd}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                tail_fd = None if self._tail is None else self._tail.reader_fd()
            except OSError:
                os.close(fd)
                raise
            return (fd,) if tail_fd is None else (fd, tail_fd)

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
            size = self._head_bytes
            tail = self._used_tail(size)
            last = bytearray(self._bytes[:SPOOL_HEADER_BYTES])
            for view in (self._u64, self._i64, self._u32, self._bytes):
                view.release()
            self._show(memoryview(last))  # what was recorded can still be asked for
            del self._anchor
            self._map.close()
            self.header_address = 0
            self._leftover = Leftover(self._fd, size, tail)
        self._on_close(self, self._leftover)

    def delete(self) -> None:
        """Close and remove the audio for good; twice is fine. Raises StorageError when the file stays."""
        self.close()
        if self.path is not None:
            remove(self.path)
        if self._leftover is not None:
            self._leftover.close()

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
                start = self._head_bytes & -mmap.PAGESIZE
                with contextlib.suppress(OSError):
                    populate(self.header_address, SPOOL_HEADER_BYTES)
                    populate(self.header_address + start, min(4 * SAMPLE_RATE_HZ, self._populated - start))
            return self._refused

    @property
    def continued(self) -> bool:
        """Whether the recording goes on in memory when it comes to the end of its file."""
        return self._tail is not None and self._tail.boundary > 0

    def seconds_left(self) -> tuple[float, float]:
        """Return how long the recording stays in its file and how long it can go on, if the disk stays as it is."""
        in_file = in_all = self._reserved
        if self._tail is not None:
            in_file = self._tail.boundary or self._reserved
            in_all = self._tail.end or self._tail.limit(self._reserved)
        seconds = [max(0, end - self._head_bytes) / SAMPLE_BYTES / SAMPLE_RATE_HZ for end in (in_file, in_all)]
        return seconds[0], seconds[1]

    @property
    def _head_bytes(self) -> int:
        return SPOOL_HEADER_BYTES + self.head * SAMPLE_BYTES

    @property
    def _margin(self) -> int:
        return 2 * _POPULATED_AHEAD_BYTES if self.continued or self.path is None else _RESERVED_AHEAD_BYTES

    @property
    def _allocated(self) -> int:
        return self._u64[OFFSET_ALLOCATED // 8]

    @property
    def _populated(self) -> int:
        return SPOOL_HEADER_BYTES + self._allocated * SAMPLE_BYTES

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

    def _used_tail(self, size: int) -> Tail | None:
        """Return the tail if a part of the recording is in it, else drop it."""
        tail = self._tail
        if tail is None or 0 < tail.boundary < size:
            return tail
        tail.close()
        self._u64[OFFSET_CONTINUED_AT // 8] = 0
        return None

    def _grow(self, *, ahead: int) -> None:
        """Have room for `ahead` bytes and some more; in memory, once the disk does not give what is wanted now."""
        wanted = min(self._size, self._head_bytes + max(ahead, _POPULATED_AHEAD_BYTES))
        if not self.continued:
            self._refused = self._extend(wanted)
            if self._populated >= wanted or self._tail is None:
                return
            self._continue(self._tail)
        self._extend(wanted)

    def _extend(self, wanted: int) -> OSError | None:
        """Reserve, and publish up to `wanted` what there is; return why there is less."""
        refused = None
        try:
            self._reserve(max(wanted, self._head_bytes + self._margin))
        except OSError as error:
            refused = error
        try:
            self._publish(wanted)
        except OSError as error:
            refused = error
        return refused

    def _reserve(self, wanted: int) -> None:
        """Have room for so many bytes, and for a large step more when there is not. Raises OSError."""
        if min(wanted, self._size) <= self._reserved:
            return
        end = min(self._size, -(-(wanted + _POPULATED_AHEAD_BYTES) // mmap.PAGESIZE) * mmap.PAGESIZE)
        if self._tail is not None and self.continued:
            self._reserved = self._tail.reserve(self._reserved, end)
        else:
            os.posix_fallocate(self._fd, self._reserved, end - self._reserved)
            self._reserved = end

    def _continue(self, tail: Tail) -> None:
        """Go on in memory after the last page of the file that may be written."""
        boundary = -(-self._populated // mmap.PAGESIZE) * mmap.PAGESIZE
        with contextlib.suppress(OSError):  # no memory either: samples are counted as overrun
            tail.begin(self.header_address, boundary)
            self._reserved = boundary
            # Before `allocated` goes beyond it: who reads a later head finds it here.
            self._u64[OFFSET_CONTINUED_AT // 8] = (boundary - SPOOL_HEADER_BYTES) // SAMPLE_BYTES

    def _publish(self, wanted: int) -> None:
        """Populate the pages up to `wanted`, then tell the callback that it may use them.

        Raises:
            OSError: there is no room for a page, although it was reserved; nothing is told.
        """
        wanted, start = min(self._reserved, wanted), self._populated
        if wanted <= start:
            return
        if not populate(self.header_address + (start & -mmap.PAGESIZE), wanted - (start & -mmap.PAGESIZE)):
            for page in range(-(-start // mmap.PAGESIZE) * mmap.PAGESIZE, wanted, mmap.PAGESIZE):
                self._map[page] = 0
        self._u64[OFFSET_ALLOCATED // 8] = (wanted - SPOOL_HEADER_BYTES) // SAMPLE_BYTES
