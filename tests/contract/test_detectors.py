"""What every voice activity detector must do: the network alone, and with quiet recordings made louder before it."""

from array import array

import pytest

from support.speech import clips, quieter, wheel_clips
from v2m.domain.errors import EngineError
from v2m.infrastructure.vad.levelled import LevelledVad
from v2m.infrastructure.vad.silero import WINDOW_BYTES, SileroVad

pytestmark = pytest.mark.contract


def sample():
    """Return all clips without speech, and some of the others."""
    found = clips()
    return [one for one in found if one.kind == "nonspeech"] + [one for one in found if one.kind == "speech"][::6]


@pytest.fixture(params=["silero", "levelled"])
def vad(request):
    return SileroVad() if request.param == "silero" else LevelledVad(SileroVad())


def windows(pcm):
    return [pcm[at : at + WINDOW_BYTES] for at in range(0, len(pcm) - WINDOW_BYTES, WINDOW_BYTES)]


def loud(vad, pcm):
    """Return in how many windows it hears speech."""
    vad.reset()
    return sum(vad.probability(window) >= 0.5 for window in windows(pcm))


def test_the_detector_hears_speech_and_nothing_else(vad):
    for clip in sample():
        found = loud(vad, clip.pcm)
        assert (found < 7) if clip.kind == "nonspeech" else (found >= 7), clip.id


def test_the_detector_is_reset_for_each_recording(vad):
    some = windows(wheel_clips()[0].pcm)[:60]
    first = [vad.probability(window) for window in some]
    assert [vad.probability(window) for window in some] != first
    vad.reset()
    assert [vad.probability(window) for window in some] == first


@pytest.mark.parametrize("size", [0, 1022, 1026, 2048])
def test_the_detector_takes_windows_of_512_samples_only(vad, size):
    with pytest.raises(ValueError, match="1024"):
        vad.probability(bytes(size))


@pytest.mark.parametrize("decibels", [-30, -40])
def test_speech_that_is_far_quieter_is_heard_as_well_and_noise_is_no_speech(decibels):
    vad = LevelledVad(SileroVad())
    for clip in sample():
        if clip.kind == "nonspeech":
            assert loud(vad, quieter(clip.pcm, decibels)) < 7, clip.id
        else:
            usual, quiet = loud(vad, clip.pcm), loud(vad, quieter(clip.pcm, decibels))
            assert quiet >= 0.8 * usual, clip.id


class Recorder:
    """Remembers the loudest sample of each window."""

    def __init__(self):
        self.peaks = []

    def probability(self, window):
        self.peaks.append(max(map(abs, array("h", window))))
        return 0.0

    def reset(self):
        self.peaks.clear()


def test_nothing_is_clipped_and_loud_speech_is_left_alone():
    inner = Recorder()
    vad = LevelledVad(inner)
    for peak in (0, 10, 100, 1000, 32_767, 1000):
        vad.probability(array("h", [peak, -peak] * 256).tobytes())
    assert inner.peaks[0] == 0
    assert inner.peaks[1] == 316  # 30 dB, and no more
    assert 3_000 < inner.peaks[2] <= 3_160
    assert inner.peaks[3] == 5_200
    assert inner.peaks[4:] == [32_767, 1000]


def test_the_lowest_sample_there_is_is_no_error():
    inner = Recorder()
    LevelledVad(inner).probability(array("h", [-32_768] * 512).tobytes())
    assert inner.peaks == [32_768]


def test_a_broken_detector_says_so_through_the_levelling():
    class Broken(Recorder):
        def probability(self, window):
            raise EngineError("broken")

    with pytest.raises(EngineError, match="broken"):
        LevelledVad(Broken()).probability(bytes(WINDOW_BYTES))
