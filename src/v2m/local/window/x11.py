"""A plain window on an X display that shows nothing and remembers what is typed into it; no toolkit."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from v2m.domain.delivery import Session
from v2m.infrastructure._x11.display import X11Error, cut, foreign_errors, open_display
from v2m.local.window.page import Page
from v2m.local.window.x11_groups import use_groups
from v2m.local.window.xkb import Composer, pastes

if TYPE_CHECKING:
    from Xlib.display import Display

CLASS: Final = "v2m-check"
TITLE: Final = "v2m reads back what it types here"
WIDTH, HEIGHT = 480, 160
COLOUR: Final = 0x2E3440
_LEVEL_3: Final = 0xFE03  # ISO_Level3_Shift, what AltGr is
_BY_USER: Final = 2  # source of _NET_ACTIVE_WINDOW: the user has just asked for this window
_GROUP_SHIFT: Final = 13  # bits 13 and 14 of an event's state are the XKB group
_MODIFIERS: Final = range(0xFFE1, 0xFFEF)  # Shift_L … Hyper_R: they make nothing


@asynccontextmanager
async def open_x11(session: Session, page: Page, locale: str) -> AsyncIterator[None]:
    """Show the window and write into `page` what is typed, until left.

    Raises:
        X11Error: the X server does not let us in.
        OutputError: libxkbcommon is missing.
    """
    display = await open_display(session)
    loop = asyncio.get_running_loop()
    try:
        with foreign_errors(display):
            window = _Window(display, page, locale)
        loop.add_reader(display.fileno(), window.take_events)
        window.take_events()
        yield
    finally:
        with suppress(ValueError, OSError):
            loop.remove_reader(display.fileno())
        cut(display)
        display.display.socket.close()


class _Window:
    """A mapped window with the focus, if the window manager lets it have that."""

    def __init__(self, display: "Display", page: Page, locale: str) -> None:
        from Xlib import X

        self._display = display
        self._page = page
        self._composer = Composer(locale)
        self._map_changes = {X.MappingNotify, use_groups(display)}
        self._rows: Sequence[Sequence[int]] = []
        self._level_3 = 0
        self._atoms = {name: display.intern_atom(name) for name in ("CLIPBOARD", "UTF8_STRING", "V2M_PASTE")}
        self._window: Any = display.screen().root.create_window(
            0,
            0,
            WIDTH,
            HEIGHT,
            0,
            X.CopyFromParent,
            X.InputOutput,
            X.CopyFromParent,
            background_pixel=COLOUR,
            event_mask=X.KeyPressMask | X.FocusChangeMask | X.StructureNotifyMask,
        )
        self._window.set_wm_name(TITLE)
        self._window.set_wm_class(CLASS, CLASS)
        self._window.set_wm_hints(flags=1, input=1)
        pid = display.intern_atom("_NET_WM_PID")
        self._window.change_property(pid, display.intern_atom("CARDINAL"), 32, [os.getpid()])
        self._window.map()
        display.flush()

    def take_events(self) -> None:
        """Handle what has come; ends quietly when the server is gone."""
        try:
            with foreign_errors(self._display):
                self._display.flush()
                while self._display.pending_events():
                    self._event(self._display.next_event())
                    self._display.flush()  # it may read too, so it must not be the last
        except X11Error:
            self._page.set_focus(has_focus=False)
            asyncio.get_running_loop().remove_reader(self._display.fileno())

    def _event(self, event: Any) -> None:  # noqa: ANN401 - python-xlib has no types
        from Xlib import X

        if event.type == X.KeyPress:
            self._pressed(event.detail, event.state)
        elif event.type in self._map_changes:
            self._rows = []
        elif event.type == X.MapNotify:
            self._ask_for_focus()
        elif event.type in (X.FocusIn, X.FocusOut) and event.mode in (X.NotifyNormal, X.NotifyWhileGrabbed):
            if event.detail not in (X.NotifyPointer, X.NotifyInferior):
                self._page.losses += event.type == X.FocusOut
                self._page.set_focus(has_focus=event.type == X.FocusIn)
        elif event.type == X.SelectionNotify:
            self._pasted(event.property)

    def _ask_for_focus(self) -> None:
        """Ask the window manager; without one, take it."""
        from Xlib import X
        from Xlib.protocol import event

        root = self._display.screen().root
        supported = self._display.intern_atom("_NET_ACTIVE_WINDOW")
        message = event.ClientMessage(
            window=self._window, client_type=supported, data=(32, [_BY_USER, X.CurrentTime, 0, 0, 0])
        )
        root.send_event(message, event_mask=X.SubstructureRedirectMask | X.SubstructureNotifyMask)
        if root.get_full_property(self._display.intern_atom("_NET_SUPPORTING_WM_CHECK"), X.AnyPropertyType) is None:
            self._window.set_input_focus(X.RevertToParent, X.CurrentTime)

    # --- keys ---

    def _pressed(self, keycode: int, state: int) -> None:
        from Xlib import X

        row = self._row(keycode)
        control, shift = bool(state & X.ControlMask), bool(state & X.ShiftMask)
        if pastes(set(row), control=control, shift=shift):
            selection, kind = self._atoms["CLIPBOARD"], self._atoms["UTF8_STRING"]
            self._window.convert_selection(selection, kind, self._atoms["V2M_PASTE"], X.CurrentTime)
        elif not control and (sym := self._sym(row, state)) and sym not in _MODIFIERS:
            self._page.insert(self._composer.text_of(sym))

    def _row(self, keycode: int) -> Sequence[int]:
        """Return the keysyms of a key; the map is fetched when the first key after a change comes, as by others."""
        info: Any = self._display.display.info
        if not self._rows:
            count = info.max_keycode - info.min_keycode + 1
            self._rows = self._display.get_keyboard_mapping(info.min_keycode, count)
            self._level_3 = self._mask_of(_LEVEL_3)
        row: Sequence[int] = self._rows[keycode - info.min_keycode]
        return row

    def _mask_of(self, symbol: int) -> int:
        """Return the modifier bit whose keys make this keysym; 0 when none does."""
        first = self._display.display.info.min_keycode
        for bit, keycodes in enumerate(self._display.get_modifier_mapping()):
            if any(keycode and symbol in self._rows[keycode - first] for keycode in keycodes):
                return 1 << bit
        return 0

    def _sym(self, row: Sequence[int], state: int) -> int:
        """Return the keysym in the core map's order: two levels of two groups, then the next two levels of each."""
        from Xlib import X

        group, upper = state >> _GROUP_SHIFT & 3, bool(state & self._level_3)
        shifted = bool(state & X.ShiftMask)
        wanted = [at + shifted for at in ((4 + 2 * group, 2 * group) if upper else (2 * group,))]
        plain = [2 * group, int(shifted), 0]  # a key with one level, or one group, is the same in all
        sym = next((row[at] for at in (*wanted, *plain) if at < len(row) and row[at]), 0)
        if state & X.LockMask and not shifted:
            text = self._composer.alone(sym)
            return next((each for each in row if self._composer.alone(each) == text.upper() != text), sym)
        return int(sym)

    # --- clipboard ---

    def _pasted(self, place: int) -> None:
        from Xlib import X

        if place == X.NONE:
            return
        found = self._window.get_full_property(place, X.AnyPropertyType)
        self._window.delete_property(place)
        if found is not None and found.format == 8:  # bytes; INCR, for far larger texts, has 32
            self._page.insert(bytes(found.value).decode("utf-8", "replace"))
