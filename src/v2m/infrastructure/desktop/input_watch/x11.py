"""Keys and buttons on an X display, as the server sees them from any device (XInput 2 raw events)."""

import asyncio
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from v2m.domain.delivery import Session
from v2m.infrastructure._x11.display import X11Error, close_display, connect, cut, foreign_errors
from v2m.infrastructure.desktop.input_watch.touches import Touches

if TYPE_CHECKING:
    from Xlib.display import Display

_RAW_EVENT: Final = struct.Struct("=HII")  # device, time, detail: how an xXIRawEvent begins after its type
_XI_MINOR: Final = 2  # since 2.1 raw events come also while another client grabs the keyboard, as a hotkey does
_MOST: Final = 1  # key that is no modifier


class X11InputWatch:
    """Presses since `begin`; releases and movements do not count. Sleeps while nothing is pressed."""

    def __init__(self) -> None:
        self._display: Display | None = None
        self._modifiers: frozenset[int] = frozenset()
        self._touches = Touches(_MOST)
        self._over = False

    async def begin(self, session: Session) -> bool:
        """Watch from now on; tell whether this display lets us."""
        await self.aclose()
        try:
            display, self._modifiers = await asyncio.to_thread(_open, session)
        except X11Error:
            return False
        self._display, self._touches, self._over = display, Touches(_MOST), False
        asyncio.get_running_loop().add_reader(display.fileno(), self._readable)
        return True

    def touched(self, within_s: float) -> bool | None:
        """Tell whether more than one chord in the last `within_s` was pressed; None: it is not known."""
        self._readable()
        if self._touches.beyond_a_chord(within_s):
            return True
        return None if self._display is None or self._over else False

    async def aclose(self) -> None:
        """Stop, disconnect and forget; twice is fine."""
        display, self._display = self._display, None
        self._touches = Touches(_MOST)
        if display is not None:
            self._leave(display)
            await close_display(display)

    def _readable(self) -> None:
        display = self._display
        if display is None or self._over:
            return
        try:
            with foreign_errors(display):
                while not self._touches.certain and display.pending_events():
                    self._note(display.next_event())
        except X11Error:
            self._leave(display)
        if self._touches.certain:
            self._leave(display)

    def _note(self, event: Any) -> None:  # noqa: ANN401 - python-xlib has no types
        from Xlib.ext import ge, xinput

        if event.type != ge.GenericEventCode:
            return
        _, _, keycode = _RAW_EVENT.unpack_from(event.data)
        if event.evtype == xinput.RawButtonPress:
            self._touches.note(_MOST + 1)  # no hotkey has a button
        else:
            self._touches.note(0 if keycode in self._modifiers else 1)

    def stop(self) -> None:
        """Hear no more; sends without waiting."""
        if self._display is not None:
            self._leave(self._display)

    def _leave(self, display: "Display") -> None:
        """Hear no more; the server forgets us at once, so that nothing queues up there."""
        if self._over:
            return
        self._over = True
        with suppress(OSError, ValueError):
            asyncio.get_running_loop().remove_reader(display.fileno())
        cut(display)


def _open(session: Session) -> tuple["Display", frozenset[int]]:
    from Xlib.ext import xinput

    display = connect(session)
    with foreign_errors(display):
        if not display.has_extension(xinput.extname):
            display.close()
            raise X11Error("the X server has no XInput extension")
        opcode = display.display.get_extension_major(xinput.extname)
        # python-xlib's own query asks for 2.0
        xinput.XIQueryVersion(display=display.display, opcode=opcode, major_version=2, minor_version=_XI_MINOR)
        modifiers = {keycode for row in display.get_modifier_mapping() for keycode in row if keycode}
        wanted = xinput.RawKeyPressMask | xinput.RawButtonPressMask
        display.screen().root.xinput_select_events([(xinput.AllMasterDevices, wanted)])
        display.sync()
    return display, frozenset(modifiers)
