"""Per application: how a text is worded and brought there. Rules are data; the first wish for each thing wins.

Pure: no I/O. `v2m policy test` prints what `manner_for` returns.
"""

from dataclasses import dataclass
from typing import Literal

from v2m.domain.text.typed import typeable

Newline = Literal["space", "newline"]
Casing = Literal["keep", "lower", "sentence", "upper"]


@dataclass(frozen=True, slots=True)
class Target:
    """What a rule can ask about."""

    app: str = ""  # Wayland app id or X11 class
    title: str = ""
    role: str = ""  # `terminal`, `editor`, `browser` …: what the packaged rules call an application
    language: str = ""  # BCP 47, of the dictation


@dataclass(frozen=True, slots=True)
class Manner:
    """How a text is worded and delivered; None where nothing is wished."""

    outputs: tuple[str, ...] | None = None  # names in the order in which they are tried; None: the chain
    paste_key: str | None = None  # e.g. "ctrl+shift+v"
    newline: Newline | None = None
    casing: Casing | None = None
    trailing_space: bool | None = None
    refine: bool | None = None
    submit: bool | None = None  # Enter after the text: only where a rule says so


@dataclass(frozen=True, slots=True)
class Decision:
    """What the rules say about one target: a manner without gaps, and why."""

    manner: Manner
    reasons: tuple[str, ...] = ()  # one sentence per rule that had a say


class Policy:
    """The rules in order, and what holds where none has a wish."""

    def __init__(self, default: Manner) -> None:
        self._default = default

    def decide(self, target: Target) -> Decision:
        """Return how to word and deliver a text for a target."""
        del target
        return Decision(self._default)


def worded(text: str, manner: Manner) -> str:
    """Return what is typed for a text: only characters that cannot act as commands, in the wished form."""
    clean = typeable(text, newline="\n" if manner.newline == "newline" else " ")
    return clean + (" " if manner.trailing_space else "") if clean else ""
