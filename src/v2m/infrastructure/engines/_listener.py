"""One recording inside the worker: follows its audio, asks the VAD, says which stretches to decode."""

import math
from array import array
from collections import deque
from dataclasses import dataclass, replace
from typing import Final, Protocol

from v2m.domain.audio import SAMPLE_BYTES, SAMPLE_RATE_HZ
from v2m.domain.errors import EngineError
from v2m.domain.ports import VoiceActivityDetector
from v2m.domain.segments import HANG_WINDOWS, WINDOW_SAMPLES, Segmenter, SegmentRules
from v2m.domain.transcript import Hypothesis, Segment
from v2m.infrastructure.engines._flow import Flow, Pcm
from v2m.infrastructure.engines._messages import Open, Result
from v2m.infrastructure.engines._notes import Notes

WINDOW_BYTES: Final = WINDOW_SAMPLES * SAMPLE_BYTES
MAX_UNDECODED: Final = 2  # segments of a file: one that is decoded and the next; more would fill the memory
# What an engine hears behind the last window of speech: as much of the recording as there is when it is decoded at the
# earliest, then silence. So the words are the same whether they were guessed, waited for, or read from a file. Scored
# on 49 clips, clean, with white and with pink noise: as many words wrong as with 250 ms of the recording.
AFTERMATH_SAMPLES: Final = HANG_WINDOWS * WINDOW_SAMPLES
SILENCE: Final = bytes(SAMPLE_RATE_HZ // 10 * SAMPLE_BYTES)
MAX_UNFED_S: Final = 10  # of a file, the same for an engine that streams


class Audio(Protocol):
    """Where samples come from: a spool that grows, or a file that is converted."""

    @property
    def head(self) -> int:
        """Samples that can be read now."""

    def pcm(self, start: int, end: int) -> bytes | memoryview:
        """Return samples as S16LE."""

    def close(self) -> None:
        """Let go of them."""


class FileAudio(Audio, Protocol):
    """Samples that are converted when they are asked for, and held until they are not wanted any more."""

    @property
    def length_s(self) -> float | None:
        """How long the file is, where its header tells."""

    @property
    def ready(self) -> bool:
        """Whether `read_ahead` has something to read now."""

    def read_ahead(self, samples: int) -> int | None:
        """Convert up to about that sample; return the length of the whole once it is known. Raises EngineError."""

    def forget(self, before: int) -> None:
        """Let go of the samples before that one."""


@dataclass(frozen=True, slots=True)
class Guess:
    """The text of an open stretch, decoded in case it has ended."""

    segment: Segment
    heard: Hypothesis
    decode_ms: float


class Listener:
    """Everything the worker knows about one recording.

    The listening thread calls `finish`, `advance`, `tentative` and `abandon`. What is heard is noted by the model
    thread, or by the listening thread while the agenda holds no work for this recording. `vad` None: everything
    counts as speech, only the maximum length cuts, and it cuts where the signal is weakest. `streaming`: the engine
    gets the audio as it comes, from the first word on; only a long silence cuts.
    """

    def __init__(
        self,
        opening: Open,
        audio: Audio | FileAudio,
        *,
        vad: VoiceActivityDetector | None,
        rules: SegmentRules,
        names: frozenset[str] = frozenset(),
        file: FileAudio | None = None,
        streaming: bool = False,
    ) -> None:
        self.opening = opening
        self.job = opening.job
        self.live = opening.live and file is None
        self.vad = vad
        self.audio = audio
        self.length_s = file.length_s if file else None
        self.speech_until = 0  # samples
        self.ended = False  # all of it has been looked at
        self.looked_at = 0.0  # when, last; any clock
        self.abandoned = False
        self.vad_ms = 0.0
        self.decode_ms = 0.0
        self.notes = Notes(vad=opening.vad, names=names)
        self.guess: Guess | None = None
        self.guessed_at: tuple[int, int] | None = None  # the key that a guess was last asked for
        self.streaming = streaming
        self.flow: Flow | None = None
        self.feeding = False  # a task to feed the flow is queued
        self._vad_errors = 0
        self._file = file
        self._kept_s = 2 * rules.max_s + rules.padding_s  # no segment begins earlier than this before the position
        self._closed = 0  # segments
        self._noted_until = 0  # samples
        self._undecoded: deque[Segment] = deque()  # added to by the listening thread, emptied by the model thread
        self._threshold = rules.threshold
        rules = rules if vad else SegmentRules.whole(rules.max_s)
        self._segmenter = Segmenter(_uncut(rules) if streaming else rules)
        self._position = 0
        self._end: int | None = None  # where the recording ends, once that is known
        self._finishing = False

    @property
    def position(self) -> int:
        """Samples looked at."""
        return self._position

    @property
    def heard_s(self) -> float:
        """How far it has become text, in seconds; of a dictation, how far it was looked at."""
        return (self._position if self.live else self._noted_until) / SAMPLE_RATE_HZ

    @property
    def growing(self) -> bool:
        """Whether it goes on as far as is known: somebody may be speaking."""
        return self.live and not self._finishing and not self.ended

    @property
    def behind(self) -> bool:
        """Whether `advance` has something to do now."""
        if self._file is not None:
            some = self._end is not None or self._file.ready or self.audio.head - self._position >= WINDOW_SAMPLES
            return self._finishing and not self.ended and some and not self._is_ahead()
        return not self.ended and (self._finishing or self.audio.head - self._position >= WINDOW_SAMPLES)

    @property
    def starved(self) -> bool:
        """Whether it can do nothing until more of its file arrives."""
        return self._file is not None and self._finishing and not (self.ended or self.behind or self._is_ahead())

    @property
    def speaking(self) -> bool:
        """Whether a word was being spoken at the position; never known without a VAD."""
        return self.vad is not None and self._segmenter.speaking

    @property
    def begun(self) -> int | None:
        """Where the open stretch begins, once it holds a word."""
        return self._segmenter.begun

    def finish(self, samples: int) -> None:
        """The recording ended at `samples`, of which no more than are there can be read."""
        self._finishing = True
        if self._file is None:
            self._end = max(self._position, min(samples, self.audio.head))

    def advance(self, windows: int) -> list[Segment]:
        """Look at so many windows at most; return the segments they close. Raises EngineError for a bad file."""
        if self._file is not None:
            if not self.behind:
                return []
            self._end = self._file.read_ahead(self._position + windows * WINDOW_SAMPLES)
        segments: list[Segment] = []
        limit = self.audio.head if self._end is None else self._end
        for _ in range(windows):
            complete = limit - self._position >= WINDOW_SAMPLES
            if not complete and (self._end is None or self._position >= limit):
                break
            segments += self._segmenter.push(self._listen(min(limit, self._position + WINDOW_SAMPLES)))
        if self._finishing and self._position == self._end:
            segments += self._segmenter.close(self._position)
            self.ended = True
        self._closed += len(segments)
        if self._file is not None:
            self._undecoded += segments
            self._forget(self._file)
        return segments

    def tentative(self) -> Segment | None:
        """Return the open stretch if it may have ended and no guess was made at it."""
        segment = self._segmenter.tentative() if self.growing else None
        return None if segment is None or segment.key == self.guessed_at else segment

    def is_outdated(self) -> bool:
        """Tell whether a guess was made and its speech has gone on since."""
        return self.guessed_at is not None and self.speaking

    def take_guess(self, segment: Segment) -> Hypothesis | None:
        """Return what was heard in a segment, if it was guessed right."""
        guess, self.guess = self.guess, None
        if guess is None or guess.segment.key != segment.key:
            return None
        self.decode_ms += guess.decode_ms
        return guess.heard

    def note(self, segment: Segment, heard: Hypothesis) -> None:
        """Take down what was heard in the next segment."""
        self.notes.add(segment, heard)
        self._noted_until = segment.end
        if self._undecoded:
            self._undecoded.popleft()

    def abandon(self) -> None:
        """Nobody wants its text any more."""
        self.abandoned = True
        if self.flow is not None:
            self.flow.abandon()

    def result(self) -> Result:
        """Return what was heard in all segments."""
        text, suppressed = self.notes.whole()
        duration_s = self._position / SAMPLE_RATE_HZ
        return Result(
            self.job,
            text,
            duration_s=duration_s,
            speech_s=min(self._segmenter.speech_s, duration_s),  # the last window may be half empty
            confidence=self.notes.confidence,
            vad_ms=self.vad_ms,
            vad_errors=self._vad_errors,
            decode_ms=self.decode_ms,
            segments=self._closed,
            suppressed=suppressed,
            language=self.notes.language,
            passages=self.notes.passages,
        )

    def close(self) -> None:
        """Let go of the audio."""
        self.audio.close()

    def _is_ahead(self) -> bool:
        """Whether a file was looked at far enough for now."""
        if self.streaming:
            start = self.flow.fed if self.flow else self.begun
            return start is not None and self._position - start > MAX_UNFED_S * SAMPLE_RATE_HZ
        return len(self._undecoded) >= MAX_UNDECODED

    def _forget(self, file: FileAudio) -> None:
        """Let go of what no segment can hold any more."""
        if self.streaming:
            begun = self.begun
            oldest = self.flow.fed if self.flow else self._position if begun is None else begun
        else:
            oldest = min((segment.start for segment in tuple(self._undecoded)), default=self._position)
        if self._kept_s < math.inf:
            file.forget(min(oldest, self._position - round(self._kept_s * SAMPLE_RATE_HZ)))

    def _listen(self, end: int) -> float:
        """Return the probability of the window that ends at `end`; the last one is filled up with silence."""
        window = bytes(self.audio.pcm(self._position, end)).ljust(WINDOW_BYTES, b"\0")
        self._position = end
        if self.vad is None:
            self.speech_until = end
            return loudness(window)
        try:
            probability = self.vad.probability(window)
        except EngineError:  # counted; a broken detector must not lose words
            self._vad_errors += 1
            probability = 1.0
        if probability >= self._threshold:
            self.speech_until = end
        return probability


def utterance(audio: Pcm, segment: Segment) -> bytes:
    """Return what an engine that takes whole utterances gets of a segment."""
    if segment.end == segment.speech_end:  # cut in speech, or the recording ends with it
        return bytes(audio.pcm(segment.start, segment.end))
    end = min(segment.end, segment.speech_end + AFTERMATH_SAMPLES)
    return b"".join((audio.pcm(segment.start, end), SILENCE))


def loudness(window: bytes) -> float:
    """Return the mean magnitude of S16LE samples, 0…1."""
    samples = array("h", window)
    return sum(map(abs, samples)) / len(samples) / 32768


def _uncut(rules: SegmentRules) -> SegmentRules:
    """Return rules under which only a long silence ends a stretch."""
    return replace(rules, pause_s=math.inf, max_s=math.inf, tentative_s=math.inf)
