"""What an engine heard."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One decoded stretch of speech."""

    text: str
    confidence: float | None = None  # mean log-probability of the tokens, 0 is certain


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a recording that is decoded as one, in samples, padding included."""

    start: int
    end: int
    continues: bool = False  # begins where the one before was cut, in the middle of speech


@dataclass(frozen=True, slots=True)
class Transcript:
    """The whole of a recording as text; empty text means that no speech was found."""

    text: str
    engine: str
    duration_s: float = 0.0  # how long the recording is
    speech_s: float = 0.0  # how long somebody spoke, by the VAD
    confidence: float | None = None
    vad_ms: float = 0.0
    decode_ms: float = 0.0
    segments: int = 0
