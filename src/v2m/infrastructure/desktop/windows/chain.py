"""Asks whoever knows the windows of a session: its compositor; the X server only where there is no compositor."""

from pathlib import Path

from v2m.domain.delivery import Session, Window
from v2m.domain.ports import Windows
from v2m.infrastructure.desktop._hyprland import request_socket


class SessionWindows:
    """`Windows` of the session that is live. An XWayland is never asked: it does not know of Wayland windows."""

    def __init__(self, *, sway: Windows, hyprland: Windows, toplevels: Windows, x11: Windows) -> None:
        """`toplevels` serves every compositor that has no IPC of its own here."""
        self._sway = sway
        self._hyprland = hyprland
        self._toplevels = toplevels
        self._x11 = x11

    async def focused(self, session: Session) -> Window | None:
        """Return the window that keys would go to, as the session tells."""
        teller = self._teller(session)
        return await teller.focused(session) if teller else None

    async def activate(self, session: Session, window: Window) -> bool:
        """Give a window the focus back."""
        teller = self._teller(session)
        return await teller.activate(session, window) if teller else False

    async def aclose(self) -> None:
        """Close what is open; twice is fine."""
        for teller in (self._sway, self._hyprland, self._toplevels, self._x11):
            await teller.aclose()

    def _teller(self, session: Session) -> Windows | None:
        if session.wayland is None:
            return self._x11 if session.x11 else None
        if "SWAYSOCK" in session.variables:  # the session has checked that it is this compositor's
            return self._sway
        hyprland = request_socket(session)
        if hyprland and Path(hyprland).is_socket():  # the variable may be left from an earlier session
            return self._hyprland
        return self._toplevels
