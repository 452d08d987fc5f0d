"""What an engine heard."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a hypothesis, as the engine spelt it, punctuation included."""

    text: str
    confidence: float | None = None  # lowest log-probability of its tokens, 0 is certain
    start_s: float | None = None  # from the start of the stretch, where the engine tells
    end_s: float | None = None


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One decoded stretch of speech."""

    text: str
    confidence: float | None = None  # mean log-probability of the tokens, 0 is certain
    words: tuple[Word, ...] = ()  # joined by spaces they are the text; empty where the engine tells none
    language: str = ""  # what the engine took it for, where it can tell


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a recording that is decoded as one, in samples, padding included."""

    start: int
    end: int
    continues: bool = False  # begins where the one before was cut, in the middle of speech
    speech_start: int = 0  # where its speech begins and ends, without the padding
    speech_end: int = 0

    @property
    def key(self) -> tuple[int, int]:
        """What makes two segments of one recording the same speech, however much padding there was."""
        return self.speech_start, self.speech_end


@dataclass(frozen=True, slots=True)
class Passage:
    """The text of one stretch and where it stands in the recording, in seconds: a subtitle."""

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True, slots=True)
class PartialTranscript:
    """What has been heard of a recording so far; a later one repeats the first `stable` characters."""

    text: str
    stable: int
    heard_s: float  # of the recording, looked at so far
    passages: tuple[Passage, ...] = ()  # closed since the last one
    length_s: float | None = None  # of the whole file, where its header tells


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
    passages: tuple[Passage, ...] = ()
    suppressed: str = ""  # what was heard and not believed: loops, and phrases that engines invent from noise
    language: str = ""
