"""Sound files as the speech process reads them: other rates, in pieces, no more held than is wanted."""

import io
import math
import os
import struct
import tracemalloc

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from v2m.domain.audio import MAX_FILE_S, OFFSET_FLAGS, SPOOL_HEADER_BYTES, SPOOL_MAGIC, SpoolFlag
from v2m.domain.errors import EngineError, UnreadableAudioError
from v2m.infrastructure.engines._audio_file import AudioFile, ConvertedFile, open_file

pytestmark = pytest.mark.unit

RATE = 16_000


def file_of(samples, rate, *, subtype="PCM_16", form="WAV"):
    """Return the descriptor of a sound file in memory."""
    memory = io.BytesIO()
    soundfile.write(memory, samples, rate, format=form, subtype=subtype)
    fd = os.memfd_create("file")
    os.write(fd, memory.getvalue())
    return fd


def converted(fd, *, step=10**9):
    """Return all samples, asked for `step` at a time, -1…1."""
    file = AudioFile(fd)
    asked = step
    while (length := file.read_ahead(asked)) is None:
        asked += step
    pcm = file.pcm(0, length)
    file.close()
    return np.frombuffer(pcm, "<i2") / 32768


def tone(hz, rate, seconds=1):
    return 0.9 * np.sin(2 * np.pi * hz * np.arange(seconds * rate) / rate)


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 383_999])
def test_a_tone_keeps_pitch_level_and_length(rate):
    heard = converted(file_of(tone(1000, rate), rate))
    assert abs(len(heard) - RATE) <= 1
    assert np.abs(heard - tone(1000, RATE)[: len(heard)])[200:-200].max() < 0.01


def test_a_tone_above_8_khz_is_removed_and_not_folded():
    heard = converted(file_of(tone(10_000, 48_000), 48_000))
    assert 20 * math.log10(np.abs(heard[200:-200]).max()) < -80


def test_what_is_16_khz_already_is_not_changed_by_a_bit():
    samples = np.random.default_rng(1).integers(-32768, 32768, 5000).astype(np.int16)
    assert np.array_equal(converted(file_of(samples, RATE)) * 32768, samples)


def test_all_channels_are_heard_and_none_overflows():
    left = tone(1000, RATE) / 0.9
    assert np.allclose(converted(file_of(np.stack([left, 0 * left], axis=1), RATE)), left / 2, atol=1e-4)
    assert np.abs(converted(file_of(4 * left, 48_000, subtype="FLOAT"))).max() == 1


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 9000), st.sampled_from([8000, 44_100, 48_000]))
def test_converting_in_pieces_is_converting_at_once(step, rate):
    samples = np.random.default_rng(2).uniform(-1, 1, 20_000)
    assert np.array_equal(converted(file_of(samples, rate), step=step), converted(file_of(samples, rate)))


@pytest.mark.parametrize("samples", [0, 1, 160])
def test_a_file_with_hardly_a_sample_is_read(samples):
    assert len(converted(file_of(np.zeros(samples), RATE))) == samples


def test_a_file_is_converted_no_further_than_asked():
    file = AudioFile(file_of(np.zeros(10 * 48_000), 48_000))
    assert (file.head, file.ready, file.length_s) == (0, True, 10)
    assert file.read_ahead(RATE) is None
    assert RATE <= file.head < 3 * RATE
    assert file.read_ahead(20 * RATE) == file.head
    assert not file.ready
    assert abs(file.head - 160_000) <= 1
    file.close()
    file.close()


@pytest.mark.parametrize(("form", "subtype"), [("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS"), ("FLAC", "PCM_16")])
def test_a_file_is_read_without_a_seek(form, subtype):
    file = AudioFile(file_of(tone(300, RATE, 5), RATE, form=form, subtype=subtype))
    seeks = []
    file._file.seek = lambda *place: seeks.append(place)
    assert file.read_ahead(10**9) == pytest.approx(5 * RATE, abs=2000)
    file.close()
    assert seeks == []


def test_what_is_forgotten_is_not_held_and_the_rest_keeps_its_place():
    samples = np.arange(3 * RATE).astype(np.int16)
    file = AudioFile(file_of(samples, RATE))
    file.read_ahead(3 * RATE)
    file.forget(2 * RATE)
    file.forget(RATE)
    assert file.head == 3 * RATE
    assert np.array_equal(np.frombuffer(file.pcm(2 * RATE, 3 * RATE), "<i2"), samples[2 * RATE :])
    with pytest.raises(AssertionError):
        file.pcm(RATE, 3 * RATE)
    file.close()


def test_ten_minutes_that_are_forgotten_as_they_come_cost_no_memory():
    file = AudioFile(sparse_wav(1, RATE, frames=600 * RATE))
    tracemalloc.start()
    try:
        for until in range(RATE, 600 * RATE, RATE):
            file.read_ahead(until)
            file.forget(until - 30 * RATE)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        file.close()
    assert file.head >= 599 * RATE
    assert peak < 8 << 20


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


def test_a_file_that_is_too_long_is_refused_before_it_is_read():
    with pytest.raises(EngineError, match="longer than 4 hours"):
        AudioFile(sparse_wav(1, 8000, frames=8000 * MAX_FILE_S + 1))


@pytest.mark.parametrize("rate", [384_000, 383_999])
def test_the_largest_file_that_is_taken_is_read_in_small_blocks(rate):
    file = AudioFile(sparse_wav(32, rate, frames=800_000))
    tracemalloc.start()
    try:
        assert file.read_ahead(RATE) is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        file.close()
    assert peak < 48 << 20


@pytest.mark.parametrize("content", [b"", b"no sound at all", b"RIFF\x00\x00\x00\x00WAVE", bytes(5000)])
def test_what_libsndfile_cannot_read_may_be_read_by_another(content):
    fd = os.memfd_create("file")
    os.write(fd, content)
    with pytest.raises(UnreadableAudioError, match="no sound file") as refusal:
        open_file(fd)
    assert "apt install ffmpeg" in refusal.value.hint


# --- what another decoder writes ----------------------------------------------------------------------


def spool():
    """Return a descriptor to write to and one to read, of a spool without a sample."""
    fd = os.memfd_create("spool")
    os.write(fd, SPOOL_MAGIC.ljust(SPOOL_HEADER_BYTES, b"\0"))
    return fd, os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)


def test_a_spool_is_followed_while_it_grows_and_ends_where_it_is_closed():
    writer, reader = spool()
    file = open_file(reader)
    assert isinstance(file, ConvertedFile)
    assert (file.head, file.ready, file.read_ahead(RATE), file.length_s) == (0, False, None, None)
    os.write(writer, b"\1\0\2\0\3")
    assert (file.head, file.read_ahead(RATE)) == (2, None)
    os.write(writer, b"\0")
    os.pwrite(writer, struct.pack("=I", SpoolFlag.CLOSED), OFFSET_FLAGS)
    assert (file.ready, file.read_ahead(0)) == (True, 3)
    file.forget(2)
    assert file.pcm(1, 3) == b"\2\0\3\0"
    file.close()
    file.close()
    os.close(writer)


def test_a_spool_that_grows_beyond_all_limits_is_refused():
    writer, reader = spool()
    file = open_file(reader)
    os.ftruncate(writer, SPOOL_HEADER_BYTES + 2 * RATE * MAX_FILE_S + 2)
    with pytest.raises(EngineError, match="longer than 4 hours"):
        file.read_ahead(0)
    file.close()
    os.close(writer)
