"""Long texts at once on X11: the text goes on the clipboard, the paste key is pressed, the clipboard is put back."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from v2m.domain.delivery import Certainty, Delivery, Destination, Session
from v2m.domain.ports import AtBest, Availability
from v2m.infrastructure._x11.display import ANSWER_S, Focus, X11Error, focus_of, peek
from v2m.infrastructure.output.failures import FOCUS_MOVED, MOVED_BEFORE, NO_X11, broken, no_display, refused
from v2m.infrastructure.output.pasting import LATE, NOT_TAKEN, RECEIPT_S, SAVE_S, paste_chord
from v2m.infrastructure.output.x11.keyboard import SETTLE_S
from v2m.infrastructure.output.x11.paste_desk import PIECES_BYTES_PER_S, Attempt, Desk
from v2m.infrastructure.output.x11.user_keys import GRABBED, Look, still_wanted, until_free

T = TypeVar("T")


class PasteX11Output:
    """Clipboard and paste key; confirmed when the focused application asks for the text."""

    name = "paste-x11"
    at_best = AtBest()

    def __init__(self, *, dictating: Callable[[], bool] = lambda: False) -> None:
        """`dictating` tells whether our own next recording is open: then its hotkey may be held for as long."""
        self._dictating = dictating
        self._desk: Desk | None = None
        self._turn = asyncio.Lock()  # whoever uses the connection: nobody may close it meanwhile

    async def probe(self, session: Session) -> Availability:
        """Say whether the X server has what pasting needs; under Wayland for an X11 window only."""
        if session.x11 is None:
            return NO_X11
        try:
            focus = await self._focus(session)
        except X11Error as error:
            return Availability(usable=False, reason=f"Cannot paste: {error}.")
        if session.wayland is not None and not focus.app:
            return Availability(usable=False, reason="The focused window is no X11 window.")
        return Availability(usable=True, reason="The X server takes texts for the clipboard and a paste key.")

    async def deliver(self, text: str, to: Destination) -> Delivery:
        """Paste it; what was on the clipboard comes back while nobody else has put something there."""
        if to.session.x11 is None:
            raise no_display("there is no X11 display")
        attempt = Attempt(text, to, paste_chord(to.paste_key))
        async with self._turn:
            try:
                desk = await self._connected(to.session)
            except X11Error as error:
                raise no_display(str(error)) from error
            try:
                await self._paste(desk, attempt)
            except X11Error as error:
                self._desk = None
                raise broken(str(error), delivered=None if attempt.pressed else 0) from error
        return self._judge(attempt)

    async def aclose(self) -> None:
        """Put back what the user had, and disconnect: from then on nobody serves it but a clipboard manager."""
        async with self._turn:
            await self._hang_up()

    async def _paste(self, desk: Desk, attempt: Attempt) -> None:
        """Raises OutputError, X11Error."""
        seen = await until_free(lambda: _look(desk), self._dictating)
        if seen.grabbed:
            raise refused(GRABBED)
        reading_s = len(attempt.text) / PIECES_BYTES_PER_S
        await _ask(desk, lambda: desk.prepare(attempt), 2 * ANSWER_S + SAVE_S + SETTLE_S)
        if not await still_wanted(attempt.to):
            await _ask(desk, desk.give_back)
            raise refused(MOVED_BEFORE)
        await _ask(desk, lambda: desk.paste(attempt, seen.held), ANSWER_S + RECEIPT_S + reading_s)

    async def _focus(self, session: Session) -> Focus:
        """Return the focus of a display on which one can paste; while a text is pasted without its connection."""
        if self._turn.locked():
            return await peek(session)
        async with self._turn:
            desk = await self._connected(session)
            return await _ask(desk, lambda: focus_of(desk.keyboard.display))

    async def _hang_up(self) -> None:
        desk, self._desk = self._desk, None
        if desk is not None:
            await asyncio.to_thread(desk.close)

    def _judge(self, attempt: Attempt) -> Delivery:
        app = attempt.target.app
        if not attempt.taken:  # the key may still be handled; unless the text is kept elsewhere it stays there for that
            detail = LATE if attempt.to.keep_clipboard else NOT_TAKEN
            return Delivery(self.name, Certainty.UNCERTAIN, 0, app, detail)
        if attempt.moved:
            return Delivery(self.name, Certainty.UNCERTAIN, len(attempt.text), app, FOCUS_MOVED)
        return Delivery(self.name, Certainty.CONFIRMED, len(attempt.text), app)

    async def _connected(self, session: Session) -> Desk:
        """Return the resident connection, a new one when the display is another or was restarted."""
        desk = self._desk
        if desk and desk.name == session.x11:
            try:
                await _ask(desk, desk.keyboard.display.sync)
            except X11Error:
                pass
            else:
                return desk
        await self._hang_up()
        self._desk = await asyncio.to_thread(Desk.open, session)
        return self._desk


async def _look(desk: Desk) -> Look:
    return await _ask(desk, desk.keyboard.user.look)


async def _ask(desk: Desk, work: Callable[[], T], timeout_s: float = ANSWER_S) -> T:
    """Have the desk's thread do something. Raises X11Error, and OutputError where the work does."""
    return await asyncio.to_thread(desk.thread.ask, work, timeout_s)
