"""What the user and others do with the keyboard while we want to type: held modifiers, and grabs."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from v2m.domain.delivery import Window
from v2m.infrastructure._x11.display import Focus, focus_of

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

    @property
    def free(self) -> bool:
        """Whether keys that we press would arrive as they are."""
        return not self.held and not self.grabbed


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
        held = (keycode for keycode in self._modifiers if keys.map[keycode // 8] >> (keycode % 8) & 1)
        return Look(int(window), tuple(held), grab.status in (X.AlreadyGrabbed, X.GrabFrozen))

    def still_in(self, target: Focus, window: int) -> bool:
        """Tell whether this is the window that had the focus, or another part of it."""
        return window == target.window or (target.client != 0 and focus_of(self._display).client == target.client)

    def release(self, keycodes: tuple[int, ...]) -> None:
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


async def until_free(look: Callable[[], Awaitable[Look]], dictating: Callable[[], bool]) -> Look:
    """Wait until nobody holds a modifier or has grabbed the keyboard; return how it is then.

    At most `WAIT_S`, in which the time of our own next recording does not count: its hotkey is held that long.
    """
    waited_s, before = 0.0, time.monotonic()
    while not (seen := await look()).free:
        now = time.monotonic()
        if not dictating():
            waited_s += now - before
        before = now
        if waited_s >= WAIT_S:
            break
        await asyncio.sleep(POLL_S)
    return seen
