"""What has been heard of one recording, in order: the texts that are believed, joined, and those that are not."""

from collections import Counter

from v2m.domain.audio import SAMPLE_RATE_HZ
from v2m.domain.segments import join_texts, stable_length
from v2m.domain.text.believable import DOUBTED, believe
from v2m.domain.transcript import Hypothesis, Segment
from v2m.infrastructure.engines._messages import Passages


class Notes:
    """One recording's texts; written by whichever thread has them, never by two at once."""

    def __init__(self, *, vad: bool, names: frozenset[str] = frozenset()) -> None:
        """With `vad` False somebody asked for whatever is heard: little is doubted. `names` keep their capital."""
        self._vad = vad
        self._names = names
        self._text = ""
        self._doubted: list[str] = []
        self._firm = False  # the engine was sure of one stretch at least: the whole is no invention
        self._weights: list[tuple[int, float]] = []
        self._speech = 0  # samples
        self._languages: Counter[str] = Counter()
        self.passages: Passages = []
        self._told = 0  # passages that were in a partial

    @property
    def confidence(self) -> float | None:
        """Mean log-probability over all stretches; None where the engine tells none."""
        samples = sum(length for length, _ in self._weights)
        return sum(length * value for length, value in self._weights) / samples if samples else None

    @property
    def language(self) -> str:
        """What most of the speech was taken for; empty where the engine does not tell."""
        return self._languages.most_common(1)[0][0] if self._languages else ""

    def add(self, segment: Segment, heard: Hypothesis) -> None:
        """Note what was heard in the next segment."""
        length = segment.end - segment.start
        speech = segment.speech_end - segment.speech_start
        belief = believe(heard.text, confidence=heard.confidence, speech_s=speech / SAMPLE_RATE_HZ, vad=self._vad)
        if belief.doubted:
            self._doubted.append(belief.doubted)
        if heard.confidence is not None:
            self._weights.append((length, heard.confidence))
        if not belief.text:
            return
        self._firm = self._firm or heard.confidence is None or heard.confidence >= DOUBTED
        self._speech += speech
        self._languages.update({heard.language: length} if heard.language else {})
        self._text = self._joined(belief.text, continues=segment.continues)
        times = (round(sample / SAMPLE_RATE_HZ, 3) for sample in (segment.start, segment.end))
        self.passages.append([*times, belief.text])

    def partial(self, more: str = "", *, continues: bool = False) -> tuple[str, int, Passages]:
        """Return text, stable characters, and the passages since the last call.

        `more` is what the open stretch sounds like: it is shown, and may still change.
        """
        passages, self._told = self.passages[self._told :], len(self.passages)
        stable = stable_length(self._text) if self._firm else 0
        return self._joined(more, continues=continues), stable, passages

    def whole(self) -> tuple[str, str]:
        """Return the text of the recording, and what was heard and is not believed."""
        if self._firm or not self._text:
            return self._text, " ".join(self._doubted)
        speech_s = self._speech / SAMPLE_RATE_HZ
        belief = believe(self._text, confidence=self.confidence, speech_s=speech_s, vad=self._vad)
        if not belief.text:
            self.passages.clear()
        return belief.text, " ".join(filter(None, [*self._doubted, belief.doubted]))

    def _joined(self, more: str, *, continues: bool) -> str:
        return join_texts([(self._text, False), (more, continues)], names=self._names)
