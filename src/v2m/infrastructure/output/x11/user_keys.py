"""What the user and others do with the keyboard while we want to type: held modifiers, and grabs."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from v2m.domain.delivery import Destination, Window
from v2m.infrastructure._x11.display import Focus, still_in

if TYPE_CHECKING:
    from Xlib.display import Display

WAIT_S: Final = 2.0  # how long the user may take to let go of the hotkey
POLL_S: Final = 0.020
GRABBED: Final = "Another program has all keys to itself now: a lock screen, a password prompt, a menu or a launcher."


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the keyboard; all of it at one time."""

    window: int  # that keys go to
    held: tuple[int, ...] = ()  # keycodes of modifiers
    grabbed: bool = False  # by another program
    down: frozenset[int] = frozenset()  # keycodes of all keys that are held

    @property
    def free(self) -> bool:
        """Whether keys that we press would arrive as they are."""
        return not self.held and not self.grabbed

    @property
    def is_hotkey(self) -> bool:
        """Whether it may be a hotkey that is held: its owner has all keys as long as one is down."""
        return not self.grabbed or bool(self.down)


class UserKeys:
    """Looks at one display's keyboard. Blocks: it belongs to the thread that calls it."""

    def __init__(self, display: "Display") -> None:
        from Xlib import X

        self._display = display
        root = display.screen().root
        self._hidden: Any = root.create_window(0, 0, 1, 1, 0, 0, window_class=X.InputOnly)  # never shown
        self._modifiers: frozenset[int] = frozenset()
        self.refresh()

    def refresh(self) -> None:
        """Learn anew which keys are modifiers."""
        self.by_modifier: tuple[tuple[int, ...], ...] = tuple(
            tuple(keycode for keycode in row if keycode) for row in self._display.get_modifier_mapping()
        )
        self._modifiers = frozenset(keycode for row in self.by_modifier for keycode in row)

    def look(self) -> Look:
        """Ask everything in one roundtrip.

        Nobody can grab the keyboard with a window that is not shown. The server checks first whether somebody else
        has it, so that the question alone tells, and no application sees its focus go and come.
        """
        from Xlib import X
        from Xlib.protocol import request

        to = self._display.display
        focus = request.GetInputFocus(display=to, defer=True)
        keys = request.QueryKeymap(display=to, defer=True)
        grab = request.GrabKeyboard(
            display=to,
            defer=True,
            owner_events=True,
            grab_window=self._hidden,
            time=X.CurrentTime,
            pointer_mode=X.GrabModeAsync,
            keyboard_mode=X.GrabModeAsync,
        )
        for asked in (focus, keys, grab):
            asked.reply()
        if grab.status == X.GrabSuccess:
            self._display.ungrab_keyboard(X.CurrentTime)
        window = getattr(focus.focus, "id", focus.focus)
        down = frozenset(
            8 * at + bit for at, byte in enumerate(keys.map) if byte for bit in range(8) if byte >> bit & 1
        )
        grabbed = grab.status in (X.AlreadyGrabbed, X.GrabFrozen)
        return Look(int(window), tuple(self._modifiers & down), grabbed, down)

    def still_in(self, target: Focus, window: int) -> bool:
        """Tell whether this is the window that had the focus, or another part of it."""
        return still_in(self._display, target, window)

    def release(self, keycodes: Collection[int]) -> None:
        """Let go of keys that the user holds: X11 has one state for all keyboards."""
        from Xlib import X
        from Xlib.ext import xtest

        for keycode in keycodes:
            xtest.fake_input(self._display, X.KeyRelease, keycode)
        if keycodes:
            self._display.sync()


def is_wanted(focus: Focus, wanted: Window | None) -> bool:
    """Tell whether the focus is in the window that a text is for, as far as its id is one of X11."""
    if wanted is None or not wanted.id.startswith("x11:"):
        return True
    return wanted.id in (f"x11:{focus.client:#x}", f"x11:{focus.window:#x}")


async def still_wanted(to: Destination) -> bool:
    """Ask the desktop itself whether the window still has the focus: ids of a compositor mean nothing here."""
    return to.stays is None or await to.stays()


async def until_free(look: Callable[[], Awaitable[Look]], dictating: Callable[[], bool]) -> Look:
    """Wait until nobody holds a modifier or has grabbed the keyboard; return how it is then.

    At most `WAIT_S`, in which the time does not count for which the hotkey of our own next recording is held. A grab
    with no key down is somebody else's, a lock screen's for one, and always counts.
    """
    waited_s, before = 0.0, time.monotonic()
    while not (seen := await look()).free:
        now = time.monotonic()
        if not (seen.is_hotkey and dictating()):
            waited_s += now - before
        before = now
        if waited_s >= WAIT_S:
            break
        await asyncio.sleep(POLL_S)
    return seen
