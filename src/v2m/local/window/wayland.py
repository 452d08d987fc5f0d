"""A plain window on a Wayland compositor that shows nothing and remembers what is typed into it; no toolkit."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from v2m.infrastructure._wayland.connection import Connection, WaylandError
from v2m.infrastructure._wayland.wire import Arguments, string, uints
from v2m.local.window.page import Page
from v2m.local.window.seat import Seat
from v2m.local.window.text_input import TextInput

APP_ID: Final = "v2m-check"
TITLE: Final = "v2m reads back what it types here"
WIDTH, HEIGHT = 480, 160  # where the compositor leaves it to us
COLOUR: Final = 0xFF2E3440  # XRGB: plain, and dark enough for any theme
_XRGB8888: Final = 1
_ACTIVATED: Final = 4  # xdg_toplevel.state
_NEEDED: Final = ("wl_compositor", "wl_shm", "wl_seat", "xdg_wm_base")
# Opcodes of requests, from the protocol's XML.
_CREATE_SURFACE = 0
_ATTACH, _COMMIT, _DAMAGE_BUFFER = 1, 6, 9
_GET_XDG_SURFACE, _PONG = 2, 3
_GET_TOPLEVEL, _ACK_CONFIGURE = 1, 4
_SET_TITLE, _SET_APP_ID = 2, 3
_CREATE_POOL = 0
_CREATE_BUFFER, _DESTROY_POOL = 0, 1
_DESTROY_BUFFER = 0


@asynccontextmanager
async def open_wayland(path: str, page: Page, locale: str) -> AsyncIterator[None]:
    """Show the window and write into `page` what is typed, until left.

    Raises:
        WaylandError: no compositor answers there, or it has no windows.
        OutputError: libxkbcommon is missing.
    """
    connection = await Connection.open(path)
    try:
        _Window(connection, page, locale)
        await connection.roundtrip()
        yield
    finally:
        connection.close()


class _Window:
    """A surface that is filled whenever the compositor gives it a size."""

    def __init__(self, connection: Connection, page: Page, locale: str) -> None:
        if missing := next((name for name in _NEEDED if name not in connection.globals), None):
            raise WaylandError(f"this compositor does not offer {missing}")
        self._connection = connection
        self._page = page
        self._size = (WIDTH, HEIGHT)
        self._drawn: tuple[int, int] | None = None
        self._buffer = 0
        self._active = False
        compositor = connection.bind("wl_compositor", 4)
        self._shm = connection.bind("wl_shm", 1)
        self._shell = connection.bind("xdg_wm_base", 1, self._shell_event)
        self._surface = connection.create()
        connection.request(compositor, _CREATE_SURFACE, uints(self._surface))
        self._seat = Seat(connection, page, locale, on_focus=self._focus_changed)
        self._text_input = TextInput(connection, self._seat.id, page)
        self._show()

    def _show(self) -> None:
        ask, create = self._connection.request, self._connection.create
        self._xdg_surface, self._toplevel = create(self._configured), create(self._toplevel_event)
        ask(self._shell, _GET_XDG_SURFACE, uints(self._xdg_surface, self._surface))
        ask(self._xdg_surface, _GET_TOPLEVEL, uints(self._toplevel))
        ask(self._toplevel, _SET_TITLE, string(TITLE))
        ask(self._toplevel, _SET_APP_ID, string(APP_ID))
        ask(self._surface, _COMMIT)
        self._connection.flush()

    def _shell_event(self, opcode: int, body: bytes) -> None:
        if opcode == 0:
            self._connection.request(self._shell, _PONG, body)
            self._connection.flush()

    def _toplevel_event(self, opcode: int, body: bytes) -> None:
        if opcode != 0:
            return
        arguments = Arguments(body)
        width, height = arguments.uint(), arguments.uint()
        self._size = (width or WIDTH, height or HEIGHT)
        states, was_active = arguments.data(), self._active
        self._active = uints(_ACTIVATED) in (states[at : at + 4] for at in range(0, len(states), 4))
        self._page.losses += was_active and not self._active
        self._focus_changed()

    def _configured(self, opcode: int, body: bytes) -> None:
        if opcode != 0:
            return
        self._connection.request(self._xdg_surface, _ACK_CONFIGURE, body)
        if self._size != self._drawn:
            self._fill()
        self._connection.request(self._surface, _COMMIT)
        self._connection.flush()

    def _fill(self) -> None:
        """Attach a buffer of one colour in the size that the compositor wants."""
        ask, (width, height) = self._connection.request, self._size
        size_bytes = 4 * width * height
        fd = os.memfd_create("v2m-window", os.MFD_CLOEXEC)
        os.write(fd, uints(COLOUR) * (width * height))
        earlier, pool, self._buffer = self._buffer, self._connection.create(), self._connection.create()
        ask(self._shm, _CREATE_POOL, uints(pool, size_bytes), fd=fd)
        ask(pool, _CREATE_BUFFER, uints(self._buffer, 0, width, height, 4 * width, _XRGB8888))
        ask(pool, _DESTROY_POOL)
        ask(self._surface, _ATTACH, uints(self._buffer, 0, 0))
        ask(self._surface, _DAMAGE_BUFFER, uints(0, 0, width, height))
        if earlier:
            ask(earlier, _DESTROY_BUFFER)
        self._drawn = self._size

    def _focus_changed(self) -> None:
        """Keys come here when the window is active and, where the seat has a keyboard, that is on it.

        It leaves and enters at once whenever another keyboard of the seat is used: no loss.
        """
        self._page.set_focus(has_focus=self._active and self._seat.is_ready)
