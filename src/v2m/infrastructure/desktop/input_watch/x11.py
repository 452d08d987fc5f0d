"""Keys and buttons on an X display, as the server sees them from its devices (XInput 2 raw events).

Keys that programs press, our own among them, come from the server's XTEST devices. Until `settled` those are not
asked for, so that nothing wakes us for each of our own keys; from then on they count as any others, because a
remote desktop's user types through them.
"""

import asyncio
import struct
from typing import TYPE_CHECKING, Any, Final

from v2m.domain.delivery import Session
from v2m.infrastructure._x11.display import X11Error, ask, close_display, connect, cut, foreign_errors
from v2m.infrastructure.desktop.input_watch.touches import Touches

if TYPE_CHECKING:
    from Xlib.display import Display

_RAW_EVENT: Final = struct.Struct("=HII")  # device, time, detail: how an xXIRawEvent begins after its type
_XI_MINOR: Final = 2  # since 2.1 raw events come also while another client grabs the keyboard, as a hotkey does
_MOST: Final = 1  # key that is no modifier
_XTEST: Final = (" XTEST keyboard", " XTEST pointer")  # how the X server ends the names of its own devices
_MASTERS: Final = (1, 2)  # uses of a device that is none itself (XI2.h: XIMasterPointer, XIMasterKeyboard)


class X11InputWatch:
    """Presses since `begin`; releases and movements do not count. Sleeps while nothing is pressed."""

    def __init__(self) -> None:
        self._display: Display | None = None
        self._devices: tuple[int, ...] = ()  # that are listened to until `settled`
        self._modifiers: frozenset[int] = frozenset()
        self._touches = Touches(_MOST)
        self._settled = False
        self._over = False

    async def begin(self, session: Session) -> bool:
        """Watch the user's own devices from now on; tell whether this display lets us."""
        await self.aclose()
        try:
            display, self._devices, self._modifiers = await asyncio.to_thread(_open, session)
        except X11Error:
            return False
        self._display, self._touches, self._over, self._settled = display, Touches(_MOST), False, False
        self._fd = display.fileno()  # the display itself does not tell it any more once the server is gone
        asyncio.get_running_loop().add_reader(self._fd, self._readable)
        return True

    async def settled(self) -> None:
        """Watch every device from now on; what our own keys did is over when this returns."""
        display = self._display
        if display is None or self._settled or self._over:
            return
        loop, devices = asyncio.get_running_loop(), self._devices
        loop.remove_reader(self._fd)  # the connection is the thread's meanwhile
        try:
            await ask(display, lambda: _widen(display, devices))
        except X11Error:
            self._leave(display)
            return
        loop.add_reader(self._fd, self._readable)
        self._settled = True
        self._readable()  # what came meanwhile wakes nobody

    def touched(self, within_s: float) -> bool | None:
        """Tell whether more than one chord in the last `within_s` was pressed; None: it is not known (yet)."""
        self._readable()
        if self._touches.beyond_a_chord(within_s):
            return True
        return None if self._display is None or self._over or not self._settled else False

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
        asyncio.get_running_loop().remove_reader(self._fd)
        cut(display)


def _open(session: Session) -> tuple["Display", tuple[int, ...], frozenset[int]]:
    """Connect and listen to every device but those of XTEST; blocks. Raises X11Error."""
    from Xlib.ext import xinput

    display = connect(session)
    with foreign_errors(display):
        if not display.has_extension(xinput.extname):
            display.close()
            raise X11Error("the X server has no XInput extension")
        display.set_error_handler(lambda _error, _request: None)  # devices are unplugged at any time
        opcode = display.display.get_extension_major(xinput.extname)
        # python-xlib's own query asks for 2.0
        xinput.XIQueryVersion(display=display.display, opcode=opcode, major_version=2, minor_version=_XI_MINOR)
        modifiers = {keycode for row in display.get_modifier_mapping() for keycode in row if keycode}
        found = display.xinput_query_device(xinput.AllDevices).devices
        devices = tuple([one.deviceid for one in found if one.use not in _MASTERS and not one.name.endswith(_XTEST)])
        for device in devices:
            _select(display, device)
        display.sync()
    return display, devices, frozenset(modifiers)


def _widen(display: "Display", devices: tuple[int, ...]) -> None:
    """Listen to all devices there are and will be, instead of these; returns when the server has obeyed."""
    from Xlib.ext import xinput

    _select(display, xinput.AllMasterDevices)
    for device in devices:
        _select(display, device, listen=False)
    display.sync()


def _select(display: "Display", device: int, *, listen: bool = True) -> None:
    from Xlib.ext import xinput

    wanted = xinput.RawKeyPressMask | xinput.RawButtonPressMask if listen else 0
    display.screen().root.xinput_select_events([(device, wanted)])
