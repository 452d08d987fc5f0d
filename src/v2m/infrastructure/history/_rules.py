"""What every history agrees on: how a row may change, how long it is kept, what a search finds."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from v2m.domain.dictation import FINAL, HistoryEntry, Phase, can_move
from v2m.domain.errors import HistoryError

THROWN_AWAY: Final = frozenset({Phase.ABORTED, Phase.DISCARDED})
TROUBLE: Final = FINAL - THROWN_AWAY - {Phase.DELIVERED}  # the audio may be the only copy of the words

_DAY_NS: Final = 86_400_000_000_000
_SECOND_NS: Final = 1_000_000_000
_UNCHANGEABLE: Final = frozenset({"dictation", "started_ns", "phase"})


@dataclass(frozen=True, slots=True)
class Retention:
    """How long rows and audio are kept."""

    retention_days: int
    keep_audio_s: float  # after delivery
    keep_trouble_audio_s: float  # held, uncertain, failed, suppressed

    def rows_until_ns(self, now_ns: int) -> int:
        """Return the start time up to which a row is too old."""
        return now_ns - self.retention_days * _DAY_NS

    def delivered_until_ns(self, now_ns: int) -> int:
        """Return the time of delivery up to which audio has been kept long enough."""
        return now_ns - int(self.keep_audio_s * _SECOND_NS)

    def trouble_until_ns(self, now_ns: int) -> int:
        """Return the time of the last move up to which audio of `TROUBLE` has been kept long enough."""
        return now_ns - int(self.keep_trouble_audio_s * _SECOND_NS)


def largest_sweep(total: int) -> int:
    """Return how many of `total` one sweep may delete: a fifth, but at least one.

    A clock that jumps a year ahead must not empty the history before it is set right again; the last
    few must go in the end nevertheless.
    """
    return max(1, total // 5)


def check_move(dictation: int, old: Phase, new: Phase, changes: Mapping[str, Any]) -> None:
    """Refuse a step that the table of phases, or a field that the row, does not know.

    The same phase again is no step and only sets fields.

    Raises:
        ValueError: a programming error of the caller, nothing that a user could cure.
    """
    if new is not old and not can_move(old, new):
        raise ValueError(f"dictation {dictation} cannot move from {old} to {new}")
    changeable = {field.name for field in fields(HistoryEntry)} - _UNCHANGEABLE
    unknown = sorted(changes.keys() - changeable)
    if unknown:
        raise ValueError(f"a history row has no changeable {', '.join(unknown)}")


def no_such_row(dictation: int) -> HistoryError:
    """Return the error for a row that is not there (any more)."""
    return HistoryError(f"There is no dictation {dictation} in the history.", hint="v2m history")


def search_words(grep: str) -> list[str]:
    """Return the words of a search; none when it is all punctuation."""
    return [word for word in grep.split() if any(character.isalnum() for character in word)]
