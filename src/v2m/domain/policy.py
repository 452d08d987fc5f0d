"""Per application: how a text is worded and brought there. Rules are data; the first wish for each thing wins.

Pure: no I/O. `v2m policy test` prints what `Policy.decide` returns.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from typing import Any, Final, Literal

from v2m.domain.applications import TERMINAL, names_of, role_of
from v2m.domain.text.casing import Casing, in_case
from v2m.domain.text.typed import typeable

Newline = Literal["space", "newline"]

NO_RETURN: Final = "A line break is never typed into a terminal: it would run what stands there."
NO_RETURN_UNKNOWN: Final = (
    "A line break is a space: this may be a terminal under another name. A rule that names the application allows it."
)


@dataclass(frozen=True, slots=True)
class Target:
    """What a rule can ask about."""

    app: str = ""  # Wayland app id or X11 class
    title: str = ""
    role: str = ""  # a key of `applications.ROLES`; empty: by the application
    language: str = ""  # BCP 47, of the dictation


@dataclass(frozen=True, slots=True)
class Manner:
    """How a text is worded and delivered; None where nothing is wished."""

    outputs: tuple[str, ...] | None = None  # names in the order in which they are tried; None: the chain
    paste_key: str | None = None  # as `parse_chord` reads it, e.g. "ctrl+shift+v"; empty: the output chooses
    newline: Newline | None = None
    casing: Casing | None = None
    trailing_space: bool | None = None
    refine: bool | None = None
    submit: bool | None = None  # Enter after the text: only where a rule says so
    language: str | None = None  # of the text, which `casing` depends on: no wish, `decide` fills it in


WISHES: Final = tuple(field.name for field in fields(Manner) if field.name != "language")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What is wished where all conditions hold; a condition that names nothing always holds.

    Patterns are those of a shell (`*`, `?`, `[…]`); of several one has to match.
    """

    wishes: Manner
    apps: tuple[str, ...] = ()  # patterns, in any case; an id in reverse DNS form also matches by its last part
    titles: tuple[str, ...] = ()  # patterns
    roles: tuple[str, ...] = ()  # names
    languages: tuple[str, ...] = ()  # patterns; `de` is also `de-AT`
    origin: str = "a rule"  # where a user finds it

    def holds(self, target: Target) -> bool:
        """Tell whether every condition holds; the target's role must be filled in."""
        return (
            _matches(_lower(self.apps), *names_of(target.app))
            and _matches(self.titles, target.title)
            and (not self.roles or target.role in self.roles)
            and _matches(_lower(self.languages), target.language.lower(), target.language.lower().partition("-")[0])
        )

    @property
    def names_the_application(self) -> bool:
        """Whether it holds for applications that it names, not for whatever is there."""
        return any(pattern.strip("*?") for pattern in self.apps)

    def reason(self, wished: dict[str, Any]) -> str:
        """Return the sentence that says what this rule is the cause of."""
        asked = {"app": self.apps, "title": self.titles, "role": self.roles, "language": self.languages}
        conditions = ", ".join(f"{name} {' or '.join(values)}" for name, values in asked.items() if values)
        what = ", ".join(f"{name} {_in_words(value)}" for name, value in wished.items())
        return f"{self.origin} ({conditions or 'everywhere'}): {what}."


@dataclass(frozen=True, slots=True)
class Decision:
    """What the rules say about one target: a manner without gaps, and why."""

    manner: Manner
    reasons: tuple[str, ...] = ()  # one sentence per rule that had a say
    role: str = ""  # that the target was taken for


class Policy:
    """The rules in order, and what holds where none has a wish."""

    def __init__(self, rules: Sequence[Rule], default: Manner) -> None:
        self._rules = tuple(rules)
        self._default = default

    def decide(self, target: Target) -> Decision:
        """Return how to word and deliver a text for a target."""
        known = replace(target, role=target.role or role_of(target.app))
        wished: dict[str, Any] = {}
        reasons: list[str] = []
        by_name = False  # a rule for this very application wishes line breaks
        for rule in self._rules:
            wishes = {name: getattr(rule.wishes, name) for name in WISHES} if rule.holds(known) else {}
            new = {name: value for name, value in wishes.items() if value is not None and name not in wished}
            if new:
                wished |= new
                reasons.append(rule.reason(new))
                by_name |= "newline" in new and bool(target.app) and rule.names_the_application
        manner = replace(self._default, **wished, language=target.language)
        if manner.newline != "space" and (known.role == TERMINAL or not (known.role or by_name)):
            manner = replace(manner, newline="space")
            reasons.append(NO_RETURN if known.role == TERMINAL else NO_RETURN_UNKNOWN)
        return Decision(manner, tuple(reasons), known.role)


def worded(text: str, manner: Manner) -> str:
    """Return what is typed for a text: only characters that cannot act as commands, in the wished form."""
    clean = typeable(text, newline="\n" if manner.newline == "newline" else " ")
    cased = in_case(clean, manner.casing or "keep", manner.language or "")
    return f"{cased} " if manner.trailing_space and cased and not cased.endswith(" ") else cased


def _matches(patterns: Sequence[str], *names: str) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns for name in names)


def _lower(patterns: Sequence[str]) -> list[str]:
    return [pattern.lower() for pattern in patterns]


def _in_words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, tuple) else str(value) or "none"
