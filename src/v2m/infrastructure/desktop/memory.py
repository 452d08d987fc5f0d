"""A notifier that only remembers: for daemons without a desktop, and for tests."""

from dataclasses import dataclass


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
        self.visible = False

    async def show(self, title: str, body: str = "", *, urgent: bool = False, sound: str = "") -> None:
        """Remember the notification."""
        self.shown.append(Shown(title, body, urgent, sound))
        self.visible = True

    async def dismiss(self) -> None:
        """Remember that it went away."""
        self.visible = False

    async def aclose(self) -> None:
        """Nothing to close; twice is fine."""
