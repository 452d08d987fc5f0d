"""Notices that a settings file was saved, without a timer: inotify(7), through ctypes."""

import asyncio
import ctypes
import logging
import os
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

SETTLE_S: Final = 0.1  # an editor writes, renames and sets modes; one look afterwards is enough
# linux/inotify.h: closed after writing, moved in, moved out, deleted, made; the folder itself moved or deleted
_EVENTS: Final = 0x008 | 0x080 | 0x040 | 0x200 | 0x100 | 0x800 | 0x400
_FLAGS: Final = os.O_NONBLOCK | os.O_CLOEXEC  # IN_NONBLOCK, IN_CLOEXEC

Signature = tuple[tuple[int, int, int] | None, ...]


class SavedFiles:
    """A few files, which need not exist, and the folders to watch for them, links followed."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = tuple(paths)

    def signature(self) -> Signature:
        """Return what differs once a file has been saved."""
        return tuple(_signature(path) for path in self._paths)

    async def changes(self) -> AsyncIterator[None]:
        """Yield after something happened around the files; ends at once where the kernel gives no watch."""
        libc = ctypes.CDLL(None, use_errno=True)
        fd = libc.inotify_init1(_FLAGS)
        if fd < 0:
            log.warning("saved settings are not noticed by themselves: %s", os.strerror(ctypes.get_errno()))
            return
        loop, happened = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(fd, happened.set)
        try:
            while True:
                for folder in self._folders():  # again each time: a folder or a link may have come meanwhile
                    libc.inotify_add_watch(fd, os.fsencode(folder), _EVENTS)
                await happened.wait()
                await asyncio.sleep(SETTLE_S)
                _drain(fd)
                happened.clear()
                yield
        finally:
            loop.remove_reader(fd)
            os.close(fd)

    def _folders(self) -> set[Path]:
        """Return the folders of the files and of what links lead to; where one is missing, the one it will be in."""
        found = set()
        for path in self._paths:
            for folder in (path.parent, _resolved(path).parent):
                found.add(next(above for above in (folder, *folder.parents) if above.is_dir()))
        return found


def _drain(fd: int) -> None:
    while True:
        try:
            if len(os.read(fd, 65_536)) < 32_768:
                return
        except BlockingIOError:
            return


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # links in a circle
        return path


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
