"""The disk of `support.orders`: real spools and a real history, which fill up when told and survive a crash."""

import inspect
import os
import shutil
from errno import ENOSPC
from pathlib import Path

from support.orders_ports import Desk, Mortal, words_in
from v2m.domain.delivery import Session
from v2m.domain.errors import HistoryError
from v2m.domain.ports import History
from v2m.infrastructure._spool import SpoolDirectory, SpoolReader
from v2m.infrastructure._spool_writer import MappedSpool
from v2m.infrastructure.history.memory import MemoryHistory
from v2m.infrastructure.history.sqlite import SqliteHistory

CAPACITY = 24_000  # samples; the longest recording is shorter
_FOREVER_S = 10**9


class Spools(SpoolDirectory):
    """The real directory without its thread: `serve` is a turn of that."""

    def __init__(self, folder: Path, desk: Desk) -> None:
        super().__init__(folder, max_recording_s=1, on_degraded=lambda detail: None)
        self._capacity = CAPACITY
        self._desk = desk
        self.taken: list[MappedSpool] = []

    def open(self) -> None:
        """Begin without a spare."""

    def serve(self) -> None:
        """Do what the thread would do now."""
        with self._wake:
            self._serve()

    def take(self, dictation, *, private=False):
        spool = super().take(dictation, private=private)
        self.taken.append(spool)
        return spool

    def _make_file(self, pattern):
        if self._desk.disk_full:
            raise OSError(ENOSPC, os.strerror(ENOSPC))
        return super()._make_file(pattern)

    def let_go(self) -> None:
        """Close what a life that ended without warning had open."""
        for spool in self.taken:
            spool.close()
        self.close()


class DiskHistory(Mortal):
    """The history of one life: refuses to be written to while the disk is full, and does nothing for the dead."""

    durable = True  # the one in memory, too: it is the disk

    def __init__(self, history: History, desk: Desk) -> None:
        self._history = history
        self._desk = desk

    def next_id(self) -> int:
        return self._history.next_id()

    def __getattr__(self, name: str):
        method = getattr(self._history, name)
        if not inspect.iscoroutinefunction(method):
            return method
        writes = name in ("begin", "move", "scrub", "forget_audio", "expire_rows")

        async def call(*arguments, **changes):
            if self.dead or (writes and self._desk.disk_full):
                raise HistoryError("The disk is full.", hint="df -h")
            return await method(*arguments, **changes)

        return call


class Disk:
    """A state directory."""

    def __init__(self, folder: Path, *, sqlite: bool) -> None:
        self.folder = folder
        self.spool = folder / "spool"
        self._database = folder / "history.db" if sqlite else None
        self._memory = None if sqlite else MemoryHistory()
        self.history: History = self._memory or self._new()

    def _new(self) -> SqliteHistory:
        assert self._database is not None
        return SqliteHistory(
            self._database, retention_days=1000, keep_audio_s=_FOREVER_S, keep_trouble_audio_s=_FOREVER_S
        )

    async def open(self) -> None:
        """Open the history for another life."""
        if self._database is not None:
            self.history = self._new()
        await self.history.open()

    async def close(self) -> None:
        """Close it at the end of a life."""
        if self._database is not None:
            await self.history.aclose()

    def copy(self, aside: Path) -> None:
        """Keep what is on the disk now: what a crash now would leave."""
        shutil.copytree(self.folder, aside)

    def put_back(self, aside: Path) -> None:
        """Have the disk as it was then, whatever the dying process did to it."""
        shutil.rmtree(self.folder)
        aside.rename(self.folder)

    def words(self, path: str | None) -> list[int]:
        """Return the words of kept audio; none when it is not there."""
        if not path or not os.path.exists(path):
            return []
        with SpoolReader(os.open(path, os.O_RDONLY)) as reader:
            return words_in(bytes(reader.pcm(0, reader.head)))


class Sessions:
    """`SessionEnvironment` of one desktop."""

    async def current(self, hint) -> Session:
        return Session({"WAYLAND_DISPLAY": "wayland-1"})


class Windows:
    """`Windows` of the desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def focused(self, session):
        return self._desk.window

    async def activate(self, session, window):
        return False

    async def aclose(self) -> None:
        pass


class Watch:
    """`InputWatch`: nobody touches anything."""

    async def begin(self, session) -> None:
        pass

    async def settled(self) -> None:
        pass

    async def touched(self, *, within_s):
        return False

    async def aclose(self) -> None:
        pass
