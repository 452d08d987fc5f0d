"""Types into X11 windows with the XTEST extension, over a connection that stays."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from v2m.domain.delivery import Certainty, Delivery, Destination, Session, Window
from v2m.domain.ports import AtBest, Availability
from v2m.infrastructure._x11.display import (
    ANSWER_S,
    Focus,
    X11Error,
    aim_of,
    connect,
    cut,
    focus_of,
    foreign_errors,
    in_thread,
    peek,
)
from v2m.infrastructure.output.failures import FOCUS_MOVED, MOVED_BEFORE, NO_X11, broken, no_display, refused
from v2m.infrastructure.output.x11.keyboard import BATCH, BURST_LIMIT, XtestKeyboard
from v2m.infrastructure.output.x11.user_keys import GRABBED, Look, is_wanted, still_wanted, until_free

_BATCH_ALLOWANCE_S: Final = 0.050
_CHARACTER_ALLOWANCE_S: Final = 0.100  # each new one: spare keys may have to be mapped anew for every few of them

MEDDLED: Final = "A key such as Ctrl was held while the text was typed: the last characters may be something else."

T = TypeVar("T")


class _CancelledError(Exception):
    """The caller went away between two batches."""


@dataclass(frozen=True, slots=True)
class _Typed:
    """Why typing stopped; neither: at the end of the text."""

    moved: bool = False  # another window has the focus
    busy: bool = False  # the user holds a modifier, or somebody has grabbed the keyboard
    grabbed: bool = False


class _Typing:
    """One text on its way; `sent` counts the characters that the X server was given, or is being given."""

    def __init__(self, keyboard: XtestKeyboard, text: str) -> None:
        self.sent = 0
        self.stop = threading.Event()  # set by whoever waits for this text and gives up
        self.target = Focus(0)
        self._keyboard = keyboard
        self._text = text
        self._released: tuple[int, ...] = ()

    def aim(self, wanted: Window | None) -> None:
        """Take the window that has the focus now, which has to be the wanted one. Raises OutputError."""
        self.target = aim_of(self._keyboard.display)
        if self.target.window == 0:
            raise refused("No window has the focus.")
        if not is_wanted(self.target, wanted):
            raise refused(MOVED_BEFORE)

    def go_on(self, held: tuple[int, ...]) -> _Typed:
        """Type from where it stopped, once these modifiers are released. Raises _CancelledError, OutputError."""
        self._keyboard.refresh()
        self._released = held
        self._keyboard.user.release(held)
        with self._keyboard.locks.plain():
            for part in self._keyboard.portions(self._text[self.sent :]):
                self._keyboard.prepare(part)
                for start in range(0, len(part), BATCH):
                    if stopped := self._stopped():
                        return stopped
                    batch = part[start : start + BATCH]
                    self.sent += len(batch)
                    self._keyboard.press(batch)
            return self._stopped() or _Typed()

    def _stopped(self) -> _Typed | None:
        """Return why no key may go now; ends the batch's roundtrip."""
        if self.stop.is_set():
            raise _CancelledError
        user = self._keyboard.user
        look = user.look()
        if not user.still_in(self.target, look.window):
            return _Typed(moved=True)
        busy = look.grabbed or set(look.held) - set(self._released)
        return _Typed(busy=True, grabbed=look.grabbed) if busy else None


class XtestOutput:
    """Keys through XTEST from a resident connection: exact in X11 applications, no receipt from them."""

    name = "xtest"
    at_best = AtBest(BURST_LIMIT, ascii_only=True)

    def __init__(self, *, dictating: Callable[[], bool] = lambda: False) -> None:
        """`dictating` tells whether our own next recording is open: then its hotkey may be held for as long."""
        self._dictating = dictating
        self._keyboard: XtestKeyboard | None = None
        self._display_name = ""
        self._turn = asyncio.Lock()  # whoever uses the connection: nobody may close it meanwhile

    async def probe(self, session: Session) -> Availability:
        """Say whether XTEST reaches the focused window; under Wayland that is an X11 window's case only."""
        if session.x11 is None:
            return NO_X11
        try:
            focus = await self._focus(session)
        except X11Error as error:
            return Availability(usable=False, reason=f"No XTEST: {error}.")
        if session.wayland is not None and not focus.app:
            return Availability(usable=False, reason="The focused window is no X11 window.")
        return Availability(usable=True, reason="The X server takes keys through XTEST.")

    async def deliver(self, text: str, to: Destination) -> Delivery:
        """Type it, once the user has let go of every modifier or two seconds have passed; held again, it stops."""
        if to.session.x11 is None:
            raise no_display("there is no X11 display")
        async with self._turn:
            try:
                keyboard = await self._connected(to.session)
            except X11Error as error:
                raise no_display(str(error)) from error
            typing = _Typing(keyboard, text)
            try:
                await _with(keyboard, lambda: typing.aim(to.window))
                if not await still_wanted(to):
                    raise refused(MOVED_BEFORE)
                return await self._type(keyboard, typing, text)
            except X11Error as error:
                self._keyboard = None
                raise broken(str(error), delivered=None if typing.sent else 0) from error

    async def aclose(self) -> None:
        """Clear the spare keycodes and disconnect."""
        async with self._turn:
            await self._hang_up()

    async def _focus(self, session: Session) -> Focus:
        """Return the focus of a display that has XTEST; while a text is typed without its connection."""
        if self._turn.locked():
            return await peek(session)
        async with self._turn:
            keyboard = await self._connected(session)
            return await _with(keyboard, lambda: focus_of(keyboard.display))

    async def _hang_up(self) -> None:
        keyboard, self._keyboard = self._keyboard, None
        if keyboard is None:
            return
        try:
            await _with(keyboard, keyboard.clear)
            await _with(keyboard, keyboard.display.close)
        except X11Error:
            pass

    async def _type(self, keyboard: XtestKeyboard, typing: _Typing, text: str) -> Delivery:
        async def look() -> Look:
            return await _with(keyboard, keyboard.user.look)

        allowance_s = ANSWER_S + _BATCH_ALLOWANCE_S * (len(text) / BATCH + 1) + _CHARACTER_ALLOWANCE_S * len(set(text))
        typed = _Typed(busy=True)
        while typed.busy:
            seen = await until_free(look, self._dictating)
            if seen.grabbed:
                return self._stopped(typing, GRABBED)
            work = partial(typing.go_on, seen.held)
            typed = await _with(keyboard, work, stop=typing.stop.set, timeout_s=allowance_s)
            if typed.busy and typing.sent:  # X11 has one state for all keyboards: the last batch may be commands
                return self._stopped(typing, GRABBED if typed.grabbed else MEDDLED)
        if typed.moved:
            return self._stopped(typing, FOCUS_MOVED if typing.sent else MOVED_BEFORE)
        return Delivery(self.name, Certainty.SENT, typing.sent, typing.target.app)

    def _stopped(self, typing: _Typing, detail: str) -> Delivery:
        """Return the delivery of what went out. Raises OutputError: nothing did."""
        if not typing.sent:
            raise refused(detail)
        return Delivery(self.name, Certainty.UNCERTAIN, typing.sent, typing.target.app, detail)

    async def _connected(self, session: Session) -> XtestKeyboard:
        """Return the resident connection, a new one when the display is another or was restarted."""
        if self._keyboard and self._display_name == session.x11:
            try:
                await _with(self._keyboard, self._keyboard.display.sync)
            except X11Error:
                pass
            else:
                return self._keyboard
        await self._hang_up()
        self._keyboard = await asyncio.to_thread(_open, session)
        self._display_name = session.x11 or ""
        return self._keyboard


async def _with(
    keyboard: XtestKeyboard,
    work: Callable[[], T],
    *,
    stop: Callable[[], None] = lambda: None,
    timeout_s: float = ANSWER_S,
) -> T:
    """Run blocking X work in a thread; cancelling calls `stop` and waits for it. Raises X11Error."""

    def guarded() -> T:
        with foreign_errors(keyboard.display):
            return work()

    return await in_thread(guarded, give_up=lambda: cut(keyboard.display), stop=stop, timeout_s=timeout_s)


def _open(session: Session) -> XtestKeyboard:
    display = connect(session)
    with foreign_errors(display):
        if not display.has_extension("XTEST"):
            display.close()
            raise X11Error("the X server has no XTEST extension")
        return XtestKeyboard(display)
