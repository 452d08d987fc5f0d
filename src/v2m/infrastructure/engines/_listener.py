"""One recording inside the worker: follows its audio, asks the VAD, says which stretches to decode."""

from array import array
from collections.abc import Callable
from typing import Final, Protocol

from v2m.domain.audio import SAMPLE_BYTES, SAMPLE_RATE_HZ
from v2m.domain.errors import EngineError
from v2m.domain.ports import SpeechEngine, SpeechStream, VoiceActivityDetector
from v2m.domain.segments import WINDOW_SAMPLES, Segmenter, SegmentRules, join_texts
from v2m.domain.transcript import Hypothesis, Segment
from v2m.infrastructure.engines._messages import Result

WINDOW_BYTES: Final = WINDOW_SAMPLES * SAMPLE_BYTES


class Audio(Protocol):
    """Where samples come from: a spool that grows, or a file that is converted."""

    @property
    def head(self) -> int:
        """Samples that can be read now."""

    def pcm(self, start: int, end: int) -> bytes | memoryview:
        """Return samples as S16LE."""

    def close(self) -> None:
        """Let go of them."""


class Listener:
    """Everything the worker knows about one recording.

    The listening thread calls `finish`, `advance` and `abandon`; the model thread calls `decode` with
    what `advance` returned, then `result`. `vad` None: everything counts as speech, only the maximum
    length cuts, and it cuts where the signal is weakest.
    """

    def __init__(
        self,
        job: int,
        audio: Audio,
        *,
        language: str,
        vad: VoiceActivityDetector | None,
        rules: SegmentRules,
        read_ahead: Callable[[int], int | None] | None = None,
    ) -> None:
        self.job = job
        self.vad = vad
        self.speech_until = 0  # samples
        self.ended = False  # all of it has been looked at
        self.abandoned = False
        self.vad_ms = 0.0
        self.decode_ms = 0.0
        self._audio = audio
        self._language = language
        self._vad_errors = 0
        self._stream: SpeechStream | None = None  # what the model thread decodes now
        self._heard: list[tuple[Segment, Hypothesis]] = []
        self._read_ahead = read_ahead
        self._threshold = rules.threshold
        self._segmenter = Segmenter(rules if vad else SegmentRules.whole(rules.max_s))
        self._position = 0
        self._end: int | None = None  # where the recording ends, once that is known
        self._finishing = False

    @property
    def behind(self) -> bool:
        """Whether `advance` has something to do now."""
        return not self.ended and (self._finishing or self._audio.head - self._position >= WINDOW_SAMPLES)

    def finish(self, samples: int) -> None:
        """The recording ended at `samples`, of which no more than are there can be read."""
        self._finishing = True
        if self._read_ahead is None:
            self._end = min(samples, self._audio.head)

    def advance(self, windows: int) -> list[Segment]:
        """Look at so many windows at most; return the segments they close. Raises EngineError for a bad file."""
        if self._read_ahead is not None:
            self._end = self._read_ahead(self._position + windows * WINDOW_SAMPLES)
        segments: list[Segment] = []
        limit = self._audio.head if self._end is None else self._end
        for _ in range(windows):
            complete = limit - self._position >= WINDOW_SAMPLES
            if not complete and (self._end is None or self._position >= limit):
                break
            segments += self._segmenter.push(self._listen(min(limit, self._position + WINDOW_SAMPLES)))
        if self._finishing and self._position == self._end:
            segments += self._segmenter.close(self._position)
            self.ended = True
        return segments

    def abandon(self) -> None:
        """Let a running `decode` end at the next token and begin no other."""
        self.abandoned = True
        if self._stream is not None:
            self._stream.abandon()

    def decode(self, engine: SpeechEngine, segment: Segment, alive: Callable[[], None]) -> None:
        """Turn a segment into text, unless abandoned; `alive` is called meanwhile. Raises EngineError."""
        self._stream = engine.open_stream(self._language)
        if self.abandoned:  # asked after the stream is set: `abandon` sees one or the other
            return
        self._stream.feed(self._audio.pcm(segment.start, segment.end))
        self._heard.append((segment, self._stream.finish(alive)))

    def result(self) -> Result:
        """Return what was heard in all segments."""
        weights = [
            (segment.end - segment.start, heard.confidence)
            for segment, heard in self._heard
            if heard.confidence is not None
        ]
        samples = sum(length for length, _ in weights)
        duration_s = self._position / SAMPLE_RATE_HZ
        return Result(
            self.job,
            join_texts((heard.text, segment.continues) for segment, heard in self._heard),
            duration_s=duration_s,
            speech_s=min(self._segmenter.speech_s, duration_s),  # the last window may be half empty
            confidence=sum(length * value for length, value in weights) / samples if samples else None,
            vad_ms=self.vad_ms,
            vad_errors=self._vad_errors,
            decode_ms=self.decode_ms,
            segments=len(self._heard),
        )

    def close(self) -> None:
        """Let go of the audio."""
        self._audio.close()

    def _listen(self, end: int) -> float:
        """Return the probability of the window that ends at `end`; the last one is filled up with silence."""
        window = bytes(self._audio.pcm(self._position, end)).ljust(WINDOW_BYTES, b"\0")
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


def loudness(window: bytes) -> float:
    """Return the mean magnitude of S16LE samples, 0…1."""
    samples = array("h", window)
    return sum(map(abs, samples)) / len(samples) / 32768
