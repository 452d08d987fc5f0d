"""Hyprland's request socket: one question per connection, answered and closed.

https://wiki.hypr.land/IPC/: `$XDG_RUNTIME_DIR/hypr/$HYPRLAND_INSTANCE_SIGNATURE/.socket.sock` takes `[flags/]command`,
flag `j` for JSON. Hyprland serves it synchronously, so a connection is made for one question and never kept.
"""

import asyncio
import json
from pathlib import Path
from typing import Any, Final

from v2m.domain.delivery import Session
from v2m.infrastructure.desktop._exchange import exchange

ANSWER_S: Final = 0.1


def request_socket(session: Session) -> str | None:
    """Return the path of a session's request socket; None: it is no Hyprland. Its existence is not checked."""
    signature = session.variables.get("HYPRLAND_INSTANCE_SIGNATURE")
    if session.wayland is None or not signature:
        return None
    return str(Path(session.wayland).parent / "hypr" / signature / ".socket.sock")


async def ask(session: Session, command: str) -> dict[str, Any]:
    """Return what Hyprland tells in JSON; empty when it tells nothing in time. Never raises."""
    try:
        told = json.loads(await order(session, f"j/{command}"))
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


async def order(session: Session, command: str) -> bytes:
    """Send a command; return the answer, empty when none came in time. Never raises."""
    path = request_socket(session)
    if path is None:
        return b""
    try:
        async with asyncio.timeout(ANSWER_S):
            return await exchange(path, command.encode())
    except (OSError, ValueError):  # a timeout is an OSError; a path may have a NUL
        return b""
