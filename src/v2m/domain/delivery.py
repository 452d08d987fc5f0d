"""Where a text goes, how it went there, and how surely it arrived."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

LONGEST_UNDO_S: Final = 600.0  # later than that nobody means the last text


@dataclass(frozen=True, slots=True)
class Session:
    """The desktop that is live now, as variables for a typing tool."""

    variables: Mapping[str, str] = field(default_factory=dict)
    origin: str = "none"  # client, user manager, daemon, runtime directory, none

    @property
    def wayland(self) -> str | None:
        """Path of the Wayland socket, absolute."""
        return self.variables.get("WAYLAND_DISPLAY")

    @property
    def x11(self) -> str | None:
        """The X display."""
        return self.variables.get("DISPLAY")


@dataclass(frozen=True, slots=True)
class Window:
    """A window of the desktop, as far as the desktop tells."""

    id: str  # of the server that told it, e.g. "sway:17", "x11:0x1400003"; the same window has the same id
    app: str = ""  # Wayland app id or X11 class
    title: str = ""
    pid: int = 0


@dataclass(frozen=True, slots=True)
class Destination:
    """Where an output has to bring a text."""

    session: Session
    window: Window | None = None  # has the focus as far as is known; nothing may go to another one. None: not known
    paste_key: str = ""  # the chord that pastes there, e.g. "ctrl+shift+v"; empty: the output chooses by application
    keep_clipboard: bool = False  # whatever becomes of the text, the clipboard is to hold afterwards what it held
    stays: Callable[[], Awaitable[bool]] | None = field(default=None, compare=False, repr=False)
    """Asks the desktop anew whether the window still has the focus; an output asks once it sees every later change."""


class Certainty(StrEnum):
    """How surely the text arrived; never overstated."""

    CONFIRMED = "confirmed"  # the application showed it
    SENT = "sent"  # the display server took everything and the focus did not change
    UNCERTAIN = "uncertain"
    HELD = "held"  # nothing was typed; the text is on the clipboard and in the history


class Deliver(StrEnum):
    """Where the user wants the text."""

    TYPE = "type"
    COPY = "copy"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One output's part in a delivery."""

    method: str
    offered: int  # characters it was given
    characters: int | None  # that went out; None: it cannot be known
    certainty: Certainty
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a text was delivered."""

    method: str  # the output that ended it, e.g. "input-method"; "none": nothing has the text but the history
    certainty: Certainty
    characters: int  # how many went out, over all outputs
    target: str = ""  # the application, where it is known
    detail: str = ""  # one sentence for the user when it is not plainly delivered
    attempts: tuple[Attempt, ...] = ()  # set by the chain, in order
    copied: bool = False  # the whole text is on the clipboard
    secret: bool = False  # the target asks for a secret: the text may be kept nowhere


@dataclass(frozen=True, slots=True)
class Placed:
    """A text that was brought somewhere just now: what `v2m undo` may take back."""

    dictation: int | None
    text: str  # exactly what went out
    delivery: Delivery
    to: Destination
