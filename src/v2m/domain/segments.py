"""Where a recording is cut for an engine that takes whole utterances, and how the texts are joined.

Fed with one probability per window of 32 ms, in order; what is cut depends on these numbers alone.
A stretch opens at a window of `threshold` or more and lasts until its last window of `hold` or more;
it is closed by a pause, or cut at the quietest place of its second half when it grows too long.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from v2m.domain.audio import SAMPLE_RATE_HZ
from v2m.domain.transcript import Segment

WINDOW_SAMPLES: Final = 512  # what Silero takes at 16 kHz
WINDOW_S: Final = WINDOW_SAMPLES / SAMPLE_RATE_HZ


@dataclass(frozen=True, slots=True)
class SegmentRules:
    """When a stretch of speech ends.

    The numbers were scored on five long recordings: shorter minimum or maximum costs up to 1.3 points
    of word errors, a longer maximum makes the last stretch take up to 0.8 s at key-up.
    """

    threshold: float = 0.5  # speech begins at this probability
    hold: float = 0.35  # and goes on while it is at least this
    pause_s: float = 0.6  # closes a stretch that is long enough
    min_s: float = 3.0  # long enough
    max_pause_s: float = 3.0  # closes any stretch
    max_s: float = 15.0  # cut at the latest here
    padding_s: float = 0.25  # audio kept on both sides
    min_speech_s: float = 0.2  # less is no word: the engine would invent one
    tentative_s: float = 0.128  # a pause so long may be the end; inf: nothing is decoded on a guess

    @classmethod
    def whole(cls, max_s: float = 15.0) -> "SegmentRules":
        """Return rules under which every window counts as speech; only the maximum cuts."""
        return cls(threshold=0.0, hold=0.0, max_s=max_s, padding_s=0.0, min_speech_s=0.0)


CUT_WINDOWS: Final = 7  # 0.22 s: the mean over them finds the quietest place, not one quiet window
HANG_WINDOWS: Final = 2  # 64 ms: a stop inside a word is no end of it (measured: most last 1 window)


@dataclass(slots=True)
class _Stretch:
    """Speech that has begun and not ended."""

    first: int  # its first window
    last: int  # its last window that counts as speech
    probabilities: list[float]
    loud: int  # how many of them are at least the threshold
    cut: bool = False  # it was opened by a cut, so nothing before its first window is its own
    continues: bool = False  # and that cut fell into speech

    @property
    def length(self) -> int:
        return self.last - self.first + 1


class Segmenter:
    """Turns the probabilities of one recording into segments; nothing is looked at twice."""

    def __init__(self, rules: SegmentRules | None = None) -> None:
        self._rules = rules or SegmentRules()
        self._pause = _windows(self._rules.pause_s)
        self._minimum = _windows(self._rules.min_s)
        self._max_pause = _windows(self._rules.max_pause_s)
        self._maximum = max(2 * CUT_WINDOWS, self._rules.max_s / WINDOW_S)
        self._padding = round(self._rules.padding_s * SAMPLE_RATE_HZ)
        self._tentative = _windows(self._rules.tentative_s)
        self._count = 0  # windows seen
        self._speech = 0  # windows of speech in what was given out
        self._open: _Stretch | None = None

    @property
    def speech_s(self) -> float:
        """Seconds of speech in the segments given out so far."""
        return self._speech * WINDOW_S

    @property
    def speaking(self) -> bool:
        """Whether a word was being spoken when the last window ended."""
        return self._open is not None and self._pause_of(self._open) < HANG_WINDOWS

    @property
    def begun(self) -> int | None:
        """First sample, padding included, of the stretch that is open; None between stretches and before a word."""
        if self._open is None or not self._is_word(self._open.loud):
            return None
        return self._start(self._open)

    def tentative(self) -> Segment | None:
        """Return the open stretch as it would be decoded if speech had ended; None while it may well go on.

        Its padding is what there is so far, 128 ms or more. A stretch given out later has the same `key` if no
        speech came between, and then the text of this one serves.
        """
        if self._open is None or self._pause_of(self._open) < self._tentative:
            return None
        return self._segment(self._open, self._open.length, self._count * WINDOW_SAMPLES)

    def push(self, probability: float) -> list[Segment]:
        """Take the next window; return the segment that it closes, if any."""
        at = self._count
        self._count += 1
        if self._open is None:
            if probability >= self._rules.threshold:
                self._open = _Stretch(at, at, [probability], 1)
            return []
        self._open.probabilities.append(probability)
        self._open.loud += probability >= self._rules.threshold
        if probability >= self._rules.hold:
            self._open.last = at
        pause = self._pause_of(self._open)
        if pause >= self._max_pause or (pause >= self._pause and self._open.length >= self._minimum):
            return self._end(self._open, self._count * WINDOW_SAMPLES)
        if len(self._open.probabilities) + 1 > self._maximum:
            return self._cut(self._open)
        return []

    def close(self, samples: int) -> list[Segment]:
        """End the recording at `samples`; return what is still open."""
        return [] if self._open is None else self._end(self._open, samples)

    def _pause_of(self, stretch: _Stretch) -> int:
        """Return how many windows ago it was last spoken in."""
        return self._count - 1 - stretch.last

    def _start(self, stretch: _Stretch) -> int:
        return max(0, stretch.first * WINDOW_SAMPLES - (0 if stretch.cut else self._padding))

    def _loud(self, probabilities: list[float]) -> int:
        return sum(value >= self._rules.threshold for value in probabilities)

    def _is_word(self, loud: int) -> bool:
        return loud * WINDOW_S >= self._rules.min_speech_s

    def _end(self, stretch: _Stretch, samples: int) -> list[Segment]:
        """Give out a whole stretch with its padding; `samples` is all the audio there is."""
        return self._give(stretch, stretch.length, samples)

    def _cut(self, stretch: _Stretch) -> list[Segment]:
        """Give out a stretch up to its quietest place; the rest opens the next one there."""
        values = stretch.probabilities
        starts = range(len(values) // 2, len(values) - CUT_WINDOWS + 1)
        quietest, start = min((sum(values[start : start + CUT_WINDOWS]), start) for start in starts)
        offset = start + CUT_WINDOWS // 2
        boundary = stretch.first + offset
        if stretch.last < boundary:
            return self._end(stretch, self._count * WINDOW_SAMPLES)
        segments = self._give(stretch, offset, boundary * WINDOW_SAMPLES)
        in_speech = quietest >= CUT_WINDOWS * self._rules.hold
        rest = values[offset:]
        self._open = _Stretch(boundary, stretch.last, rest, self._loud(rest), cut=True, continues=in_speech)
        return segments

    def _segment(self, stretch: _Stretch, windows: int, samples: int) -> Segment | None:
        """Return the first `windows` of a stretch with their padding, if that is a word."""
        if not self._is_word(self._loud(stretch.probabilities[:windows])):
            return None
        first = stretch.first * WINDOW_SAMPLES
        last = min(samples, first + windows * WINDOW_SAMPLES)
        return Segment(self._start(stretch), min(samples, last + self._padding), stretch.continues, first, last)

    def _give(self, stretch: _Stretch, windows: int, samples: int) -> list[Segment]:
        """Close a stretch, of which the first `windows` are given out, at sample `samples` at the latest."""
        self._open = None
        segment = self._segment(stretch, windows, samples)
        if segment is None:
            return []
        self._speech += sum(value >= self._rules.hold for value in stretch.probabilities[:windows])
        return [segment]


_OWN_CAPITAL: Final = re.compile(r"I\b")  # I, I'm, I'll
_WORD: Final = re.compile(r"\w+(?:['’]\w+)*")


def join_texts(parts: Iterable[tuple[str, bool]], *, names: frozenset[str] = frozenset()) -> str:
    """Join the texts of segments; the flag says that one continues in the middle of a sentence.

    `names` keep the capital that any other word loses there.
    """
    joined = ""
    for text, continues in parts:
        piece = text.strip()
        if piece and joined and continues:
            joined, piece = _mend(joined, piece, names)
        joined = f"{joined} {piece}".strip()
    return joined


def stable_length(joined: str) -> int:
    """Return how many leading characters of a joined text stay, whatever part is joined to it next."""
    return len(joined[:-1].rstrip() if _ends_sentence(joined) else joined)


def _ends_sentence(text: str) -> bool:
    """Whether it ends with a full stop, which a part that continues it removes."""
    return text.endswith(".") and not text.endswith("..")


def _mend(before: str, after: str, names: frozenset[str]) -> tuple[str, str]:
    """Undo what the engine did to two halves of a sentence: period, capital, a word heard twice."""
    if _ends_sentence(before):
        before = before[:-1]
    first = _WORD.match(after)
    if first is None:
        return before, after
    word = first.group()
    *_, last = [found.group() for found in _WORD.finditer(before)] or [""]
    if before.endswith(last) and last.casefold() == word.casefold():
        return before, after[first.end() :].lstrip()
    if before.endswith(("?", "!", "..")):
        return before, after
    if word[0].isupper() and word[1:] == word[1:].lower() and not _keeps_capital(after, names):
        after = after[0].lower() + after[1:]
    return before, after


def _keeps_capital(text: str, names: frozenset[str]) -> bool:
    """Whether it begins with a word that is written with a capital everywhere."""
    named = any(text.startswith(name) and not text[len(name) : len(name) + 1].isalnum() for name in names)
    return named or _OWN_CAPITAL.match(text) is not None


def _windows(seconds: float) -> float:
    return math.ceil(round(seconds / WINDOW_S, 6)) if math.isfinite(seconds) else seconds
