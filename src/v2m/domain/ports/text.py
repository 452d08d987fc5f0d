"""Ways to bring a text into a window, to take it back, and to show it before it is final."""

from dataclasses import dataclass
from typing import Protocol

from v2m.domain.delivery import Delivery, Destination, Session


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether an output can be used in a session, and why."""

    usable: bool
    reason: str  # one sentence, also when it is usable
    foreign: bool = False  # it is for another kind of desktop: true, and no help to the user


@dataclass(frozen=True, slots=True)
class AtBest:
    """Which texts an output brings as fast and as surely as it can."""

    characters: int | None = None  # at most; None: of any length
    ascii_only: bool = False

    def with_text(self, text: str) -> bool:
        """Tell whether this is such a text."""
        return (self.characters is None or len(text) <= self.characters) and (text.isascii() or not self.ascii_only)


class TextOutput(Protocol):
    """One way to bring text into the focused window (or to the clipboard).

    Called by the one consumer task, one text at a time. Works in threads or children when it would
    block; every wait has a deadline. The text has been filtered already (`domain.text.typed`).
    """

    name: str
    at_best: AtBest  # other texts go first to outputs that are at their best with them

    async def probe(self, session: Session) -> Availability:
        """Say whether `deliver` can work in this session; touches no window and types nothing."""

    async def deliver(self, text: str, to: Destination) -> Delivery:
        """Bring the text there.

        Cancelling stops between batches.

        Raises:
            OutputError: with `delivered`: how many characters went out, None when unknown.
        """

    async def aclose(self) -> None:
        """Release connections; twice is fine."""


class Eraser(Protocol):
    """One way to take a text back from before the cursor of the focused window.

    Called by the same consumer as `TextOutput`. Every wait has a deadline.
    """

    name: str
    looks: bool  # it sees what it removes; one that does not needs a window that nobody has touched

    async def probe(self, session: Session) -> Availability:
        """Say whether `erase` can work in this session; touches no window."""

    async def erase(self, text: str, to: Destination) -> Delivery:
        """Remove exactly `text`, which was delivered last and stands before the cursor.

        CONFIRMED: the application showed that it stood there and is gone; SENT: as many keys were taken as the
        text has graphemes, and nothing is known to have changed since it was typed.

        Raises:
            OutputError: with `delivered=0` nothing was removed: REFUSED, the application shows something else there
                (no other way may be tried), or this way cannot remove such a text; UNSEEN, it shows nothing.
                With None it broke off, and what was removed is unknown.
        """

    async def aclose(self) -> None:
        """Release connections; twice is fine."""


class InputWatch(Protocol):
    """Notices whether the user has touched keyboard or mouse since a text was delivered. Never raises."""

    async def begin(self, session: Session) -> None:
        """Watch from now on, at most ten minutes; what was watched before is forgotten.

        Called before the first key of a text; until `settled` keys of our own are pressed.
        """

    async def settled(self) -> None:
        """Our own keys are out: from now on every key is the user's.

        A desktop that cannot tell our keys from others is watched from here only.
        """

    async def touched(self, *, within_s: float) -> bool | None:
        """Tell whether the user pressed anything since `begin`; None: this desktop does not tell, or not for certain.

        One chord in the last `within_s` seconds does not count: it is the hotkey that asks.
        """

    async def aclose(self) -> None:
        """Stop watching; twice is fine."""


class Preview(Protocol):
    """Shows what has been heard so far inside the focused field, as text that is not yet committed. Never raises."""

    async def tidy(self, session: Session) -> None:
        """Take away what a process that was killed left on the screen; called once, before anything is shown."""

    async def show(self, text: str, to: Destination) -> None:
        """Show this text in place of what was shown before; does nothing where the field takes none."""

    async def hide(self) -> None:
        """Take it away and let go of the field; returns when the compositor has done it. Twice is fine."""
