"""What the focused field says about itself on Wayland: an input method is told whether it takes a password."""

import asyncio
from contextlib import suppress
from typing import Final

from v2m.domain.delivery import Session, Window
from v2m.infrastructure._wayland.connection import Connection, WaylandError
from v2m.infrastructure._wayland.input_method import MANAGER, InputMethod, place_of, seated

ANSWER_S: Final = 0.1
# Measured: foot and GTK tell their field 0.2 ms after the question in the median, 8 ms at most on a busy machine.
# Only windows that take no input method cost all of it.
TELL_S: Final = 0.025


class FieldGuard:
    """Tells a field for passwords, PINs or other secrets.

    Blind while another input method has the seat's only place.
    """

    async def secret(self, session: Session, window: Window | None) -> str:
        """Be the seat's input method for a moment, or look through the one that we are; nothing is committed."""
        del window
        if session.wayland is None:
            return ""
        try:
            async with asyncio.timeout(ANSWER_S):
                return await _ask(session.wayland)
        except (WaylandError, TimeoutError):
            return ""


async def _ask(path: str) -> str:
    """Look through the input method that types or shows at this moment, else be one. Raises WaylandError."""
    held = place_of(path).method
    if held is not None:
        with suppress(WaylandError):  # it has left meanwhile
            return await _look(held)
    connection = await Connection.open(path, timeout_s=ANSWER_S)
    try:
        if MANAGER not in connection.globals:
            return ""
        async with seated(connection, timeout_s=ANSWER_S) as method:
            return await _look(method)
    finally:
        connection.close()


async def _look(method: InputMethod) -> str:
    await method.wait_told(TELL_S)
    secret = method.field.active and method.field.secret
    return "The focused field takes a password or another secret." if secret else ""
