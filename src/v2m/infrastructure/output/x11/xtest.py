"""Types into X11 windows with the XTEST extension; characters the layout lacks go to spare keycodes, all at once."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from v2m.domain.delivery import Certainty, Delivery, Destination, Session
from v2m.domain.ports import Availability
from v2m.infrastructure._x11.display import (
    ANSWER_S,
    Focus,
    X11Error,
    connect,
    cut,
    focus_of,
    focus_window,
    foreign_errors,
    in_thread,
)
from v2m.infrastructure.output.failures import FOCUS_MOVED, NO_X11, broken, no_display, refused

if TYPE_CHECKING:
    from Xlib.display import Display

BATCH: Final = 16  # keys per roundtrip; also the most that a wrong window gets
SETTLE_S: Final = 0.030  # applications fetch the changed keyboard map within this, measured
# An application looks at the map when it handles its first key after a change. Cleared right after
# the keys, the map was empty by then and xterm showed nothing.
CATCH_UP_S: Final = 0.25
MODIFIER_WAIT_S: Final = 2.0  # how long the user may take to let go of the hotkey
MODIFIER_POLL_S: Final = 0.020
_BATCH_ALLOWANCE_S: Final = 0.050
_SYMBOLS: Final = {"\n": 0xFF0D, "\t": 0xFF09}
_SHIFT_L: Final = 0xFFE1

T = TypeVar("T")


def keysym(character: str) -> int:
    """Return the X11 keysym of a character."""
    point = ord(character)
    if character in _SYMBOLS:
        return _SYMBOLS[character]
    latin = 0x20 <= point <= 0x7E or 0xA0 <= point <= 0xFF
    return point if latin else 0x01000000 | point


class _CancelledError(Exception):
    """The caller went away between two batches."""


@dataclass(frozen=True, slots=True)
class _Typed:
    characters: int
    app: str
    moved: bool


class XtestKeyboard:
    """Keys on one display. Everything blocks: it belongs to the thread that calls it."""

    def __init__(self, display: "Display") -> None:
        self.display = display
        self._stop = threading.Event()
        self._layout: dict[int, tuple[int, bool]] = {}  # keysym → keycode, whether with Shift
        self._spare: list[int] = []
        self._mapped: dict[int, int] = {}  # keysym → spare keycode
        self._last_key = 0.0
        self._read_layout()
        self._shift = display.keysym_to_keycode(_SHIFT_L)

    def stop(self) -> None:
        """Make a running `type` end after its batch; may be called from any thread."""
        self._stop.set()

    def type(self, text: str, note_sent: Callable[[int], None]) -> _Typed:
        """Type until the end, `stop` or a change of focus; `note_sent` gets the count before each batch goes."""
        self._stop.clear()
        target = focus_of(self.display)
        if target.window == 0:
            raise refused("No window has the focus.")
        self._wait_for_modifiers()
        sent = 0
        for part in self._portions(text):
            self._map(part)
            for start in range(0, len(part), BATCH):
                if self._stop.is_set():
                    raise _CancelledError
                batch = part[start : start + BATCH]
                sent += len(batch)
                note_sent(sent)
                for character in batch:
                    self._tap(keysym(character))
                self._last_key = time.monotonic()
                if not self._still_in(target):
                    return _Typed(sent, target.app, moved=True)
        return _Typed(sent, target.app, moved=False)

    def clear(self) -> None:
        """Empty the spare keycodes again, once the application has had time to handle the last key."""
        time.sleep(max(0.0, self._last_key + CATCH_UP_S - time.monotonic()) if self._mapped else 0.0)
        for keycode in self._mapped.values():
            self.display.change_keyboard_mapping(keycode, [[0, 0]])
        self._mapped.clear()
        self.display.sync()

    def _read_layout(self) -> None:
        info = self.display.display.info
        first = info.min_keycode
        for offset, row in enumerate(self.display.get_keyboard_mapping(first, info.max_keycode - first + 1)):
            keycode = first + offset
            if not any(row):
                self._spare.append(keycode)
            elif _ours(row):  # left by a process of ours that was killed
                self.display.change_keyboard_mapping(keycode, [[0, 0]])
                self._spare.append(keycode)
            else:
                for symbol, shifted in ((row[0], False), (row[1], True)):
                    if symbol:
                        self._layout.setdefault(symbol, (keycode, shifted))
        self.display.sync()

    def _portions(self, text: str) -> Iterator[str]:
        """Cut the text so that the missing characters of each part fit on the spare keycodes."""
        start, missing = 0, set[int]()
        for index, symbol in enumerate(map(keysym, text)):
            if symbol in self._layout or symbol in missing:
                continue
            if len(missing) == len(self._spare):
                if not missing:
                    raise refused("The X server has no spare keys for characters outside the keyboard layout.")
                yield text[start:index]
                start, missing = index, set()
            missing.add(symbol)
        yield text[start:]

    def _map(self, part: str) -> None:
        needed = [symbol for symbol in dict.fromkeys(map(keysym, part)) if symbol not in self._layout]
        new = [symbol for symbol in needed if symbol not in self._mapped]
        if not new:
            return
        if len(self._mapped) + len(new) > len(self._spare):
            self.clear()
            new = needed
        taken = set(self._mapped.values())
        free = [keycode for keycode in self._spare if keycode not in taken]
        for symbol, keycode in zip(new, free, strict=False):
            self.display.change_keyboard_mapping(keycode, [[symbol, symbol]])
            self._mapped[symbol] = keycode
        self.display.sync()
        time.sleep(SETTLE_S)

    def _tap(self, symbol: int) -> None:
        from Xlib import X
        from Xlib.ext import xtest

        keycode, shifted = self._layout.get(symbol) or (self._mapped[symbol], False)
        keys = [(X.KeyPress, keycode), (X.KeyRelease, keycode)]
        if shifted:
            keys = [(X.KeyPress, self._shift), *keys, (X.KeyRelease, self._shift)]
        for kind, code in keys:
            xtest.fake_input(self.display, kind, code)

    def _still_in(self, target: Focus) -> bool:
        """Tell whether keys still go there, or to another part of that window; ends the batch's roundtrip."""
        now = focus_window(self.display)
        return now == target.window or (target.client != 0 and focus_of(self.display).client == target.client)

    def _wait_for_modifiers(self) -> None:
        """Wait until the user holds no modifier; X11 has one state for all keyboards, so release the rest."""
        from Xlib import X
        from Xlib.ext import xtest

        deadline = time.monotonic() + MODIFIER_WAIT_S
        while (held := self._held_modifiers()) and time.monotonic() < deadline and not self._stop.is_set():
            self._stop.wait(MODIFIER_POLL_S)
        for keycode in held:
            xtest.fake_input(self.display, X.KeyRelease, keycode)
        self.display.sync()

    def _held_modifiers(self) -> list[int]:
        down: Sequence[int] = self.display.query_keymap()
        modifiers = {keycode for row in self.display.get_modifier_mapping() for keycode in row if keycode}
        return [keycode for keycode in modifiers if down[keycode // 8] >> (keycode % 8) & 1]


def _ours(row: Sequence[int]) -> bool:
    """Tell a keycode that we mapped: the same symbol on two levels and nothing else, outside a usual layout."""
    rest = {symbol for symbol in row[2:] if symbol}
    return row[0] == row[1] >= 0xA0 and row[0] not in range(0xFE00, 0x10000) and rest <= {row[0]}


class XtestOutput:
    """Keys through XTEST from a resident connection: exact in X11 applications, no receipt from them."""

    name = "xtest"
    burst_limit: int | None = None  # the queue is in the server: no application was lost

    def __init__(self) -> None:
        self._keyboard: XtestKeyboard | None = None
        self._display_name = ""

    async def probe(self, session: Session) -> Availability:
        """Say whether XTEST reaches the focused window; under Wayland that is an X11 window's case only."""
        if session.x11 is None:
            return NO_X11
        try:
            focus = await _with(await self._connected(session), lambda keyboard: focus_of(keyboard.display))
        except X11Error as error:
            return Availability(usable=False, reason=f"No XTEST: {error}.")
        if session.wayland is not None and not focus.app:
            return Availability(usable=False, reason="The focused window is no X11 window.")
        return Availability(usable=True, reason="The X server takes keys through XTEST.")

    async def deliver(self, text: str, to: Destination) -> Delivery:
        """Type it, once the user has let go of every modifier or two seconds have passed."""
        session = to.session
        if session.x11 is None:
            raise no_display("there is no X11 display")
        try:
            keyboard = await self._connected(session)
        except X11Error as error:
            raise no_display(str(error)) from error
        sent = 0

        def note_sent(characters: int) -> None:
            nonlocal sent
            sent = characters

        allowance_s = ANSWER_S + MODIFIER_WAIT_S + _BATCH_ALLOWANCE_S * (len(text) / BATCH + 1)
        try:
            typed = await _with(keyboard, lambda at: at.type(text, note_sent), timeout_s=allowance_s)
        except X11Error as error:
            self._keyboard = None
            raise broken(str(error), delivered=None if sent else 0) from error
        if typed.moved:
            return Delivery(self.name, Certainty.UNCERTAIN, typed.characters, typed.app, FOCUS_MOVED)
        return Delivery(self.name, Certainty.SENT, typed.characters, typed.app)

    async def aclose(self) -> None:
        """Clear the spare keycodes and disconnect."""
        keyboard, self._keyboard = self._keyboard, None
        if keyboard is None:
            return
        try:
            await _with(keyboard, XtestKeyboard.clear)
            await _with(keyboard, lambda at: at.display.close())
        except X11Error:
            pass

    async def _connected(self, session: Session) -> XtestKeyboard:
        """Return the resident connection, a new one when the display is another or was restarted."""
        if self._keyboard and self._display_name == session.x11:
            try:
                await _with(self._keyboard, lambda keyboard: keyboard.display.sync())
            except X11Error:
                pass
            else:
                return self._keyboard
        await self.aclose()
        self._keyboard = await asyncio.to_thread(_open, session)
        self._display_name = session.x11 or ""
        return self._keyboard


def _open(session: Session) -> XtestKeyboard:
    display = connect(session)
    with foreign_errors(display):
        if not display.has_extension("XTEST"):
            display.close()
            raise X11Error("the X server has no XTEST extension")
        return XtestKeyboard(display)


async def _with(keyboard: XtestKeyboard, work: Callable[[XtestKeyboard], T], *, timeout_s: float = ANSWER_S) -> T:
    """Run blocking X work in a thread; cancelling ends it between batches. Raises X11Error."""

    def guarded() -> T:
        with foreign_errors(keyboard.display):
            return work(keyboard)

    return await in_thread(guarded, give_up=lambda: cut(keyboard.display), stop=keyboard.stop, timeout_s=timeout_s)
