"""What is left to do for a recording that has ended: cut and sync its file, bring its tail back from memory."""

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from v2m.domain.audio import OFFSET_CONTINUED_AT
from v2m.domain.errors import StorageError
from v2m.infrastructure._overwrite import overwrite
from v2m.infrastructure._spool_tail import Tail

_STEP_BYTES: Final = 4 << 20  # copied and synced in one go: what a recording that begins may have to wait for


class Leftover:
    """The descriptors of a closed recording, until its file has all of it or nobody wants it.

    `settle` may block for the disk and runs in the directory's thread; the rest is for any thread.
    """

    def __init__(self, fd: int, size: int, tail: Tail | None) -> None:
        """Own the file's descriptor and the tail, if there is one; `size` is what both hold, in bytes."""
        self._fd = fd
        self._size = size
        self._tail = tail
        self._lock = threading.Lock()

    @property
    def divided(self) -> bool:
        """Whether a part of it is in memory only."""
        return self._tail is not None and not self._tail.closed

    def tail_fd(self) -> int | None:
        """Open a new read-only descriptor of the memory, which the caller closes; None when it has none."""
        return None if self._tail is None else self._tail.reader_fd()

    def settle(self, go_on: Callable[[], bool] = lambda: True) -> bool:
        """Finish the file and close; False while the disk has no room for the tail, or when `go_on` says no."""
        if self._tail is not None:
            with contextlib.suppress(OSError):  # too many open files
                self._bring_back(self._tail, go_on)
            return not self.divided
        fd = self._take_fd()
        if fd is not None:
            sync(fd, self._size)
        return True

    def close(self) -> None:
        """Let go of the file and drop the tail. Twice is fine."""
        fd = self._take_fd()
        if fd is not None:
            os.close(fd)
        if self._tail is not None:
            self._tail.close()

    def _take_fd(self) -> int | None:
        with self._lock:
            fd, self._fd = self._fd, -1
        return fd if fd >= 0 else None

    def _bring_back(self, tail: Tail, go_on: Callable[[], bool]) -> None:
        """Copy the tail to the end of the file, or leave the file with what it had. Raises OSError."""
        with self._lock:
            if self._fd < 0:
                return
            fd = os.dup(self._fd)
        whole = False
        try:
            with contextlib.suppress(OSError):
                whole = self._copy(tail, fd, go_on)
        finally:
            sync(fd, self._size if whole else tail.boundary)
        if whole:
            self.close()

    def _copy(self, tail: Tail, fd: int, go_on: Callable[[], bool]) -> bool:
        """Tell whether everything is in the file now. Raises OSError."""
        source = tail.reader_fd()
        if source is None:
            return False
        try:
            os.posix_fallocate(fd, tail.boundary, self._size - tail.boundary)
            position = os.lseek(fd, tail.boundary, os.SEEK_SET)
            while position < self._size:
                if not (self.divided and go_on()):
                    return False
                position += os.sendfile(fd, source, position, min(_STEP_BYTES, self._size - position))
                os.fdatasync(fd)
        finally:
            os.close(source)
        # Only now: whoever finds no boundary in the header takes the file for the whole.
        os.pwrite(fd, bytes(8), OFFSET_CONTINUED_AT)
        return True


class Leftovers:
    """All of them. `sync` and `bring_back` may block for the disk and belong to the directory's thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._unsynced: list[Leftover] = []
        self._divided: dict[Path, Leftover] = {}
        self._room_expected = False

    @property
    def unsynced(self) -> bool:
        """Whether `sync` has something to do."""
        return bool(self._unsynced)

    @property
    def divided(self) -> bool:
        """Whether some recording is partly in memory."""
        with self._lock:
            return any(leftover.divided for leftover in self._divided.values())

    @property
    def due(self) -> bool:
        """Whether there is something to do now, `bring_back` only when that may have become possible."""
        return self.unsynced or (self._room_expected and self.divided)

    def add(self, path: Path | None, leftover: Leftover) -> None:
        """Take over what a recording left that has just been closed."""
        with self._lock:
            if path is not None and leftover.divided:
                self._divided[path] = leftover
            else:
                self._unsynced.append(leftover)
        self.expect_room()

    def expect_room(self) -> None:
        """Have it tried again to bring back what is in memory."""
        self._room_expected = True

    def tail_fd(self, path: Path) -> int | None:
        """Open a new read-only descriptor of the memory with the end of a recording; None when it is whole."""
        with self._lock:
            leftover = self._divided.get(path)
        return None if leftover is None else leftover.tail_fd()

    def sync(self) -> None:
        """Cut and sync the files of recordings that are in no memory."""
        while self._unsynced:
            self._unsynced.pop().settle()

    def bring_back(self, go_on: Callable[[], bool] = lambda: True) -> bool:
        """Try to make all recordings whole, as long as `go_on`; tell whether they are."""
        self._room_expected = False
        with self._lock:
            divided = dict(self._divided)
        for path, leftover in divided.items():
            if leftover.settle(go_on):
                self.drop(path)
        return not self.divided

    def drop(self, path: Path) -> None:
        """Forget the end of a recording that is whole or not wanted any more."""
        with self._lock:
            leftover = self._divided.pop(path, None)
        if leftover is not None:
            leftover.close()

    def close(self) -> list[Path]:
        """Drop everything; return the recordings that have lost their end."""
        with self._lock:
            lost = [path for path, leftover in self._divided.items() if leftover.divided]
        for path in lost:
            self.drop(path)
        return lost


def sync(fd: int, size: int | None) -> None:
    """Cut a file to `size`, write it to its disk, close the descriptor; a disk that refuses stops nobody."""
    with contextlib.suppress(OSError):
        try:
            if size is not None:  # uncut it is only longer than its audio, whose length `head` tells
                os.ftruncate(fd, size)
            os.fdatasync(fd)
        finally:
            os.close(fd)


def remove(path: Path, *, shred: bool = False) -> None:
    """Delete a recording's file, with `shred` after its bytes; nothing happens if it is gone. Raises StorageError."""
    try:
        with contextlib.suppress(FileNotFoundError):
            if shred:
                overwrite(path)
            path.unlink()
    except OSError as error:
        if not os.path.lexists(path):  # a read-only disk refuses before it looks
            return
        raise StorageError(f"The recording {path} cannot be deleted: {error.strerror}.", hint=f"rm '{path}'") from error
