"""Hyprland's windows over its request socket."""

import re
from typing import Final

from v2m.domain.delivery import Session, Window
from v2m.infrastructure.desktop._hyprland import ask, order

_ID: Final = re.compile(r"hyprland:(0x[0-9a-f]+)")

# Since 0.55 a configuration may be Lua, and then `dispatch` takes an expression; the other form is refused harmlessly.
_FOCUS: Final = ("dispatch focuswindow address:{}", 'dispatch hl.dsp.focus({{ window = "address:{}" }})')


class HyprlandWindows:
    """`Windows` of Hyprland. It names the last window also while a menu or a panel has the keyboard."""

    async def focused(self, session: Session) -> Window | None:
        """Return the active window."""
        told = await ask(session, "activewindow")
        address, pid = told.get("address"), told.get("pid")
        window_id = f"hyprland:{address}"
        if not _ID.fullmatch(window_id):
            return None
        return Window(
            id=window_id,
            app=str(told.get("class") or ""),
            title=str(told.get("title") or ""),
            pid=pid if isinstance(pid, int) and pid > 0 else 0,
        )

    async def activate(self, session: Session, window: Window) -> bool:
        """Focus it, on whatever workspace it is, and ask whether that held."""
        known = _ID.fullmatch(window.id)
        if known is None:
            return False
        for form in _FOCUS:
            if not await order(session, form.format(known[1])):
                return False
            now = await self.focused(session)
            if now is None or now.id == window.id:
                return now is not None
        return False

    async def aclose(self) -> None:
        """Nothing stays open."""
