"""The live desktop: its session, its windows, what must not be typed into, and how the user is told."""

from collections.abc import Mapping
from typing import Protocol

from v2m.domain.delivery import Session, Window


class SessionEnvironment(Protocol):
    """Finds the desktop session at delivery time; a compositor that was restarted is followed."""

    async def current(self, hint: Mapping[str, str]) -> Session:
        """Return the first candidate whose sockets answer; never raises.

        In order: the hint (the client's variables), the user manager's environment, this process's
        own, the sockets in the runtime directory.
        """


class Windows(Protocol):
    """Which window has the focus. Called from the loop, never blocks it; no wait is longer than 0.1 s."""

    async def focused(self, session: Session) -> Window | None:
        """Return the window that keys would go to; None: this desktop does not tell, or none has it. Never raises."""

    async def activate(self, session: Session, window: Window) -> bool:
        """Give a window the focus back; True once it has it.

        False: it is gone, or the desktop refuses. Never raises.
        """

    async def aclose(self) -> None:
        """Close connections; twice is fine."""


class Layouts(Protocol):
    """Which keyboard layout is live. Called from the loop, never blocks it."""

    async def current(self, session: Session) -> str:
        """Return a name that changes whenever another layout is switched to; empty: nobody tells. Never raises."""


class Guard(Protocol):
    """Tells where nothing may be typed, copied or kept. Called from the loop, never blocks it; at most 0.1 s."""

    async def secret(self, session: Session, window: Window | None) -> str:
        """Return why not, as a sentence: a lock screen, a password field or prompt. Empty: all clear. Never raises."""


class Notifier(Protocol):
    """Tells the user; never waited for by a dictation, never raises."""

    async def show(self, title: str, body: str = "", *, urgent: bool = False, sound: str = "") -> None:
        """Replace v2m's one notification; `sound` is `start`, `stop` or `failed`."""

    async def dismiss(self) -> None:
        """Take the notification away, if the settings want that."""

    async def aclose(self) -> None:
        """Close the bus connection; twice is fine."""
