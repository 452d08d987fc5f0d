"""Dictations on a virtual clock: real audio, detector, segmenter and decodes, whose times are measured."""

import copy
import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from support.speech import RATE, Clip, clips, silence, wheel_assets
from v2m.domain.segments import WINDOW_S, WINDOW_SAMPLES, Segmenter, SegmentRules, join_texts
from v2m.domain.transcript import Segment
from v2m.infrastructure.engines._listener import AFTERMATH_SAMPLES, utterance
from v2m.infrastructure.engines.moonshine import MoonshineEngine
from v2m.infrastructure.vad.levelled import LevelledVad
from v2m.infrastructure.vad.silero import SileroVad

WINDOW_BYTES = 2 * WINDOW_SAMPLES
ENCODER_S = 0.0077  # per second of audio: a decode cannot be abandoned in it (measured)
TOKEN_S = 0.003  # nor within a token


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """Audio, and what the detector says to each window of it."""

    content: bytes
    probabilities: Sequence[float]
    vad_s: float  # per window, on the CPU

    def pcm(self, start: int, end: int) -> bytes:
        """Return samples, as a spool does."""
        return self.content[2 * start : 2 * end]

    @property
    def seconds(self) -> float:
        return len(self.content) / 2 / RATE

    def word_ends(self, pause_s: float) -> list[float]:
        """Return when somebody stopped speaking, for so long at least; in seconds."""
        ends, spoken = [], False
        for at, value in enumerate(self.probabilities):
            if value >= 0.35:
                last, spoken = at, True
            elif spoken and (at - last) * WINDOW_S >= pause_s:
                ends.append((last + 1) * WINDOW_S)
                spoken = False
        return ends


def recorded(pcm: bytes) -> Recording:
    """Have the detector listen to a recording."""
    detector = LevelledVad(SileroVad())
    started = time.thread_time()
    found = [
        detector.probability(pcm[at : at + WINDOW_BYTES].ljust(WINDOW_BYTES, b"\0"))
        for at in range(0, len(pcm), WINDOW_BYTES)
    ]
    return Recording(pcm, found, (time.thread_time() - started) / max(1, len(found)))


def dictation(seconds: float, seed: int) -> bytes:
    """Return real utterances in an order of chance, with gaps of 0.4 to 0.9 s, of about that length."""
    chance = random.Random(seed)
    parts: list[bytes] = []
    while sum(map(len, parts)) < seconds * 2 * RATE:
        spoken: list[Clip] = [clip for clip in clips() if clip.kind == "speech"]
        chance.shuffle(spoken)
        for clip in spoken:
            parts += [clip.pcm, silence(chance.uniform(0.4, 0.9))]
    return b"".join(parts)[: round(seconds * RATE) * 2]


class Decoded(NamedTuple):
    """The text of a segment, and the seconds of CPU that it took."""

    text: str
    cost_s: float


class Decodes:
    """Real decodes by the embedded engine on one thread; each segment once."""

    def __init__(self) -> None:
        self._engine = MoonshineEngine(folder=wheel_assets() / "tiny-en")
        self._engine.load()
        self._known: dict[tuple[int, int, int], Decoded] = {}
        self._kept: list[Recording] = []  # so that no other gets its id

    def __call__(self, recording: Recording, segment: Segment) -> Decoded:
        """Decode a segment, or remember it."""
        key = (id(recording), segment.start, min(segment.end, segment.speech_end + AFTERMATH_SAMPLES))
        if key not in self._known:
            self._kept.append(recording)
            started = time.thread_time()
            stream = self._engine.open_stream("en")
            stream.feed(utterance(recording, segment))
            text = stream.finish().text
            self._known[key] = Decoded(text, time.thread_time() - started)
        return self._known[key]

    def text(self, recording: Recording, samples: int) -> str:
        """Return the text of a recording that ends at that sample."""
        segmenter, found = Segmenter(), []
        for at in range(-(-samples // WINDOW_SAMPLES)):
            found += segmenter.push(recording.probabilities[at])
        found += segmenter.close(samples)
        return join_texts((self(recording, one).text, one.continues) for one in found)


@cache
def decodes() -> Decodes:
    """Return the one that remembers."""
    return Decodes()


def end_of_tail(recording: Recording, released: int, tail: int) -> int:
    """Return at which sample a recording ends whose key goes up at `released`: a word is waited for, so long at most.

    As `Recorder.close` does with the verdicts of the speech process, the last of which is a window old.
    """
    segmenter, limit = Segmenter(), min(released + tail, len(recording.content) // 2)
    known = max(0, released // WINDOW_SAMPLES - 1)  # windows in the last verdict
    for seen, value in enumerate(recording.probabilities):
        if seen >= known and not segmenter.speaking:
            return max(released, min(seen * WINDOW_SAMPLES, limit))
        segmenter.push(value)
    return limit


@dataclass(slots=True)
class _Work:
    """What the model does now."""

    segment: Segment
    guess: bool
    started_s: float
    ends_s: float


class Desk:
    """The speech process as a timetable: what `Listening` and `Agenda` do, at times that are computed.

    `advance` it window by window; `latency_s` tells how long after a release the text would be there.
    """

    def __init__(self, recording: Recording, *, speculate: bool) -> None:
        self._recording = recording
        self._segmenter = Segmenter(SegmentRules() if speculate else SegmentRules(tentative_s=float("inf")))
        self._seen = 0  # windows
        self._work: _Work | None = None
        self._queue: deque[Segment] = deque()
        self._guessed: tuple[int, int] | None = None  # the key whose text is there
        self._asked: tuple[int, int] | None = None  # the key a guess was made at
        self.work_s = 0.0  # of the model

    def advance(self, until_s: float) -> None:
        """Look at every window that is complete by then."""
        while (self._seen + 1) * WINDOW_S <= until_s and self._seen < len(self._recording.probabilities):
            self._look((self._seen + 1) * WINDOW_S + self._recording.vad_s)

    def latency_s(self, released_s: float) -> float:
        """Return when the text is there, after a key that goes up at `released_s`; `advance` to that first."""
        desk = copy.copy(self)
        desk._segmenter, desk._queue, desk._work = map(copy.deepcopy, (self._segmenter, self._queue, self._work))
        now_s = released_s
        if released_s > desk._seen * WINDOW_S:  # a window that is not complete
            now_s += self._recording.vad_s
            for segment in desk._segmenter.push(self._recording.probabilities[desk._seen]):
                desk._put(segment, now_s)
        for segment in desk._segmenter.close(round(released_s * RATE)):
            desk._put(segment, now_s)
        end_s = now_s
        while desk._work is not None:
            end_s = max(end_s, desk._work.ends_s)
            desk._run(desk._work.ends_s)
        return end_s - released_s

    def _look(self, now_s: float) -> None:
        self._run(now_s)
        for segment in self._segmenter.push(self._recording.probabilities[self._seen]):
            self._put(segment, now_s)
        self._seen += 1
        if self._segmenter.speaking:
            self._asked = None
            if self._work is not None and self._work.guess:
                self._abandon(now_s)
            return
        segment = self._segmenter.tentative()
        if segment is not None and segment.key != self._asked and self._work is None and not self._queue:
            self._asked = segment.key
            self._begin(segment, now_s, guess=True)

    def _put(self, segment: Segment, now_s: float) -> None:
        if segment.key == self._guessed and self._work is None and not self._queue:
            return
        if self._work is not None and self._work.guess and self._work.segment.key != segment.key:
            self._abandon(now_s)
        self._queue.append(segment)
        self._run(now_s)

    def _begin(self, segment: Segment, now_s: float, *, guess: bool) -> None:
        known = not guess and segment.key == self._guessed
        cost_s = 0.0 if known else decodes()(self._recording, segment).cost_s
        self.work_s += cost_s
        self._work = _Work(segment, guess, now_s, now_s + cost_s)

    def _abandon(self, now_s: float) -> None:
        """Let a guess end after the encoder and the token it is at."""
        assert self._work is not None
        encoded_s = self._work.started_s + ENCODER_S * (self._work.segment.end - self._work.segment.start) / RATE
        self._work.ends_s = min(self._work.ends_s, max(now_s, encoded_s) + TOKEN_S)
        self._work.guess = False  # its text is of no use

    def _run(self, now_s: float) -> None:
        """End what is done by now, and begin what is queued."""
        while self._work is not None and self._work.ends_s <= now_s:
            done, self._work = self._work, None
            if done.guess:
                self._guessed = done.segment.key
            if self._queue:
                self._begin(self._queue.popleft(), done.ends_s, guess=False)
        if self._work is None and self._queue:
            self._begin(self._queue.popleft(), now_s, guess=False)
            self._run(now_s)
