"""What the focused field says about itself on Wayland: an input method is told whether it takes a password."""

import asyncio
from typing import Final

from v2m.domain.delivery import Session, Window
from v2m.infrastructure._wayland.connection import Connection, WaylandError
from v2m.infrastructure._wayland.input_method import MANAGER, InputMethod

ANSWER_S: Final = 0.1
# Measured: foot and GTK tell their field 0.2 ms after the question in the median, 8 ms at most on a busy machine.
# Only windows that take no input method cost all of it.
TELL_S: Final = 0.025


class FieldGuard:
    """Tells a field for passwords, PINs or other secrets.

    Blind while another input method has the seat's only place.
    """

    async def secret(self, session: Session, window: Window | None) -> str:
        """Be the seat's input method for a moment; nothing is committed."""
        del window
        if session.wayland is None:
            return ""
        try:
            async with asyncio.timeout(ANSWER_S):
                return await _ask(session.wayland)
        except (WaylandError, TimeoutError):
            return ""


async def _ask(path: str) -> str:
    """Raises WaylandError."""
    connection = await Connection.open(path, timeout_s=ANSWER_S)
    try:
        if MANAGER not in connection.globals:
            return ""
        method = InputMethod(connection)
        await connection.until(lambda: method.field.active or method.unavailable, TELL_S)
        secret = method.field.active and method.field.secret
        await method.leave()
        return "The focused field takes a password or another secret." if secret else ""
    finally:
        connection.close()
