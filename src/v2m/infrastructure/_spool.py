"""Where recordings are kept: makes spools ahead of time, keeps the open one growing, finds what a crash left.

The spool that is being written is `_spool_writer.MappedSpool`; `SpoolReader` is how the worker reads one.
What a full disk had no room for stays in memory (`_spool_leftover.Leftover`) until there is room.
"""

import contextlib
import logging
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from v2m.domain.audio import SAMPLE_RATE_HZ
from v2m.domain.errors import StorageError
from v2m.infrastructure._spool_leftover import Leftover, Leftovers, remove
from v2m.infrastructure._spool_mend import CORRUPT, expire, mend_all
from v2m.infrastructure._spool_reader import SpoolReader, checked_size
from v2m.infrastructure._spool_room import Room, notice, room
from v2m.infrastructure._spool_writer import MappedSpool, no_room

log = logging.getLogger(__name__)

_RECORDING: Final = "dictation-{}.spool"  # nanoseconds since 1970
_SPARE: Final = "spare-{}.spool"
_SPOOLS: Final = "*.spool"
_OURS: Final = ("dictation-", "spare-")
_START_QUIET_S: Final = 0.25  # mapping and page work would delay the microphone's own start by milliseconds
_SYNC_PERIOD_S: Final = 1.0  # what a power cut may cost
_SPARE_TIME_S: Final = 30  # beyond the longest recording, so that its own limit is met first


class SpoolDirectory:
    """A `SpoolStore` in a folder of its own, mode 0700.

    One thread works for it, and only while a recording is open: it keeps the spool growing, syncs it
    each second and makes the next spare; when none is open, it brings to the disk what is in memory only.
    `on_degraded` and `on_restored` are called from the loop or from that thread.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_recording_s: int,
        on_degraded: Callable[[str], None],
        on_restored: Callable[[], None] = lambda: None,
    ) -> None:
        self._folder = folder
        self._capacity = (max_recording_s + _SPARE_TIME_S) * SAMPLE_RATE_HZ
        self._on_degraded = on_degraded
        self._on_restored = on_restored
        self._degraded = False
        self._wake = threading.Condition()
        self._open: dict[MappedSpool, Room] = {}  # what has been told about it
        self._leftovers = Leftovers()
        self._spare: MappedSpool | None = None
        self._stopping = False
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Make the folder, the first spare and the thread. A disk that refuses is told at the next `take`."""
        with contextlib.suppress(OSError):
            self._spare = self._make_file(_SPARE)
        self._thread = threading.Thread(target=self._work, name="v2m-spool", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread and remove the spare; open spools stay as they are. Twice is fine; never raises.

        What is in memory gets its last chance to come to the disk.
        """
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._give_up_spare()
        self._leftovers.bring_back()
        for path in self._leftovers.close():
            log.warning("%s ends where the disk was full: the rest was in memory and is lost.", path.name)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def use(self, *, max_recording_s: int) -> None:
        """Have room for recordings of another length from now on; the next spool is made when it is taken."""
        self._capacity = (max_recording_s + _SPARE_TIME_S) * SAMPLE_RATE_HZ
        self._give_up_spare()

    def take(self, dictation: int, *, private: bool = False) -> MappedSpool:
        """Return a spool for a recording that starts now. Raises StorageError: there is no room in memory either."""
        spool = self._make_memory() if private else self._take_file()
        spool.begin(dictation)
        with self._wake:
            self._open[spool] = Room.ENOUGH
            self._wake.notify()
        if spool.path is not None:
            self._all_is_well()
        return spool

    def open_reader(self, path: Path) -> tuple[int, ...]:
        """Open kept audio for the worker; return read-only descriptors as `MappedSpool.reader_fds`."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise StorageError(
                f"The audio {path.name} is not there any more: {error.strerror}.", hint="v2m history"
            ) from error
        try:
            checked_size(fd)
            tail_fd = self._leftovers.tail_fd(path)
        except (OSError, ValueError) as error:
            os.close(fd)
            raise StorageError(f"{path.name} is not a recording: {error}.", hint="v2m history") from error
        if tail_fd is None:
            return (fd,)
        self._expect_room()
        return (fd, tail_fd)

    def samples(self, path: Path) -> int:
        """Return how many samples kept audio holds."""
        with SpoolReader(*self.open_reader(path)) as reader:
            return reader.head

    def mend(self) -> list[Path]:
        """Write broken headers anew; return where the files are as they were found. One that cannot be stays."""
        return mend_all(path for path in self._kept() if path.name.startswith(_OURS))

    def orphans(self, known: set[str]) -> list[tuple[Path, int, int]]:
        """Return (path, samples, wall-clock start in ns) of each spool whose path is not in `known`.

        Spools without a sample are removed; foreign files are left alone and not named.
        """
        found = []
        for path in self._kept():
            if str(path) in known:
                continue
            with contextlib.suppress(StorageError):
                with SpoolReader(*self.open_reader(path)) as reader:
                    samples, started_ns = reader.head, reader.started_ns
                if samples:
                    found.append((path, samples, started_ns))
                else:
                    self.delete(path)
        return sorted(found, key=lambda orphan: orphan[2])

    def delete(self, path: Path, *, shred: bool = False) -> None:
        """Remove kept audio and what it was when it was found broken; nothing happens if it is gone.

        Raises:
            StorageError: it cannot be removed.
        """
        for each in (*path.parent.glob(f"{path.name}{CORRUPT}*"), path):
            remove(each, shred=shred)
        self._leftovers.drop(path)
        self._expect_room()

    def expire(self, until_s: float) -> None:
        """Remove the oldest file that was found broken up to this time (seconds since 1970); one, as clocks jump."""
        expire(self._folder, until_s)

    def _kept(self) -> list[Path]:
        """Return the spools of recordings that have ended, or that nobody ended."""
        with self._wake:
            own = {spool.path for spool in (*self._open, self._spare) if spool is not None}
        return [path for path in self._folder.glob(_SPOOLS) if path not in own]

    def _take_file(self) -> MappedSpool:
        with self._wake:
            spare, self._spare = self._spare, None
        if spare is not None and spare.path is not None:
            path = self._folder / _RECORDING.format(time.time_ns())
            with contextlib.suppress(OSError):  # somebody removed it: nothing recorded there would be found
                spare.path.rename(path)
                spare.path = path
                return spare
            spare.close()
        try:
            return self._make_file(_RECORDING)
        except OSError as error:
            self._tell(
                f"Recordings cannot be written to {self._folder} ({error.strerror}): they are kept in"
                " memory and are lost if toakd ends."
            )
            return self._make_memory()

    def _make_file(self, pattern: str) -> MappedSpool:
        self._folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            self._folder.mkdir(mode=0o700)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if stat.S_IMODE(os.fstat(folder).st_mode) != 0o700:
                os.fchmod(folder, 0o700)
            name = pattern.format(time.time_ns())
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(name, flags, 0o600, dir_fd=folder)
        finally:
            os.close(folder)
        path = self._folder / name
        try:
            return MappedSpool(fd, path, capacity=self._capacity, on_close=self._closed)
        except OSError:
            os.close(fd)
            with contextlib.suppress(StorageError):
                remove(path)
            raise

    def _make_memory(self) -> MappedSpool:
        with no_room():
            fd = os.memfd_create("v2m-spool", os.MFD_CLOEXEC)
            try:
                return MappedSpool(fd, None, capacity=self._capacity, on_close=self._closed)
            except OSError:
                os.close(fd)
                raise

    def _closed(self, spool: MappedSpool, leftover: Leftover) -> None:
        """Leave cutting and the last sync to the thread: STOP does not wait for the disk."""
        self._leftovers.add(spool.path, leftover)
        with self._wake:
            self._open.pop(spool, None)
            self._wake.notify()
            if self._thread is None:
                self._leftovers.sync()

    def _expect_room(self) -> None:
        """Have the thread try again to bring back what is in memory."""
        with self._wake:
            self._leftovers.expect_room()
            self._wake.notify()

    def _work(self) -> None:
        with self._wake:
            while not self._stopping:
                self._wake.wait_for(lambda: self._open or self._leftovers.due or self._stopping)
                self._wake.wait_for(lambda: self._stopping, _START_QUIET_S)
                while self._open and not self._stopping:
                    self._serve()
                    self._wake.wait_for(
                        lambda: self._leftovers.unsynced or not self._open or self._stopping, _SYNC_PERIOD_S
                    )
                self._serve()

    def _serve(self) -> None:
        """Do what is due, the lock released meanwhile."""
        recording, short = list(self._open), any(self._open.values())
        wants_spare = self._spare is None and not (short or self._stopping)
        self._wake.release()
        try:
            self._leftovers.sync()
            if not recording and self._leftovers.divided and self._leftovers.bring_back(lambda: not self._open):
                self._all_is_well()
            if wants_spare and not self._leftovers.divided:
                self._keep_spare()
            for spool in recording:
                self._maintain(spool)
        finally:
            self._wake.acquire()

    def _keep_spare(self) -> None:
        with contextlib.suppress(OSError):  # no room now: the next `take` tries again and tells
            spare = self._make_file(_SPARE)
            with self._wake:
                self._spare = spare

    def _give_up_spare(self) -> bool:
        """Free the room that the spare takes; tell whether there was one."""
        with self._wake:
            spare, self._spare = self._spare, None
        if spare is not None:
            with contextlib.suppress(StorageError):  # without a sample it is cleared away at the next start
                spare.delete()
        return spare is not None

    def _maintain(self, spool: MappedSpool) -> None:
        refused = spool.maintain()
        if refused is not None and self._give_up_spare():
            refused = spool.maintain()
        now = room(spool, refused)
        with self._wake:
            told = self._open.get(spool)
            if told is None:
                return
            self._open[spool] = now
        if refused is not None and now > told:
            self._tell(notice(spool, refused))
        elif now < told:
            self._all_is_well()

    def _tell(self, detail: str) -> None:
        self._degraded = True
        self._on_degraded(detail)

    def _all_is_well(self) -> None:
        """Take the notice back, unless something is still in memory only."""
        if self._degraded and not self._leftovers.divided:
            self._degraded = False
            self._on_restored()


__all__ = ["SpoolDirectory", "SpoolReader"]
