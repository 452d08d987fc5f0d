"""Long texts at once on X11: the text goes on the clipboard, the paste key is pressed, the clipboard is put back."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from v2m.domain.chords import Chord
from v2m.domain.delivery import Certainty, Delivery, Destination, Session
from v2m.domain.errors import OutputError
from v2m.domain.ports import AtBest, Availability
from v2m.infrastructure._x11.display import ANSWER_S, Focus, X11Error, focus_of, foreign_errors
from v2m.infrastructure.output.failures import FOCUS_MOVED, NO_X11, broken, no_display, refused
from v2m.infrastructure.output.pasting import (
    CHANGED,
    MOVED_BEFORE,
    NOT_TAKEN,
    RECEIPT_S,
    REPEAT_GAP_S,
    RESTORE_DELAY_S,
    SAVE_S,
    UNSAVED,
    paste_chord,
    wants_primary,
)
from v2m.infrastructure.output.x11.keyboard import SETTLE_S, XtestKeyboard
from v2m.infrastructure.output.x11.selection import SelectionThread, text_contents
from v2m.infrastructure.output.x11.selection_owner import Contents
from v2m.infrastructure.output.x11.user_keys import GRABBED, Look, is_wanted, until_free

_PIECES_BYTES_PER_S: Final = 4 << 20  # a text that has to go piece by piece; a tenth of what xterm and GTK take


T = TypeVar("T")


@dataclass(slots=True)
class _Loan:
    """What comes back to one selection, while our text is there."""

    saved: Contents
    text: Contents


@dataclass(slots=True)
class _Attempt:
    """One text on its way; written by the thread, read by whoever waits for it."""

    text: str
    to: Destination
    chord: Chord
    pressed: bool = False
    taken: bool = False
    moved: bool = False
    target: Focus = field(default_factory=lambda: Focus(0))


class _Desk:
    """Clipboard and keys of one display; everything but `open` and `close` belongs to its thread."""

    def __init__(self, session: Session, thread: SelectionThread, keyboard: XtestKeyboard) -> None:
        self.name = session.x11
        self.thread = thread
        self.keyboard = keyboard
        self._owner = thread.owner
        self._clipboard, self._primary = self._owner.atom("CLIPBOARD"), self._owner.atom("PRIMARY")
        self._loans: dict[int, _Loan] = {}
        self._pasted_at = 0.0

    @classmethod
    def open(cls, session: Session) -> "_Desk":
        """Connect; blocks. Raises X11Error."""
        thread = SelectionThread.open(session)
        try:
            with foreign_errors(thread.display):
                if not thread.display.has_extension("XTEST"):
                    raise X11Error("the X server has no XTEST extension")
            return cls(session, thread, thread.ask(lambda: XtestKeyboard(thread.display)))
        except X11Error:
            thread.close()
            raise

    def close(self) -> None:
        """Put back what the user had, clear the spare keycodes and disconnect; blocks."""
        if self._loans:  # the window may still be reading
            time.sleep(max(0.0, self._pasted_at + RESTORE_DELAY_S - time.monotonic()))
        try:
            self.thread.ask(self.give_back)
            self.thread.ask(self.keyboard.clear)
        except X11Error:
            pass
        self.thread.close()

    def paste(self, attempt: _Attempt, held: tuple[int, ...]) -> None:
        """Paste it, or raise OutputError with everything as it was."""
        target = attempt.target = focus_of(self.keyboard.display)
        if not target.client:
            raise refused("No application window has the focus.")
        if not is_wanted(target, attempt.to.window):
            raise refused(MOVED_BEFORE)
        self.keyboard.refresh()
        key, modifiers = self.keyboard.chord_keys(attempt.chord)
        time.sleep(max(0.0, self._pasted_at + REPEAT_GAP_S - time.monotonic()))
        self.thread.later(0, None)
        try:
            self._lend(attempt)
            self.keyboard.user.release(held)
            self._check(attempt)
        except OutputError:
            self.give_back()
            raise
        self._press(attempt, key, modifiers)

    def give_back(self) -> None:
        """Put back what the user had, where nobody has put something else since."""
        self._owner.on_taken = lambda _requestor, _target: None
        loans, self._loans = self._loans, {}
        for selection, loan in loans.items():
            if self._owner.contents(selection) is loan.text:
                self._owner.replace(selection, loan.saved)

    def _lend(self, attempt: _Attempt) -> None:
        """Keep what the user has, and put the text in its place."""
        selections = [self._clipboard, *([self._primary] if wants_primary(attempt.chord) else [])]
        text = text_contents(self._owner, attempt.text, secret=True)
        self.thread.reader.begin()
        saved = {selection: self._saved(selection) for selection in selections}
        for selection, contents in saved.items():
            self._owner.own(selection, text)
            self._loans[selection] = _Loan(contents, text)

    def _saved(self, selection: int) -> Contents:
        """Return what comes back to a selection after this paste. Raises OutputError: it cannot be kept whole."""
        ours, loan = self._owner.contents(selection), self._loans.get(selection)
        if ours is not None:
            return loan.saved if loan is not None and loan.text is ours else ours
        found = self.thread.reader.read(selection)
        if found is None:
            raise refused(UNSAVED)
        return found

    def _check(self, attempt: _Attempt) -> None:
        """Make sure that the key goes where it should, and means our text."""
        self._owner.now()  # every event up to now has been handled
        if any(self._owner.contents(selection) is not loan.text for selection, loan in self._loans.items()):
            raise refused(CHANGED)
        look = self.keyboard.user.look()
        if look.grabbed:
            raise refused(GRABBED)
        if not self.keyboard.user.still_in(attempt.target, look.window):
            raise refused(MOVED_BEFORE)

    def _press(self, attempt: _Attempt, key: int, modifiers: list[int]) -> None:
        """Press the paste key and wait for the receipt.

        A request for the text that comes after the key, from a window of the client that has the focus, proves that
        the application itself has taken it (or its last piece). Requests of other clients, clipboard managers for
        one, are served and prove nothing.
        """
        texts = set(text_contents(self._owner, "", secret=False))

        def note(requestor: int, target: int) -> None:
            attempt.taken = attempt.taken or (target in texts and self._is_of(requestor, attempt.target))

        self._owner.on_taken = note
        attempt.pressed = True
        with self.keyboard.locks.plain():
            self.keyboard.press_chord(key, modifiers)
            self.keyboard.display.sync()
        timeout_s = RECEIPT_S + len(attempt.text) / _PIECES_BYTES_PER_S
        self.thread.pump(lambda: attempt.taken, timeout_s)
        self._pasted_at = time.monotonic()
        window = self.keyboard.user.look().window
        attempt.moved = not self.keyboard.user.still_in(attempt.target, window)
        if attempt.taken:
            self.thread.later(RESTORE_DELAY_S, self.give_back)

    def _is_of(self, requestor: int, target: Focus) -> bool:
        """Tell whether a window belongs to the client that has the focus, or is a part of its window."""
        from Xlib import error

        own_part = self.keyboard.display.display.info.resource_id_mask
        if requestor & ~own_part in (target.window & ~own_part, target.client & ~own_part):
            return True
        display = self.keyboard.display
        around = display.create_resource_object("window", requestor)
        try:
            while around and around.id != target.client:
                around = around.query_tree().parent
        except error.XError:  # it has gone meanwhile
            return False
        return bool(around)


class PasteX11Output:
    """Clipboard and paste key; confirmed when the focused application asks for the text."""

    name = "paste-x11"
    at_best = AtBest()

    def __init__(self, *, dictating: Callable[[], bool] = lambda: False) -> None:
        """`dictating` tells whether our own next recording is open: then its hotkey may be held for as long."""
        self._dictating = dictating
        self._desk: _Desk | None = None

    async def probe(self, session: Session) -> Availability:
        """Say whether the X server has what pasting needs; under Wayland for an X11 window only."""
        if session.x11 is None:
            return NO_X11
        try:
            desk = await self._connected(session)
            focus = await _ask(desk, lambda: focus_of(desk.keyboard.display))
        except X11Error as error:
            return Availability(usable=False, reason=f"Cannot paste: {error}.")
        if session.wayland is not None and not focus.app:
            return Availability(usable=False, reason="The focused window is no X11 window.")
        return Availability(usable=True, reason="The X server takes texts for the clipboard and a paste key.")

    async def deliver(self, text: str, to: Destination) -> Delivery:
        """Paste it; what was on the clipboard comes back while nobody else has put something there."""
        if to.session.x11 is None:
            raise no_display("there is no X11 display")
        attempt = _Attempt(text, to, paste_chord(to.paste_key))
        try:
            desk = await self._connected(to.session)
        except X11Error as error:
            raise no_display(str(error)) from error
        allowance_s = 2 * ANSWER_S + SAVE_S + RECEIPT_S + SETTLE_S + len(text) / _PIECES_BYTES_PER_S
        try:
            seen = await until_free(lambda: _look(desk), self._dictating)
            if seen.grabbed:
                raise refused(GRABBED)
            await _ask(desk, lambda: desk.paste(attempt, seen.held), allowance_s)
        except X11Error as error:
            self._desk = None
            raise broken(str(error), delivered=None if attempt.pressed else 0) from error
        return self._judge(attempt)

    async def aclose(self) -> None:
        """Put back what the user had, and disconnect: from then on nobody serves it but a clipboard manager."""
        desk, self._desk = self._desk, None
        if desk is not None:
            await asyncio.to_thread(desk.close)

    def _judge(self, attempt: _Attempt) -> Delivery:
        app = attempt.target.app
        if not attempt.taken:  # the key may still be handled, then the text has to be there
            return Delivery(self.name, Certainty.UNCERTAIN, 0, app, NOT_TAKEN)
        if attempt.moved:
            return Delivery(self.name, Certainty.UNCERTAIN, len(attempt.text), app, FOCUS_MOVED)
        return Delivery(self.name, Certainty.CONFIRMED, len(attempt.text), app)

    async def _connected(self, session: Session) -> _Desk:
        """Return the resident connection, a new one when the display is another or was restarted."""
        desk = self._desk
        if desk and desk.name == session.x11:
            try:
                await _ask(desk, desk.keyboard.display.sync)
            except X11Error:
                pass
            else:
                return desk
        await self.aclose()
        self._desk = await asyncio.to_thread(_Desk.open, session)
        return self._desk


async def _look(desk: _Desk) -> Look:
    return await _ask(desk, desk.keyboard.user.look)


async def _ask(desk: _Desk, work: Callable[[], T], timeout_s: float = ANSWER_S) -> T:
    """Have the desk's thread do something. Raises X11Error, and OutputError where the work does."""
    return await asyncio.to_thread(desk.thread.ask, work, timeout_s)
