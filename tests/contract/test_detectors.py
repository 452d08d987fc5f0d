"""What every voice activity detector must do; there is one."""

import pytest

from support.speech import clips, wheel_clips
from v2m.infrastructure.vad.silero import WINDOW_BYTES, SileroVad

pytestmark = pytest.mark.contract


def test_the_detector_hears_speech_and_nothing_else():
    vad = SileroVad()
    for clip in clips():
        vad.reset()
        windows = [clip.pcm[at : at + WINDOW_BYTES] for at in range(0, len(clip.pcm) - WINDOW_BYTES, WINDOW_BYTES)]
        loud = sum(vad.probability(window) >= 0.5 for window in windows)
        assert (loud < 7) if clip.kind == "nonspeech" else (loud >= 7), clip.id


def test_the_detector_is_reset_for_each_recording():
    vad = SileroVad()
    pcm = wheel_clips()[0].pcm
    windows = [pcm[at : at + WINDOW_BYTES] for at in range(0, 60 * WINDOW_BYTES, WINDOW_BYTES)]
    first = [vad.probability(window) for window in windows]
    assert [vad.probability(window) for window in windows] != first
    vad.reset()
    assert [vad.probability(window) for window in windows] == first


@pytest.mark.parametrize("size", [0, 1022, 1026, 2048])
def test_the_detector_takes_windows_of_512_samples_only(size):
    with pytest.raises(ValueError, match="1024"):
        SileroVad().probability(bytes(size))
