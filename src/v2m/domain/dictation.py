"""One dictation and the one table of how its phase may change.

The phase is what the history row says. `DaemonState` is what the daemon shows: derived from the open
recording and the oldest dictation still on its way, never stored twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from v2m.domain.delivery import Attempt, Certainty


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

# Audio that is kept can be decoded again (`v2m retry`) and text that is kept delivered again (`v2m again`): the row
# leaves its resting phase when there is a new text or a new delivery, not before, so that neither can lose the old one.
_AGAIN = frozenset({_P.TRANSCRIBED, _P.DELIVERING})
TRANSITIONS: dict[Phase, frozenset[Phase]] = {
    _P.RECORDING: frozenset({_P.CAPTURED, _P.DISCARDED}) | _UNDELIVERED,
    _P.CAPTURED: frozenset({_P.TRANSCRIBED, _P.SUPPRESSED, _P.DISCARDED}) | _UNDELIVERED,
    _P.TRANSCRIBED: frozenset({_P.REFINED, _P.DELIVERING, _P.DELIVERED, _P.DISCARDED}) | _UNDELIVERED,
    _P.REFINED: frozenset({_P.DELIVERING, _P.DELIVERED, _P.DISCARDED}) | _UNDELIVERED,
    # Discarded so late: the field turned out to ask for a password.
    _P.DELIVERING: frozenset({_P.DELIVERED, _P.UNCERTAIN, _P.HELD, _P.FAILED, _P.DISCARDED}),
    _P.DELIVERED: _AGAIN,
    _P.UNCERTAIN: _AGAIN,
    _P.HELD: _AGAIN,
    _P.FAILED: _AGAIN,
    _P.SUPPRESSED: _AGAIN,
    _P.ABORTED: frozenset(),
    _P.DISCARDED: frozenset(),
}

FINAL = frozenset({_P.DELIVERED, _P.UNCERTAIN, _P.HELD, _P.FAILED, _P.ABORTED, _P.DISCARDED, _P.SUPPRESSED})


@dataclass(frozen=True, slots=True)
class Wishes:
    """What whoever starts a recording asks for; None leaves it to the settings."""

    language: str | None = None
    profile: int | None = None  # slot 1…9
    toggled: bool = False  # nobody holds a key
    until_silence_s: float | None = None  # ends by itself after so long without speech, once there was some

    @property
    def hands_free(self) -> bool:
        """Whether nobody holds a key meanwhile."""
        return self.toggled or self.until_silence_s is not None


class DaemonState(StrEnum):
    """What the daemon is doing, as every reply says."""

    WARMING = "warming"
    IDLE = "idle"
    RECORDING = "recording"
    TRANSCRIBING = "transcribing"
    REFINING = "refining"
    DELIVERING = "delivering"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Sent:
    """What left the machine for one dictation, to one host; requests that failed count as well."""

    what: str  # audio, text
    provider: str  # as the user wrote it: groq, openai, custom …
    host: str
    size_bytes: int  # of the bodies that were sent
    requests: int = 1


def with_sent(told: Sequence[Sent], more: Sent) -> tuple[Sent, ...]:
    """Add to what left for a dictation; a negative size takes back what did not leave after all."""
    rest = [sent for sent in told if (sent.what, sent.provider, sent.host) != (more.what, more.provider, more.host)]
    same = [sent for sent in told if sent not in rest]
    total = sum(sent.size_bytes for sent in (*same, more))
    requests = sum(sent.requests for sent in (*same, more))
    return (*rest, replace(more, size_bytes=total, requests=requests))


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
    attempts: tuple[Attempt, ...] = ()  # of its last delivery
    engine: str = ""
    language: str = ""
    spool: str | None = None  # path of the audio while it is kept
    error: str = ""  # stable code
    reason: str = ""  # one sentence: why held, discarded, failed
    sent: tuple[Sent, ...] = ()
    stages: dict[str, float] = field(default_factory=dict)  # stage → milliseconds


def can_move(old: Phase, new: Phase) -> bool:
    """Tell whether the table allows the step."""
    return new in TRANSITIONS[old]
