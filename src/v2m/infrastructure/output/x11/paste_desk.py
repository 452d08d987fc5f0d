"""Clipboard and keys of one X display: the text is lent to it, the paste key is pressed, the clipboard comes back."""

import time
from dataclasses import dataclass, field
from typing import Final

from v2m.domain.chords import Chord
from v2m.domain.delivery import Destination, Session
from v2m.domain.errors import OutputError
from v2m.infrastructure._x11.display import Focus, X11Error, aim_of
from v2m.infrastructure.output.failures import MOVED_BEFORE, refused
from v2m.infrastructure.output.pasting import (
    CHANGED,
    RECEIPT_S,
    REPEAT_GAP_S,
    RESTORE_DELAY_S,
    UNSAVED,
    wants_primary,
)
from v2m.infrastructure.output.x11.keyboard import XtestKeyboard
from v2m.infrastructure.output.x11.selection import SelectionThread, text_contents
from v2m.infrastructure.output.x11.selection_owner import Contents
from v2m.infrastructure.output.x11.user_keys import GRABBED, is_wanted

PIECES_BYTES_PER_S: Final = 4 << 20  # a text that has to go piece by piece; a tenth of what xterm and GTK take
_PASTE_WITHIN_S: Final = 10.0  # more than the desktop may take to say where the focus is


@dataclass(slots=True)
class _Loan:
    """What comes back to one selection, while our text is there."""

    saved: Contents
    text: Contents


@dataclass(slots=True)
class Attempt:
    """One text on its way; written by the thread, read by whoever waits for it."""

    text: str
    to: Destination
    chord: Chord
    pressed: bool = False
    taken: bool = False
    moved: bool = False
    keys: tuple[int, list[int]] = (0, [])  # of the chord: the key, its modifiers
    target: Focus = field(default_factory=lambda: Focus(0))


class Desk:
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
    def open(cls, session: Session) -> "Desk":
        """Connect; blocks. Raises X11Error."""
        thread = SelectionThread.open(session)

        def begin() -> "Desk":  # in the thread: python-xlib waits for ever where two ask at the same time
            if not thread.display.has_extension("XTEST"):
                raise X11Error("the X server has no XTEST extension")
            return cls(session, thread, XtestKeyboard(thread.display))

        try:
            return thread.ask(begin)
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

    def prepare(self, attempt: Attempt) -> None:
        """Put the text in the place of what the user has, or raise OutputError with everything as it was.

        Unless `paste` follows soon, for which the caller may have been cancelled, that comes back.
        """
        target = attempt.target = aim_of(self.keyboard.display)
        if not target.client:
            raise refused("No application window has the focus.")
        if not is_wanted(target, attempt.to.window):
            raise refused(MOVED_BEFORE)
        self.keyboard.refresh()
        attempt.keys = self.keyboard.chord_keys(attempt.chord)
        time.sleep(max(0.0, self._pasted_at + REPEAT_GAP_S - time.monotonic()))
        self.thread.later(_PASTE_WITHIN_S, self.give_back)
        try:
            self._lend(attempt)
        except OutputError:
            self.give_back()
            raise

    def paste(self, attempt: Attempt, held: tuple[int, ...]) -> None:
        """Press the key after `prepare`, or raise OutputError with everything as it was."""
        try:
            self.keyboard.user.release(held)
            self._check(attempt)
        except OutputError:
            self.give_back()
            raise
        self._press(attempt)

    def give_back(self) -> None:
        """Put back what the user had, where nobody has put something else since."""
        self.thread.later(0, None)
        self._owner.on_taken = lambda _requestor, _target: None
        loans, self._loans = self._loans, {}
        for selection, loan in loans.items():
            if self._owner.contents(selection) is loan.text:
                self._owner.replace(selection, loan.saved)

    def _lend(self, attempt: Attempt) -> None:
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

    def _check(self, attempt: Attempt) -> None:
        """Make sure that the key goes where it should, and means our text."""
        self._owner.now()  # every event up to now has been handled
        if not self._loans or any(
            self._owner.contents(selection) is not loan.text for selection, loan in self._loans.items()
        ):
            raise refused(CHANGED)
        look = self.keyboard.user.look()
        if look.grabbed:
            raise refused(GRABBED)
        if not self.keyboard.user.still_in(attempt.target, look.window):
            raise refused(MOVED_BEFORE)

    def _press(self, attempt: Attempt) -> None:
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
        self.thread.later(0, None)
        with self.keyboard.locks.plain():
            self.keyboard.press_chord(*attempt.keys)
            self.keyboard.display.sync()
        timeout_s = RECEIPT_S + len(attempt.text) / PIECES_BYTES_PER_S
        self.thread.pump(lambda: attempt.taken, timeout_s)
        self._pasted_at = time.monotonic()
        window = self.keyboard.user.look().window
        attempt.moved = not self.keyboard.user.still_in(attempt.target, window)
        if attempt.taken or attempt.to.keep_clipboard:
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
