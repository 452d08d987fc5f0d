"""What subscribers are told. The encoder is generic: a new event is one class here.

Names are past tense; on the wire `StateChanged` is `state_changed` and the fields are its `data`.
"""

import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened."""


@dataclass(frozen=True, slots=True)
class StateChanged(Event):
    """The daemon does something else now."""

    state: str
    queue: int
    dictation: int | None = None


@dataclass(frozen=True, slots=True)
class Live(Event):
    """The microphone is heard: the first sample that is no silence has come from `source`."""

    dictation: int
    source: str


@dataclass(frozen=True, slots=True)
class Level(Event):
    """How loud the microphone is, at most 20 a second and only while somebody listens."""

    peak_db: float


@dataclass(frozen=True, slots=True)
class LimitApproached(Event):
    """The recording ends by itself in `left_s` seconds, because it is as long as `audio.max_recording_s` allows."""

    dictation: int
    left_s: float


@dataclass(frozen=True, slots=True)
class Partial(Event):
    """Text heard so far, while somebody listens: the first `stable` characters stay; `final` is said once, with all."""

    dictation: int
    text: str
    stable: int
    final: bool


@dataclass(frozen=True, slots=True)
class Transcribed(Event):
    """An engine has decoded a dictation."""

    dictation: int
    text: str


@dataclass(frozen=True, slots=True)
class Delivered(Event):
    """A text stands where it should, as surely as `confirmed` and `certainty` say."""

    dictation: int | None
    method: str
    confirmed: bool
    certainty: str


@dataclass(frozen=True, slots=True)
class Held(Event):
    """A text was not typed; it is on the clipboard and in the history."""

    dictation: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Undone(Event):
    """A text that had been typed was taken back, as surely as `certainty` says; it is in the history."""

    dictation: int | None
    method: str
    certainty: str


@dataclass(frozen=True, slots=True)
class Discarded(Event):
    """A recording was thrown away on purpose: `tap`, `aborted`, `secret` (it was spoken into a password field)."""

    dictation: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Suppressed(Event):
    """A recording holds no speech; its audio is kept."""

    dictation: int
    reason: str


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """Something the user should know did not work."""

    dictation: int | None
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Progress(Event):
    """How far a long job is, 0…1, at most 4 a second and only while somebody listens."""

    job: str
    done: float


@dataclass(frozen=True, slots=True)
class Segment(Event):
    """A passage of a file has been transcribed; `start_s` and `end_s` are its place in the file."""

    job: str
    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True, slots=True)
class Degraded(Event):
    """A promise is weaker now: `storage`, `history`, `capture`, `config`, `hotkeys`; empty `detail`: it holds again."""

    what: str
    detail: str


@dataclass(frozen=True, slots=True)
class SettingsChanged(Event):
    """Other settings hold from now on: GET_CONFIG tells them; `restart`: some hold only after a restart."""

    restart: bool


_WORD = re.compile(r"(?<!^)(?=[A-Z])")


def event_name(kind: type[Event]) -> str:
    """Return the name on the wire."""
    return _WORD.sub("_", kind.__name__).lower()


def event_data(event: Event) -> dict[str, Any]:
    """Return the fields on the wire."""
    return {name: getattr(event, name) for name in event.__dataclass_fields__}
