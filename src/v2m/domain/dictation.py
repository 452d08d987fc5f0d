"""One dictation and the one table of how its phase may change.

The phase is what the history row says. `DaemonState` is what the daemon shows: derived from the open
recording and the oldest dictation still on its way, never stored twice.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class Phase(StrEnum):
    """Where a dictation is; the names stand in the history and on the wire."""

    RECORDING = "recording"
    CAPTURED = "captured"
    TRANSCRIBED = "transcribed"
    REFINED = "refined"
    DELIVERING = "delivering"
    DELIVERED = "delivered"
    UNCERTAIN = "uncertain"
    HELD = "held"
    FAILED = "failed"
    ABORTED = "aborted"
    DISCARDED = "discarded"
    SUPPRESSED = "suppressed"


_P = Phase
_UNDELIVERED = frozenset({_P.HELD, _P.FAILED, _P.ABORTED})

# FAILED, SUPPRESSED, HELD, UNCERTAIN and DELIVERED can be taken up again by the user: `v2m retry`
# decodes kept audio once more, `v2m again` delivers kept text once more.
TRANSITIONS: dict[Phase, frozenset[Phase]] = {
    _P.RECORDING: frozenset({_P.CAPTURED, _P.DISCARDED}) | _UNDELIVERED,
    _P.CAPTURED: frozenset({_P.TRANSCRIBED, _P.SUPPRESSED, _P.DISCARDED}) | _UNDELIVERED,
    _P.TRANSCRIBED: frozenset({_P.REFINED, _P.DELIVERING, _P.DELIVERED}) | _UNDELIVERED,
    _P.REFINED: frozenset({_P.DELIVERING, _P.DELIVERED}) | _UNDELIVERED,
    _P.DELIVERING: frozenset({_P.DELIVERED, _P.UNCERTAIN, _P.HELD, _P.FAILED}),
    _P.DELIVERED: frozenset({_P.CAPTURED, _P.DELIVERING}),
    _P.UNCERTAIN: frozenset({_P.CAPTURED, _P.DELIVERING}),
    _P.HELD: frozenset({_P.CAPTURED, _P.DELIVERING}),
    _P.FAILED: frozenset({_P.CAPTURED, _P.DELIVERING}),
    _P.SUPPRESSED: frozenset({_P.CAPTURED}),
    _P.ABORTED: frozenset(),
    _P.DISCARDED: frozenset(),
}

FINAL = frozenset({_P.DELIVERED, _P.UNCERTAIN, _P.HELD, _P.FAILED, _P.ABORTED, _P.DISCARDED, _P.SUPPRESSED})


class DaemonState(StrEnum):
    """What the daemon is doing, as every reply says."""

    WARMING = "warming"
    IDLE = "idle"
    RECORDING = "recording"
    TRANSCRIBING = "transcribing"
    REFINING = "refining"
    DELIVERING = "delivering"
    PAUSED = "paused"


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
class Delivery:
    """How a text was delivered."""

    method: str  # the output's name, e.g. "input-method"
    certainty: Certainty
    characters: int  # how many went out
    target: str = ""  # the application, where it is known
    detail: str = ""  # one sentence for the user when it is not plainly delivered


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One row of the history."""

    dictation: int
    started_ns: int  # wall clock
    phase: Phase
    duration_s: float = 0.0
    raw: str = ""  # what the engine heard
    text: str = ""  # what was, or would be, typed
    method: str = ""
    certainty: Certainty | None = None
    characters: int = 0
    target: str = ""
    engine: str = ""
    language: str = ""
    spool: str | None = None  # path of the audio while it is kept
    error: str = ""  # stable code
    reason: str = ""  # one sentence: why held, discarded, failed
    stages: dict[str, float] = field(default_factory=dict)  # stage → milliseconds


def can_move(old: Phase, new: Phase) -> bool:
    """Tell whether the table allows the step."""
    return new in TRANSITIONS[old]
