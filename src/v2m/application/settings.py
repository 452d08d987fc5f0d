"""Settings that change while the daemon runs: checked as a whole, applied as a whole, between two dictations.

What is prepared may fail and has no effect; what is committed is synchronous and cannot fail. So there is no
moment in which half of a change holds, and a dictation under way keeps the settings it started with.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from v2m.application.announce import Announcer
from v2m.application.dictate import Dictations
from v2m.application.status import Degradations
from v2m.core.events import EventBus
from v2m.domain.errors import ConfigError, StateError, V2mError
from v2m.domain.events import Degraded, SettingsChanged

log = logging.getLogger(__name__)

CONFIG: Final = "config"  # the promise that is weaker while the file is wrong
S = TypeVar("S")


class SavedSettings(Protocol):
    """The files that are watched."""

    def signature(self) -> object:
        """Return what differs once a file has been saved."""

    def changes(self) -> AsyncIterator[None]:
        """Yield after something happened around the files."""


class SettingsSource(Protocol[S]):
    """Where settings come from and go to; calls that touch files run in a thread."""

    path: Path

    @property
    def files(self) -> SavedSettings:
        """What is watched."""

    def load(self) -> S:
        """Return the settings of now. Raises ConfigError."""

    def change(self, changes: Mapping[str, Any], *, guarded: bool) -> S:
        """Check and write; return the settings of then. Raises ConfigError, StorageError, BusyError."""

    def remember(self) -> None:
        """Keep what is set now for a start with settings that are wrong. Never raises."""

    def entries(self, settings: S, keys: Collection[str] = ()) -> list[dict[str, Any]]:
        """Return what a client is told. Raises ConfigError: no such key."""

    def values(self, settings: S) -> Mapping[str, Any]:
        """Return every setting by its dotted key."""

    def is_live(self, key: str) -> bool:
        """Tell whether a change of this setting holds without a restart."""


@dataclass(frozen=True, slots=True)
class Change:
    """Settings that are ready to hold."""

    commit: Callable[[], None]  # synchronous; cannot fail
    settle: Callable[[], Awaitable[None]]  # afterwards: lets go of what served before
    discard: Callable[[], Awaitable[None]]  # instead: another change came first


Prepare = Callable[[S, frozenset[str]], Change]  # the keys that differ from what holds; raises ConfigError


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a change."""

    applied: tuple[str, ...]  # hold now
    later: tuple[str, ...]  # hold after the dictation under way
    restart: tuple[str, ...]  # hold after a restart, those of earlier changes included


class Configuration:
    """The one owner of "which settings hold"; `run` must be running."""

    def __init__(
        self,
        *,
        source: SettingsSource[Any],
        settings: Any,  # noqa: ANN401 - the source's
        prepare: Prepare[Any],
        dictations: Dictations,
        typing: asyncio.Lock,
        events: EventBus,
        announcer: Announcer,
        degradations: Degradations,
        seen: object,
    ) -> None:
        """`settings` hold already; `typing` is locked while a text goes out.

        `seen` is the signature of the files before the settings were read.
        """
        self._source = source
        self._settings = settings
        self._running = dict(source.values(settings))
        self._prepare = prepare
        self._dictations = dictations
        self._typing = typing
        self._events = events
        self._announcer = announcer
        self._degradations = degradations
        self._turn = asyncio.Lock()
        self._later: tuple[Change, Mapping[str, Any]] | None = None
        self._seen = seen
        self._wanted = asyncio.Event()
        self._settling: asyncio.Queue[Change] = asyncio.Queue()
        self._asked = asyncio.Event()

    @property
    def path(self) -> Path:
        """The user's file."""
        return self._source.path

    @property
    def problem(self) -> str:
        """Why the file's settings do not hold; empty: they do."""
        return self._degradations.active.get(CONFIG, "")

    def outcome(self, applied: Collection[str] = (), later: Collection[str] = ()) -> Outcome:
        """Return what is still to come, with what has just been done."""
        waiting = self._differing() - set(self._later[1] if self._later else ())
        return Outcome(tuple(sorted(applied)), tuple(sorted(later)), tuple(sorted(waiting)))

    def entries(self, keys: Collection[str]) -> list[dict[str, Any]]:
        """Return what a client is told of the settings at or below `keys`, or of all. Raises ConfigError."""
        pending = self._differing()
        found = self._source.entries(self._settings, keys)
        return [{**entry, "pending": entry["key"] in pending} for entry in found]

    async def update(self, changes: Mapping[str, Any]) -> Outcome:
        """Write values into the user's file and apply what can be; None goes back to the default.

        Raises:
            ConfigError, StorageError, BusyError: nothing is written, nothing changed.
        """
        async with self._turn:
            settings = await asyncio.to_thread(self._source.change, changes, guarded=True)
            self._seen = self._source.files.signature()
            return await self._told(settings)

    async def reload(self) -> Outcome:
        """Read the files again and apply what can be; while they are wrong what held goes on holding.

        Raises:
            ConfigError: nothing changed; the user has been told.
        """
        async with self._turn:
            self._seen = self._source.files.signature()
            try:
                settings = await asyncio.to_thread(self._source.load)
            except ConfigError as error:
                self.complain(error)
                raise
            return await self._told(settings)

    async def _told(self, settings: Any) -> Outcome:  # noqa: ANN401 - the source's
        """Apply settings; an adapter that refuses them is told, and nothing changes. Raises V2mError."""
        try:
            return await self._take(settings)
        except V2mError as error:
            self.complain(error)
            raise

    def complain(self, error: V2mError) -> None:
        """Tell the user, once per fault, that the files are wrong and what holds instead."""
        detail = " ".join(filter(None, (str(error), error.hint)))
        if detail == self.problem:
            return
        log.warning("the settings are wrong: %s", detail)
        self._degradations.note(CONFIG, detail)
        self._announcer.say("Settings", f"{detail} What held before goes on.", urgent=True, sound="failed")
        self._events.publish(Degraded(CONFIG, detail))

    def ask_reload(self) -> None:
        """Have the files read again soon; for a signal handler."""
        self._asked.set()

    # --- life ---

    async def run(self) -> None:
        """Notice saved files, apply what had to wait, let go of what served before; until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            group.create_task(self._obey())
            group.create_task(self._settle())
            if not self.problem:
                await asyncio.to_thread(self._source.remember)
            with suppress(StateError):  # the daemon is ending: the next one reads them
                while True:
                    await self._wanted.wait()
                    await self._dictations.quiet()
                    async with self._turn:
                        await self._apply_later(patient=True)

    async def _watch(self) -> None:
        async for _ in self._source.files.changes():
            if self._source.files.signature() != self._seen:
                self._asked.set()

    async def _obey(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            try:
                await self.reload()
            except V2mError:
                log.info("nothing changed")  # what is wrong has been told, once
            except Exception:  # the wall of a saved file: the daemon goes on with what it has
                log.exception("settings could not be applied")

    async def _settle(self) -> None:
        while True:
            change = await self._settling.get()
            try:
                await change.settle()
            except Exception:  # the same wall: what served before is not needed any more
                log.exception("what served before could not be closed")

    # --- one change, in turn ---

    async def _take(self, settings: Any) -> Outcome:  # noqa: ANN401 - the source's
        """Apply settings that are right. Raises V2mError before anything has changed."""
        values = self._source.values(settings)
        live = {key: value for key, value in values.items() if self._source.is_live(key)}
        changed = frozenset(key for key, value in live.items() if value != self._running[key])
        change = self._prepare(settings, changed) if changed else None
        self._settings = settings
        if self._later is not None:
            await self._later[0].discard()
            self._later = None
        if change is not None:
            self._later = (change, {key: live[key] for key in changed})
            await self._apply_later(patient=False)
        later = self._later is not None
        if later:
            self._wanted.set()
        self._be_content()
        await asyncio.to_thread(self._source.remember)
        return self.outcome(() if later else changed, changed if later else ())

    async def _apply_later(self, *, patient: bool) -> None:
        """Commit what is prepared, if nothing is under way; `patient`: a text that is being typed is waited for."""
        if self._later is None:
            self._wanted.clear()
            return
        change, values = self._later

        def commit() -> None:
            change.commit()
            self._running |= values
            self._later = None

        if self._typing.locked() and not patient:
            return
        async with self._typing:
            done = await self._dictations.between(commit)
        if done:
            self._wanted.clear()
            self._settling.put_nowait(change)
            self._events.publish(SettingsChanged(restart=bool(self._differing())))

    def _differing(self) -> set[str]:
        """Return the keys whose value in the files does not hold yet."""
        return {key for key, value in self._source.values(self._settings).items() if value != self._running[key]}

    def _be_content(self) -> None:
        if self._degradations.clear(CONFIG):
            self._announcer.say("Settings", "They are right again, and hold.")
            self._events.publish(Degraded(CONFIG, ""))
