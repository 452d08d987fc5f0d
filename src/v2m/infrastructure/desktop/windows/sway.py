"""Sway's windows over its IPC."""

import asyncio
import re
from typing import Any, Final

from v2m.domain.delivery import Session, Window
from v2m.infrastructure.desktop._sway import TROUBLE, ask

ANSWER_S: Final = 0.1  # sway answers within a millisecond

_COMMAND, _GET_TREE = 0, 4  # sway-ipc(7)
_ID: Final = re.compile(r"sway:(\d+)")
_TROUBLE: Final = (*TROUBLE, LookupError, TypeError, AttributeError)  # the latter: a tree of another form


class SwayWindows:
    """`Windows` of sway. While a menu, a panel or a lock screen has the keyboard, no window is focused."""

    async def focused(self, session: Session) -> Window | None:
        """Return the focused leaf of the window tree."""
        try:
            async with asyncio.timeout(ANSWER_S):
                return await _focused(session)
        except _TROUBLE:
            return None

    async def activate(self, session: Session, window: Window) -> bool:
        """Focus it, on whatever workspace it is, and ask whether that held."""
        container = _ID.fullmatch(window.id)
        if container is None:
            return False
        try:
            async with asyncio.timeout(ANSWER_S):
                await ask(session, _COMMAND, f"[con_id={container[1]}] focus".encode())
                now = await _focused(session)
        except _TROUBLE:
            return False
        return now is not None and now.id == window.id

    async def aclose(self) -> None:
        """Nothing stays open."""


async def _focused(session: Session) -> Window | None:
    node = _focused_node(await ask(session, _GET_TREE))
    if node is None or not node.get("pid"):  # an empty workspace, or a container of several windows
        return None
    of_x11 = node.get("window_properties") or {}
    return Window(
        id=f"sway:{node['id']}",
        app=str(node.get("app_id") or of_x11.get("class") or ""),
        title=str(node.get("name") or ""),
        pid=int(node["pid"]),
    )


def _focused_node(tree: dict[str, Any]) -> dict[str, Any] | None:
    """Return the node that says it has the focus; at most one does."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if node.get("focused"):
            return node
        waiting += [*node.get("nodes", ()), *node.get("floating_nodes", ())]
    return None
