"""What has been heard so far, inside the focused field while one speaks; taken away before anything is typed.

It follows the events that every client sees, so that a recording neither knows nor waits for it.
"""

import asyncio
from types import TracebackType
from typing import Any, Final

from v2m.core.events import EventBus
from v2m.domain.delivery import Destination
from v2m.domain.dictation import DaemonState
from v2m.domain.ports import Guard, Preview, SessionEnvironment, Windows

PERIOD_S: Final = 0.1  # nobody reads faster than ten changes a second
_ENDS: Final = frozenset({"delivered", "held", "discarded", "suppressed", "failed"})


class LivePreview:
    """Shows the partials of the open recording; `run` must be running."""

    def __init__(
        self, *, preview: Preview, events: EventBus, sessions: SessionEnvironment, windows: Windows, guard: Guard
    ) -> None:
        self._preview = preview
        self._events = events
        self._sessions = sessions
        self._windows = windows
        self._guard = guard
        self._dictation: int | None = None
        self._text = ""
        self._to: Destination | None = None  # where this dictation is shown; None: not looked yet, or nowhere
        self._looked = False
        self._shows = False
        self._away = False
        self._changed = asyncio.Event()
        self._field = asyncio.Lock()  # one at a time changes what is shown

    async def run(self) -> None:
        """Follow recordings until cancelled."""
        await self._preview.tidy(await self._sessions.current({}))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._paint())

    async def away(self) -> None:
        """Take it away until `back`; returns when the field is free."""
        self._away = True
        self._text = ""  # what was heard so far is about to be typed; a recording that is open will say more
        async with self._field:
            await self._hide()

    def back(self) -> None:
        """Let the next thing that is heard be shown again."""
        self._away = False

    async def _listen(self) -> None:
        with self._events.subscribe(frozenset({"partial", "state_changed", *_ENDS})) as subscription:
            async for frame in subscription:
                self._take(frame["event"], frame["data"])

    def _take(self, event: str, data: dict[str, Any]) -> None:
        dictation = data["dictation"]
        if event == "state_changed":
            if data["state"] == DaemonState.RECORDING and dictation != self._dictation:
                self._follow(dictation)
        elif dictation == self._dictation and dictation is not None:
            if event in _ENDS or data["final"]:
                self._follow(None)
            elif not self._away:
                self._text = data["text"]
                self._changed.set()

    def _follow(self, dictation: int | None) -> None:
        self._dictation = dictation
        self._text, self._to, self._looked = "", None, False
        self._changed.set()

    async def _paint(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            async with self._field:
                await self._show()
            await asyncio.sleep(PERIOD_S)

    async def _show(self) -> None:
        dictation = self._dictation
        if not self._text:
            await self._hide()
            return
        if not self._looked:
            to = await self._look()
            if dictation != self._dictation:  # it ended meanwhile
                return
            self._to, self._looked = to, True
        if self._to is not None and self._text and not self._away:
            self._shows = True
            await self._preview.show(self._text, self._to)

    async def _hide(self) -> None:
        if self._shows:
            self._shows = False
            await self._preview.hide()

    async def _look(self) -> Destination | None:
        """Return the focused field, None where it asks for a secret."""
        session = await self._sessions.current({})
        window = await self._windows.focused(session)
        if await self._guard.secret(session, window):
            return None
        return Destination(session, window)


class Turn:
    """The right to change the focused field: one at a time, and never with a preview in it."""

    def __init__(self, preview: LivePreview, typing: asyncio.Lock) -> None:
        """`typing` is held with it; who only looks at ways of typing takes that, and leaves the preview alone."""
        self._preview = preview
        self._lock = typing

    async def __aenter__(self) -> None:
        await self._lock.acquire()
        try:
            await self._preview.away()
        except BaseException:
            self._lock.release()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._preview.back()
        self._lock.release()
