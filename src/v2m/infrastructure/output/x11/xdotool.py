"""The `xdotool` tool: the second choice on X11."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from v2m.domain.delivery import Certainty, Delivery, Destination, Session
from v2m.domain.errors import OutputError
from v2m.domain.ports import AtBest, Availability
from v2m.infrastructure._run import find_tool
from v2m.infrastructure._x11.display import X11Error, aim_of, ask, close_display, open_display, peek
from v2m.infrastructure.output._tools import hint, type_with, utf8
from v2m.infrastructure.output.failures import FOCUS_MOVED, MOVED_BEFORE, NO_X11, broken, no_display, refused
from v2m.infrastructure.output.x11.keyboard import BURST_LIMIT
from v2m.infrastructure.output.x11.user_keys import GRABBED, Look, UserKeys, is_wanted, still_wanted, until_free

if TYPE_CHECKING:
    from Xlib.display import Display

START_S: Final = 5.0
DELAY_MS: Final = 12  # its own default
# It maps one key anew for each character the layout lacks. Measured in xterm: at 12 ms the application
# looks too late and shows another character, at 50 ms texts were exact; half as much again for loaded machines.
FOREIGN_DELAY_MS: Final = 75
LOOK_S: Final = 0.030  # between two looks at the focus: xdotool presses three keys meanwhile

_LOSSY: Final = "xdotool loses characters that your keyboard layout lacks when the application is slow."


class XdotoolOutput:
    """Keys from a child, which is ended when another window gets the focus."""

    name = "xdotool"
    at_best = AtBest(BURST_LIMIT, ascii_only=True)

    async def probe(self, session: Session) -> Availability:
        """Say whether the tool is there and reaches the focused window; starts nothing."""
        if session.x11 is None:
            return NO_X11
        if find_tool("xdotool") is None:
            return Availability(usable=False, reason=f"xdotool is not installed: {hint('xdotool')}")
        try:
            focus = await peek(session)
        except X11Error as error:
            return Availability(usable=False, reason=f"No xdotool: {error}.")
        if session.wayland is not None and not focus.app:
            return Availability(usable=False, reason="The focused window is no X11 window.")
        return Availability(usable=True, reason="xdotool types through XTEST.")

    async def deliver(self, text: str, to: Destination) -> Delivery:
        """Let xdotool type it into the window that is meant, looking at the focus all the while."""
        if to.session.x11 is None:
            raise no_display("there is no X11 display")
        stdin = utf8(text)
        try:
            display = await open_display(to.session)
        except X11Error as error:
            raise no_display(str(error)) from error
        try:
            watch = await _aimed(display, to)
            delay_ms = DELAY_MS if text.isascii() else FOREIGN_DELAY_MS
            argv = ["xdotool", "type", "--clearmodifiers", "--delay", str(delay_ms), "--file", "-"]
            timeout_s = START_S + 3 * delay_ms / 1000 * len(text)
            await watch.over(type_with(argv, stdin, to.session, timeout_s=timeout_s))
        finally:
            await close_display(display)
        if watch.broken:
            return Delivery(self.name, Certainty.UNCERTAIN, len(text), watch.target.app, watch.broken)
        if not text.isascii():
            return Delivery(self.name, Certainty.UNCERTAIN, len(text), watch.target.app, _LOSSY)
        return Delivery(self.name, Certainty.SENT, len(text), watch.target.app)

    async def aclose(self) -> None:
        """Nothing stays open."""


class _Watch:
    """Looks at the keyboard while a child types; `broken` says why its keys would not arrive any more."""

    def __init__(self, display: "Display") -> None:
        """Blocks. Raises X11Error."""
        self.broken = ""
        self._display = display
        self._keys = UserKeys(display)
        self.target = aim_of(display)
        self._before = self._keys.look().down

    async def look(self) -> Look:
        """Look once. Raises X11Error."""
        return await ask(self._display, self._keys.look)

    async def over(self, typing: Coroutine[Any, Any, object]) -> None:
        """Let a child type to its end, or to the moment when its keys would go elsewhere. Raises OutputError."""
        through = False
        try:
            async with asyncio.TaskGroup() as group:
                child = group.create_task(_outcome(typing))
                while not (self.broken or child.done()):
                    await asyncio.wait({child}, timeout=LOOK_S)
                    await self._check()
                ended = child.done()
                child.cancel()
            if not ended:
                raise broken(f"{self.broken[0].lower()}{self.broken[1:-1]}", delivered=None)
            if failure := child.result():
                raise failure
            through = True
        finally:
            if not through:
                await self._let_go()

    async def _check(self) -> None:
        def check() -> str:
            look = self._keys.look()
            if look.grabbed:
                return GRABBED
            return "" if self._keys.still_in(self.target, look.window) else FOCUS_MOVED

        try:
            self.broken = await ask(self._display, check)
        except X11Error:
            self.broken = "The X display is gone."

    async def _let_go(self) -> None:
        """Release the key that a child may have left pressed when it was ended."""
        with suppress(X11Error):
            left = (await self.look()).down - self._before
            await ask(self._display, lambda: self._keys.release(left))


async def _outcome(typing: Coroutine[Any, Any, object]) -> OutputError | None:
    """Return how a child failed."""
    try:
        await typing
    except OutputError as error:
        return error
    return None


async def _aimed(display: "Display", to: Destination) -> _Watch:
    """Return the watch over the window that is meant, once the user holds no key. Raises OutputError: it is not so."""
    try:
        watch = await ask(display, lambda: _Watch(display))
        if watch.target.window == 0:
            raise refused("No window has the focus.")
        if not is_wanted(watch.target, to.window) or not await still_wanted(to):
            raise refused(MOVED_BEFORE)
        if (await until_free(watch.look, lambda: False)).grabbed:
            raise refused(GRABBED)
    except X11Error as error:
        raise no_display(str(error)) from error
    return watch
