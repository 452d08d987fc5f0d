"""What a check says, and the words to say it with."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from v2m.local._checks.facts import Facts


class Verdict(StrEnum):
    """How it stands."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"  # does not apply here, or could not be asked


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict with its evidence: one sentence without dictated text or secrets.

    `fix` is one line for a shell that mends it; `safe` tells that `--fix` may run it: it loses nothing, changes no
    setting and no sound level, and can be taken back.
    """

    verdict: Verdict
    evidence: str
    fix: str = ""
    safe: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """One check; a plain function runs in a thread and may block, a coroutine function may not."""

    id: str
    title: str
    look: "Callable[[Facts], Finding | Awaitable[Finding]]"
    deadline_s: float = 4.0


@dataclass(frozen=True, slots=True)
class Result:
    """A check and what it found."""

    check: Check
    finding: Finding


def ok(evidence: str) -> Finding:
    """Return that all is well."""
    return Finding(Verdict.OK, evidence)


def warn(evidence: str, fix: str = "", *, safe: bool = False) -> Finding:
    """Return that something is not as it should be, and dictation works all the same."""
    return Finding(Verdict.WARN, evidence, fix, safe)


def fail(evidence: str, fix: str = "", *, safe: bool = False) -> Finding:
    """Return that dictation does not work, or is not safe."""
    return Finding(Verdict.FAIL, evidence, fix, safe)


def skip(evidence: str) -> Finding:
    """Return why there is nothing to say."""
    return Finding(Verdict.SKIP, evidence)
