"""One recording inside the worker, without a process: windows, a broken detector, the end, other rates."""

import io
import math
import os
import struct
import tracemalloc
from array import array

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from v2m.domain.errors import EngineError
from v2m.domain.segments import WINDOW_SAMPLES, SegmentRules
from v2m.infrastructure.engines import _messages as wire
from v2m.infrastructure.engines._audio_file import AudioFile, Resampler
from v2m.infrastructure.engines._listener import WINDOW_BYTES, Listener, loudness
from v2m.infrastructure.engines.scripted import ScriptedEngine

pytestmark = pytest.mark.unit


class Growing:
    """Audio in memory of which `head` samples are there."""

    def __init__(self, samples):
        self.samples = array("h", range(samples))
        self.head = samples

    def pcm(self, start, end):
        return self.samples[start:end].tobytes()

    def close(self):
        self.samples = array("h")


class Detector:
    """Says what it was given; fails where that is None. Remembers its windows."""

    def __init__(self, *probabilities):
        self.probabilities = list(probabilities)
        self.windows = []

    def probability(self, window):
        self.windows.append(window)
        value = self.probabilities.pop(0) if self.probabilities else 0.0
        if value is None:
            raise EngineError("The detector is broken.")
        return value

    def reset(self):
        self.windows.clear()


def listening(audio, vad):
    return Listener(1, audio, language="auto", vad=vad, rules=SegmentRules())


def test_the_detector_gets_whole_windows_and_the_last_one_filled_up():
    audio, vad = Growing(2 * WINDOW_SAMPLES + 100), Detector()
    listener = listening(audio, vad)
    listener.advance(10)
    assert len(vad.windows) == 2
    assert not listener.behind
    listener.finish(audio.head)
    assert listener.behind
    assert listener.advance(10) == []
    assert listener.ended
    assert not listener.behind
    assert [len(window) for window in vad.windows] == [WINDOW_BYTES] * 3
    assert vad.windows[2] == audio.samples[-100:].tobytes() + bytes(WINDOW_BYTES - 200)
    assert b"".join(vad.windows).rstrip(b"\0") == audio.samples.tobytes().rstrip(b"\0")


def test_a_turn_looks_at_no_more_windows_than_it_may():
    vad = Detector()
    listener = listening(Growing(50 * WINDOW_SAMPLES), vad)
    listener.advance(8)
    assert len(vad.windows) == 8
    assert listener.behind


def test_a_broken_detector_loses_no_words_and_is_counted():
    audio = Growing(20 * WINDOW_SAMPLES)
    listener = listening(audio, Detector(*[None] * 20))
    listener.finish(audio.head)
    (segment,) = listener.advance(50)
    listener.decode(ScriptedEngine(["heard"]), segment, lambda: None)
    result = listener.result()
    assert (segment.start, segment.end) == (0, audio.head)
    assert (result.text, result.vad_errors) == ("heard", 20)


def test_speech_is_reported_as_far_as_it_was_heard():
    listener = listening(Growing(10 * WINDOW_SAMPLES), Detector(0.1, 0.9, 0.4, 0.1))
    listener.advance(10)
    assert listener.speech_until == 2 * WINDOW_SAMPLES


def test_an_abandoned_recording_is_not_decoded():
    audio = Growing(20 * WINDOW_SAMPLES)
    listener = listening(audio, Detector(*[1.0] * 20))
    listener.finish(audio.head)
    (segment,) = listener.advance(50)
    listener.abandon()
    listener.decode(ScriptedEngine(["heard"]), segment, lambda: None)
    assert listener.result().text == ""


def test_loudness_is_the_mean_magnitude():
    assert loudness(bytes(WINDOW_BYTES)) == 0
    assert loudness(array("h", [-32768] * WINDOW_SAMPLES).tobytes()) == 1
    assert loudness(array("h", [16384, -16384] * 256).tobytes()) == 0.5


# --- messages -----------------------------------------------------------------------------------------

numbers = st.integers(0, 2**40)
seconds = st.floats(0, 1e6)
messages = st.one_of(
    st.builds(wire.Open, numbers, st.text(), st.booleans(), st.booleans()),
    st.builds(wire.Finish, numbers, numbers),
    st.builds(wire.Abandon, numbers),
    st.builds(wire.Working),
    st.builds(wire.Heard, numbers, numbers),
    st.builds(wire.Failed, st.text(), st.text(), st.none() | st.text()),
    st.builds(
        wire.Result,
        numbers,
        st.text(),
        seconds,
        seconds,
        st.none() | st.floats(-20, 0),
        seconds,
        numbers,
        seconds,
        numbers,
    ),
)


@given(st.lists(messages, max_size=8), st.data())
def test_messages_survive_any_cutting(sent, data):
    stream = b"".join(wire.pack(message) for message in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    unpacker, received = wire.Unpacker(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        received += list(unpacker.feed(stream[start:end]))
    assert received == sent


# --- sound files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_a_tone_keeps_pitch_level_and_length(rate):
    tone = np.sin(2 * np.pi * 1000 * np.arange(rate) / rate).astype(np.float32)
    resampler = Resampler(rate)
    heard = np.concatenate([resampler.convert(part) for part in np.array_split(tone, 7)] + [resampler.flush()])
    assert abs(len(heard) - 16_000) <= 1
    expected = np.sin(2 * np.pi * 1000 * np.arange(len(heard)) / 16_000)
    assert np.abs(heard - expected)[200:-200].max() < 0.01


def test_a_tone_above_8_khz_is_removed_and_not_folded():
    tone = np.sin(2 * np.pi * 10_000 * np.arange(48_000) / 48_000).astype(np.float32)
    heard = Resampler(48_000).convert(tone)
    assert 20 * math.log10(np.abs(heard[200:-200]).max()) < -50


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 3000), max_size=12), st.sampled_from([8000, 44_100, 48_000]))
def test_converting_in_pieces_is_converting_at_once(sizes, rate):
    samples = np.random.default_rng(1).standard_normal(sum(sizes)).astype(np.float32)
    parts, resampler, at = [], Resampler(rate), 0
    for size in sizes:
        parts.append(resampler.convert(samples[at : at + size]))
        at += size
    parts.append(resampler.flush())
    once = Resampler(rate)
    whole = np.concatenate([once.convert(samples), once.flush()])
    assert np.allclose(np.concatenate(parts), whole, atol=1e-5)


def test_a_file_is_converted_no_further_than_asked():
    memory = io.BytesIO()
    soundfile.write(memory, np.zeros(10 * 48_000), 48_000, format="WAV")
    fd = os.memfd_create("file")
    os.write(fd, memory.getvalue())
    file = AudioFile(fd)
    assert file.head == 0
    assert file.read_ahead(16_000) is None
    assert 16_000 <= file.head < 3 * 16_000
    assert file.read_ahead(20 * 16_000) == file.head
    assert abs(file.head - 160_000) <= 1
    file.close()
    file.close()


def sparse_wav(channels, rate, frames):
    """Return the descriptor of silence that takes no room: a header and a hole."""
    frame, size = 2 * channels, 2 * channels * frames
    fd = os.memfd_create("file")
    layout = struct.pack("<HHIIHH", 1, channels, rate, rate * frame, frame, 16)
    os.write(fd, struct.pack("<4sI4s4sI16s4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, layout, b"data", size))
    os.ftruncate(fd, 44 + size)
    return fd


@pytest.mark.parametrize(
    ("channels", "rate"), [(1024, 768_000), (1, 384_001), (1, 999), (33, 48_000), (1024, 16_000)], ids=str
)
def test_a_file_of_odd_rate_or_channels_is_refused(channels, rate):
    with pytest.raises(EngineError, match="cannot be transcribed") as refusal:
        AudioFile(sparse_wav(channels, rate, frames=100))
    assert "sox" in refusal.value.hint


def test_the_largest_file_that_is_taken_is_read_in_small_blocks():
    file = AudioFile(sparse_wav(32, 384_000, frames=400_000))
    tracemalloc.start()
    try:
        assert file.read_ahead(16_000) is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        file.close()
    assert peak < 48 << 20
