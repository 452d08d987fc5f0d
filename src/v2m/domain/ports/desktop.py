"""The live desktop: its session, its windows, what must not be typed into, and how the user is told."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from v2m.domain.delivery import Session, Window
from v2m.domain.hotkeys import HotkeyState


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

    async def show(
        self,
        title: str,
        body: str = "",
        *,
        urgent: bool = False,
        sound: str = "",
        choices: Mapping[str, Callable[[], None]] = ...,
    ) -> None:
        """Replace v2m's one notification; `sound` is `start`, `stop` or `failed`.

        `choices` are its buttons: what is called, at most once, when the user presses the one of that name.
        """

    async def dismiss(self) -> None:
        """Take the notification away, if the settings want that."""

    async def aclose(self) -> None:
        """Close the bus connection; twice is fine."""


class Hotkeys(Protocol):
    """Keys that the desktop itself reports, press and release. Runs on the loop, never blocks it."""

    @property
    def state(self) -> HotkeyState:
        """What is bound now."""

    async def run(self, press: Callable[[str, int], None], told: Callable[[str], None]) -> None:
        """Bind and listen as long as the daemon runs, through restarts of the desktop; never returns by itself.

        `press` gets `start`, `stop`, `toggle` or `abort` and CLOCK_MONOTONIC in ns when the key was heard of; `told`
        one sentence when the keys are refused, an empty one when they are bound. Never raises; cancelling unbinds.
        """


class SleepWatch(Protocol):
    """Knows when the machine is about to sleep, and when it has woken. Runs on the loop, never blocks it."""

    async def run(self, before: Callable[[], Awaitable[None]], after: Callable[[], Awaitable[None]]) -> None:
        """Call these as long as the daemon runs; the machine waits for `before`, for a few seconds at most.

        Returns when this machine has nothing that would tell. Never raises; cancelling is harmless.
        """


class MediaPlayers(Protocol):
    """What else makes sound on this desktop. Called by one task; each call takes about a second at most."""

    async def hush(self) -> None:
        """Quieten what plays now. Never raises; cancelling leaves it to `restore`."""

    async def restore(self) -> None:
        """Undo `hush` where nobody has changed anything since. Never raises; twice is fine."""


class Gauges(Protocol):
    """What the daemon takes of this machine."""

    def read(self) -> dict[str, Any]:
        """Return the figures; blocks for a few milliseconds, so called in a thread. Never raises."""
