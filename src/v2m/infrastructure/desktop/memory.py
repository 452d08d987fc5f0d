"""A desktop that is only remembered: for daemons without one, and for tests."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from v2m.domain.delivery import Session, Window


@dataclass(frozen=True, slots=True)
class Shown:
    """What a user would have seen and heard."""

    title: str
    body: str = ""
    urgent: bool = False
    sound: str = ""


class MemoryNotifier:
    """`Notifier` in a list."""

    def __init__(self) -> None:
        self.shown: list[Shown] = []
        self.choices: Mapping[str, Callable[[], None]] = {}
        self.visible = False

    async def show(
        self,
        title: str,
        body: str = "",
        *,
        urgent: bool = False,
        sound: str = "",
        choices: Mapping[str, Callable[[], None]] = MappingProxyType({}),
    ) -> None:
        """Remember the notification, and the choices of the latest that had any."""
        self.shown.append(Shown(title, body, urgent, sound))
        self.choices = choices or self.choices
        self.visible = True

    async def dismiss(self) -> None:
        """Remember that it went away."""
        self.visible = False

    async def aclose(self) -> None:
        """Nothing to close; twice is fine."""


class MemoryWindows:
    """`Windows` of one variable: `now` has the focus; what is in `gone` cannot be given it back."""

    def __init__(self, now: Window | None = None) -> None:
        self.now = now
        self.gone: set[str] = set()
        self.activated: list[str] = []

    async def focused(self, session: Session) -> Window | None:
        """Return what has the focus."""
        del session
        return self.now

    async def activate(self, session: Session, window: Window) -> bool:
        """Give it the focus, unless it is gone."""
        del session
        if window.id in self.gone:
            return False
        self.activated.append(window.id)
        self.now = window
        return True

    async def aclose(self) -> None:
        """Nothing to close; twice is fine."""


class MemoryGuard:
    """`Guard` of one variable: why what has the focus is secret; or of a table by application."""

    def __init__(self, reason: str = "", apps: Mapping[str, str] = MappingProxyType({})) -> None:
        self.reason = reason
        self.apps = dict(apps)

    async def secret(self, session: Session, window: Window | None) -> str:
        """Return the reason."""
        del session
        return self.apps.get(window.app, self.reason) if window else self.reason
