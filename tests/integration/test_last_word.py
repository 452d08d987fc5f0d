"""Keys that go up while the last word is spoken, at any moment of it: the word is there with the real engine."""

import pytest

from support.speech import RATE, clips
from support.virtual import Recording, decodes, end_of_tail, recorded
from v2m.domain.segments import WINDOW_SAMPLES

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

TAIL = 300 * RATE // 1000  # audio.tail_ms
STEP = 60 * RATE // 1000
CLIPS = 10


def words(text):
    from whisper_normalizer.english import EnglishTextNormalizer

    return EnglishTextNormalizer()(text).split()


def spoken():
    """Return recordings whose last word the engine knows when it hears all of it, and where that word ends."""
    found = []
    for clip in [clip for clip in clips() if clip.kind == "speech"][::3]:
        recording = recorded(clip.pcm)
        last = words(decodes().text(recording, len(clip.pcm) // 2))[-1:]
        if last == words(clip.text)[-1:] and not last[0].isdigit():
            end = max(at for at, value in enumerate(recording.probabilities) if value >= 0.35) + 1
            found.append((recording, last[0], min(end * WINDOW_SAMPLES, len(clip.pcm) // 2)))
    return found[:CLIPS]


def test_the_last_word_is_heard_whenever_in_it_the_key_goes_up():
    heard, cut = [], []
    found = spoken()
    for recording, last, end in found:
        for released in range(end - TAIL, end, STEP):
            kept = end_of_tail(recording, released, TAIL)
            assert released <= kept <= released + TAIL
            heard.append(last in words(decodes().text(recording, kept))[-2:])
            cut.append(last in words(decodes().text(recording, released))[-2:])
    assert len(found) >= 8
    assert sum(heard) >= 0.99 * len(heard)
    assert sum(cut) < 0.9 * len(cut)  # else this would show nothing


def test_after_the_last_word_nothing_is_waited_for():
    for recording, _, end in spoken()[:3]:
        quiet = Recording(recording.content + bytes(2 * RATE), [*recording.probabilities, *[0.0] * 31], 0.0)
        released = end + 4 * WINDOW_SAMPLES
        assert end_of_tail(quiet, released, TAIL) == released
