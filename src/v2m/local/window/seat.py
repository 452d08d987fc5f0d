"""The keyboard and the clipboard of a Wayland seat: keys become text, paste chords the clipboard's text."""

import os
from collections.abc import Callable
from typing import Final

from v2m.infrastructure._wayland.connection import Connection
from v2m.infrastructure._wayland.wire import Arguments, string, uints
from v2m.local.window.page import Page
from v2m.local.window.reading import read_pipe
from v2m.local.window.xkb import Composer, Keymap, pastes

TEXT_TYPES: Final = ("text/plain;charset=utf-8", "UTF8_STRING", "text/plain")
_KEYBOARD: Final = 2  # wl_seat.capability
_XKB_V1: Final = 1
_GET_KEYBOARD: Final = 1
_GET_DATA_DEVICE: Final = 1
_RECEIVE, _DESTROY_OFFER = 1, 2
_DATA: Final = "wl_data_device_manager"


class Seat:
    """Listens on the seat's keyboard and knows what is on its clipboard."""

    def __init__(self, connection: Connection, page: Page, locale: str, *, on_focus: Callable[[], None]) -> None:
        """Raises WaylandError without a seat, OutputError without libxkbcommon."""
        self._connection = connection
        self._page = page
        self._on_focus = on_focus
        self._composer = Composer(locale)
        self._keymap: Keymap | None = None
        self._keyboard: int | None = None
        self._entered = False
        self._offers: dict[int, list[str]] = {}  # id → types of its data
        self._selection = 0
        self.id = connection.bind("wl_seat", 1, self._seat_event)
        if _DATA in connection.globals:
            manager = connection.bind(_DATA, 1)
            device = connection.create(self._device_event)
            connection.request(manager, _GET_DATA_DEVICE, uints(device, self.id))

    @property
    def is_ready(self) -> bool:
        """Whether the keyboard is on our window, or there is none that could be elsewhere."""
        return self._entered or self._keyboard is None

    # --- keyboard ---

    def _seat_event(self, opcode: int, body: bytes) -> None:
        if opcode != 0:
            return
        has_keyboard = bool(Arguments(body).uint() & _KEYBOARD)
        if has_keyboard and self._keyboard is None:
            self._keyboard = self._connection.create(self._keyboard_event)
            self._connection.request(self.id, _GET_KEYBOARD, uints(self._keyboard))
            self._connection.flush()
        elif not has_keyboard:
            self._keyboard, self._entered = None, False
            self._on_focus()

    def _keyboard_event(self, opcode: int, body: bytes) -> None:
        arguments = Arguments(body)
        match opcode:
            case 0:
                self._take_keymap(arguments)
            case 1 | 2:  # enter, leave
                self._entered = opcode == 1
                self._on_focus()
            case 3:
                _serial, _time, code, state = (arguments.uint() for _ in range(4))
                if state:
                    self._pressed(code)
            case 4:
                _serial, depressed, latched, locked, group = (arguments.uint() for _ in range(5))
                if self._keymap:
                    self._keymap.set_modifiers(depressed, latched, locked, group)
            case _:
                pass

    def _take_keymap(self, arguments: Arguments) -> None:
        kind, size, fd = arguments.uint(), arguments.uint(), self._connection.take_fd()
        try:
            text = os.pread(fd, size, 0)
        finally:
            os.close(fd)
        if self._keymap:
            self._keymap.close()
        self._keymap = Keymap(text) if kind == _XKB_V1 else None

    def _pressed(self, code: int) -> None:
        keymap = self._keymap
        if keymap is None:
            return
        control, shift = keymap.holds("Control"), keymap.holds("Shift")
        if pastes(keymap.plain_syms(code), control=control, shift=shift):
            self._paste()
        elif not control:
            self._page.insert(self._composer.text_of(keymap.sym(code)))

    # --- clipboard ---

    def _device_event(self, opcode: int, body: bytes) -> None:
        offer = Arguments(body).uint() if body else 0
        if opcode == 0:
            types = self._offers[offer] = []
            self._connection.adopt(offer, lambda code, content: _note_type(types, code, content))
        elif opcode == 5:
            for earlier in [each for each in self._offers if each != offer]:
                self._connection.request(earlier, _DESTROY_OFFER)
                self._connection.release(earlier)
                del self._offers[earlier]
            self._selection = offer
            self._connection.flush()

    def _paste(self) -> None:
        """Ask the clipboard's owner for its text; it is inserted when it has come."""
        known = self._offers.get(self._selection, [])
        kind = next((kind for kind in TEXT_TYPES if kind in known), None)
        if kind is None:
            return
        ours, theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(theirs, True)
        self._connection.request(self._selection, _RECEIVE, string(kind), fd=theirs)
        self._connection.flush()
        read_pipe(ours, lambda data: self._page.insert(data.decode("utf-8", "replace")))


def _note_type(types: list[str], opcode: int, body: bytes) -> None:
    if opcode == 0:
        types.append(Arguments(body).string())
