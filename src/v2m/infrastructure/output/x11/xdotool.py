"""The `xdotool` tool: the second choice on X11."""

from typing import Final

from v2m.domain.delivery import Certainty, Delivery, Destination, Session
from v2m.domain.ports import AtBest, Availability
from v2m.infrastructure._run import find_tool
from v2m.infrastructure._x11.display import X11Error, close_display, open_display, read_focus
from v2m.infrastructure.output._tools import hint, type_with, utf8
from v2m.infrastructure.output.failures import FOCUS_MOVED, NO_X11, no_display, refused
from v2m.infrastructure.output.x11.keyboard import BURST_LIMIT

START_S: Final = 5.0
DELAY_MS: Final = 12  # its own default
# It maps one key anew for each character the layout lacks. Measured in xterm: at 12 ms the application
# looks too late and shows another character, at 50 ms texts were exact; half as much again for loaded machines.
FOREIGN_DELAY_MS: Final = 75

_LOSSY: Final = "xdotool loses characters that your keyboard layout lacks when the application is slow."


class XdotoolOutput:
    """Keys from a child."""

    name = "xdotool"
    at_best = AtBest(BURST_LIMIT, ascii_only=True)

    async def probe(self, session: Session) -> Availability:
        """Say whether the tool is there and reaches the focused window; starts nothing."""
        if session.x11 is None:
            return NO_X11
        if find_tool("xdotool") is None:
            return Availability(usable=False, reason=f"xdotool is not installed: {hint('xdotool')}")
        try:
            display = await open_display(session)
            focus = await read_focus(display)
        except X11Error as error:
            return Availability(usable=False, reason=f"No xdotool: {error}.")
        await close_display(display)
        if session.wayland is not None and not focus.app:
            return Availability(usable=False, reason="The focused window is no X11 window.")
        return Availability(usable=True, reason="xdotool types through XTEST.")

    async def deliver(self, text: str, to: Destination) -> Delivery:
        """Let xdotool type it, comparing the focus before and after."""
        session = to.session
        if session.x11 is None:
            raise no_display("there is no X11 display")
        try:
            display = await open_display(session)
            before = await read_focus(display)
        except X11Error as error:
            raise no_display(str(error)) from error
        try:
            if before.window == 0:
                raise refused("No window has the focus.")
            delay_ms = DELAY_MS if text.isascii() else FOREIGN_DELAY_MS
            argv = ["xdotool", "type", "--clearmodifiers", "--delay", str(delay_ms), "--file", "-"]
            await type_with(argv, utf8(text), session, timeout_s=START_S + 3 * delay_ms / 1000 * len(text))
            after = await read_focus(display)
        except X11Error:
            return Delivery(self.name, Certainty.UNCERTAIN, len(text), before.app, "The X display is gone.")
        finally:
            await close_display(display)
        if (after.client or after.window) != (before.client or before.window):
            return Delivery(self.name, Certainty.UNCERTAIN, len(text), before.app, FOCUS_MOVED)
        if not text.isascii():
            return Delivery(self.name, Certainty.UNCERTAIN, len(text), before.app, _LOSSY)
        return Delivery(self.name, Certainty.SENT, len(text), before.app)

    async def aclose(self) -> None:
        """Nothing stays open."""
