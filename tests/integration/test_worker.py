"""The real speech process with the real model: what it hears, and what it leaves alone."""

import asyncio
import os

import pytest

from support.speech import (
    RATE,
    heard,
    hum,
    noise,
    quieter,
    read_wav,
    running,
    silence,
    transcribe,
    until,
    wheel_assets,
    wheel_clips,
    word_error_rate,
    write_spool,
)
from v2m.domain.errors import EngineError
from v2m.domain.ports import TranscribeOptions
from v2m.infrastructure._spool import SpoolDirectory

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

OPTIONS = TranscribeOptions()


def test_nothing_is_typed_for_silence_noise_and_clicks():
    click = silence(1) + b"\xff\x7f" * 200 + silence(1)
    recordings = [b"", silence(0.01), silence(5), noise(5, -60), noise(5, -40), noise(5, -30), hum(5), click]
    found = heard(*recordings)
    assert [transcript.text for transcript in found] == [""] * len(recordings)
    assert all(transcript.segments == 0 for transcript in found)


def test_speech_that_is_30_db_quieter_is_heard_and_so_much_noise_is_not():
    found = wheel_clips()[:6] + wheel_clips()[-2:]
    texts = [transcript.text for transcript in heard(*(quieter(clip.pcm, -30) for clip in found))]
    spoken = [(clip.text, text) for clip, text in zip(found, texts, strict=True) if clip.kind == "speech"]
    assert all(text for _, text in spoken)
    assert word_error_rate(spoken) <= 0.1
    assert texts[-2:] == ["", ""]


@pytest.mark.parametrize("samples", [1, 511, 512, 894, 895])
def test_a_tap_is_no_error(samples):
    assert heard(wheel_clips()[1].pcm[: samples * 2])[0].text == ""


def test_one_short_word_is_transcribed():
    cities = read_wav(wheel_assets() / "two_cities.wav")
    beckett = read_wav(wheel_assets() / "beckett.wav")
    words = [(cities, 5.8, "wisdom"), (beckett, 5.1, "again"), (beckett, 8.4, "better")]
    found = heard(*(pcm[round(at * RATE) * 2 : round((at + 0.45) * RATE) * 2] for pcm, at, _ in words))
    assert all(transcript.text for transcript in found)
    right = sum(word in one.text.lower() for one, (_, _, word) in zip(found, words, strict=True))
    assert right >= 2


def test_half_a_minute_without_a_breath_is_cut_and_joined():
    speech = b"".join(clip.pcm for clip in wheel_clips() if clip.id.startswith("two_cities"))
    text = " ".join(clip.text for clip in wheel_clips() if clip.id.startswith("two_cities"))
    (found,) = heard(speech)
    assert found.segments >= 2
    assert word_error_rate([(text, found.text)]) <= 0.1
    assert found.duration_s == pytest.approx(len(speech) / 2 / RATE)


def test_without_the_vad_everything_is_decoded():
    quiet = noise(40, -40)
    with_vad, without = heard(quiet)[0], heard(quiet, options=TranscribeOptions(vad=False))[0]
    assert (with_vad.segments, with_vad.speech_s) == (0, 0)
    assert without.segments >= 3
    assert without.speech_s == pytest.approx(40, abs=0.1)
    clip = wheel_clips()[1]
    assert heard(clip.pcm, options=TranscribeOptions(vad=False))[0].text == clip.text


def test_the_numbers_of_the_vad_are_obeyed():
    clip = wheel_clips()[0].pcm
    assert heard(clip, arguments=["--threshold=1.1"])[0].text == ""
    assert heard(clip, arguments=["--min-speech-s=60"])[0].text == ""
    parted = heard(clip, arguments=["--pause-s=0.2", "--min-s=0.1"])[0]
    assert parted.segments == 2


def test_it_follows_a_recording_while_it_is_made(tmp_path):
    clip = wheel_clips()[-3]
    store = SpoolDirectory(tmp_path / "spool", max_recording_s=60, on_degraded=print)
    store.open()

    async def scene():
        async with running() as transcriber:
            spool = store.take(5)
            utterance = transcriber.open(5, spool.reader_fds(), OPTIONS)
            assert utterance.speech_until == 0
            spool.append(clip.pcm[: 3 * RATE * 2])
            await until(lambda: utterance.speech_until > RATE)
            spool.append(clip.pcm[3 * RATE * 2 :])
            spool.close()
            transcript = await utterance.finish(len(clip.pcm) // 2)
            assert utterance.speech_until <= len(clip.pcm) // 2
            return transcript.text

    text = asyncio.run(scene())
    store.close()
    assert word_error_rate([(clip.text, text)]) <= 0.1


def test_a_recording_that_starts_while_the_model_loads_is_transcribed():
    clip = wheel_clips()[1]

    async def scene():
        async with running(ready=False) as transcriber:
            assert transcriber.state == "warming"
            assert transcriber.capabilities is None
            return (await transcribe(transcriber, clip.pcm)).text

    assert asyncio.run(scene()) == clip.text


def test_no_more_is_read_than_was_recorded():
    clip = wheel_clips()[0]

    async def scene():
        async with running() as transcriber:
            fds = write_spool(None, clip.pcm, head=RATE)
            return await transcriber.open(1, fds, OPTIONS).finish(10 * RATE)

    assert asyncio.run(scene()).duration_s == 1


# --- sound files --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "suffix"), [(48_000, "wav"), (44_100, "flac"), (16_000, "flac"), (8_000, "wav")])
def test_a_sound_file_of_any_rate_is_transcribed(tmp_path, rate, suffix):
    import numpy
    import soundfile

    clip = wheel_clips()[3]
    samples = numpy.frombuffer(clip.pcm, "<i2") / 32768
    places = numpy.arange(round(len(samples) * rate / RATE)) * RATE / rate
    mono = numpy.interp(places, numpy.arange(len(samples)), samples)
    file = tmp_path / f"file.{suffix}"
    soundfile.write(file, numpy.stack([mono, mono], axis=1), rate)

    async def scene():
        async with running() as transcriber:
            fd = os.open(file, os.O_RDONLY)
            return await transcriber.open(0, [fd], TranscribeOptions(file=True)).finish(0)

    found = asyncio.run(scene())
    assert found.duration_s == pytest.approx(len(samples) / RATE, abs=0.01)
    assert word_error_rate([(clip.text, found.text)]) <= (0.4 if rate < RATE else 0.1)


@pytest.mark.parametrize("content", [b"", b"no sound at all", b"RIFF\x00\x00\x00\x00WAVE"])
def test_a_file_that_is_no_sound_is_refused(tmp_path, content):
    file = tmp_path / "file.wav"
    file.write_bytes(content)

    async def scene():
        async with running(engine="scripted", texts=["x"]) as transcriber:
            fd = os.open(file, os.O_RDONLY)
            with pytest.raises(EngineError, match="no sound file") as caught:
                await transcriber.open(0, [fd], TranscribeOptions(file=True)).finish(0)
            assert "ffmpeg" in caught.value.hint
            assert transcriber.loads == 1
            assert (await transcribe(transcriber, silence(1))).text == "x"

    asyncio.run(scene())


def test_a_spool_that_is_none_is_refused():
    async def scene():
        async with running(engine="scripted", texts=["x"]) as transcriber:
            fd = os.memfd_create("empty")
            with pytest.raises(EngineError, match="cannot be read"):
                await transcriber.open(0, [fd], OPTIONS).finish(100)
            assert transcriber.state == "ready"

    asyncio.run(scene())
