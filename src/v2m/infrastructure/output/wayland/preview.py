"""Shows what has been heard so far inside the focused field, through an input method that is bound meanwhile."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Final

from v2m.domain.delivery import Destination, Session
from v2m.infrastructure._wayland.connection import Connection, WaylandError
from v2m.infrastructure._wayland.input_method import COMMIT_BYTES, MANAGER, InputMethod, Place, place_of
from v2m.infrastructure._wayland.toplevels import FocusWatch

_CUT: Final = "…"
PLACE_S: Final = 0.2  # a look at a field is over by then; a text that is being typed is not, and comes first
CLEARINGS: Final = 5  # an application answers the first, perhaps the second; one that always does is not waited for


class InputMethodPreview:
    """Uncommitted text at the cursor (`set_preedit_string`); the compositor drops it with our connection."""

    def __init__(self, *, mark: Path) -> None:
        """`mark` is a file that is there as long as something is shown, so that the next process knows."""
        self._mark = mark
        self._connection: Connection | None = None
        self._place: Place | None = None  # while it is ours
        self._method: InputMethod | None = None
        self._focus: FocusWatch | None = None
        self._shown = ""

    async def tidy(self, session: Session) -> None:
        """Have the focused window painted anew when an earlier process was killed while it showed something.

        The compositor drops what a killed process showed, and foot 1.13 does not paint itself before it changes again.
        """
        if session.wayland is not None and await asyncio.to_thread(self._mark.exists):
            await self.show(_CUT, Destination(session))
            await self.hide()
            self._noted(shows=False)

    async def show(self, text: str, to: Destination) -> None:
        """Show the end of this text, at most 3,900 bytes; nothing in password fields or beside another input method."""
        shown = ending(text)
        try:
            method = self._method if self._alive else await self._bind(to)
            if method is None or self._focus is None or self._focus.moved or not method.field.active:
                return
            if not method.field.secret and shown != self._shown:
                self._shown = shown
                self._noted(shows=True)
                await method.preedit(shown)
        except WaylandError:
            self._let_go()

    async def hide(self) -> None:
        """Take it away and let go of the field; returns when the compositor has done it. Twice is fine."""
        method = self._method
        if self._alive and method is not None:
            with suppress(WaylandError):
                if self._shown:
                    await self._clear(method)
            place, self._place = self._place, None
            if place is not None:
                await place.leave()
            if self._shown:
                self._noted(shows=False)
        self._let_go()

    @property
    def _alive(self) -> bool:
        return self._connection is not None and self._connection.alive and self._method is not None

    async def _clear(self, method: InputMethod) -> None:
        """Show nothing, again as long as the application still speaks: what crosses its words it drops (foot does)."""
        for _ in range(CLEARINGS):
            groups = method.groups
            await method.preedit("")
            if not await method.spoke(groups):
                return

    def _noted(self, *, shows: bool) -> None:
        """Leave or remove the mark; in the runtime directory, which is memory."""
        with suppress(OSError):
            if not shows:
                self._mark.unlink(missing_ok=True)
            elif not self._mark.exists():
                self._mark.touch(mode=0o600)

    async def _bind(self, to: Destination) -> InputMethod | None:
        """Take the seat's place for an input method, if it is free and the window is the wanted one."""
        self._let_go()
        if to.session.wayland is None:
            return None
        connection = await Connection.open(to.session.wayland)
        self._connection = connection
        if MANAGER not in connection.globals:
            self._let_go()
            return None
        place = place_of(connection.path)
        self._method = await place.take(connection, timeout_s=PLACE_S)
        self._place, self._focus = place, FocusWatch(connection)
        await self._focus.start(to)
        await self._method.wait_active()
        if self._method.unavailable:
            self._let_go()
        return self._method

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._place is not None:
            self._place.drop()
            self._place = None
        self._connection = self._method = self._focus = None
        self._shown = ""


def ending(text: str) -> str:
    """Return the end of a text that one request carries."""
    data = text.encode()
    if len(data) <= COMMIT_BYTES:
        return text
    return _CUT + data[len(_CUT.encode()) - COMMIT_BYTES :].decode("utf-8", "ignore")
