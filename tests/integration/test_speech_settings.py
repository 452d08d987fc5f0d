"""What a user sees of the settings of speech: another text, another cut, another process."""

import asyncio
from pathlib import Path

import pytest

from support.container import ask, private_home, run
from support.speech import noise, silence, tended, transcribe, until, wheel_clips
from v2m.config import load_settings
from v2m.core.di.speech import make_transcriber

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

SPOKEN = {clip.id: clip.pcm for clip in wheel_clips()}
MATTER, TIMES, WISDOM = (SPOKEN[name] for name in ("beckett-2", "two_cities-1", "two_cities-2"))


@pytest.fixture(autouse=True)
def settings(tmp_path, monkeypatch):
    return private_home(tmp_path, monkeypatch)[0]


def made(settings):
    return make_transcriber(load_settings(settings), lambda: None)


def heard(*recordings, **settings):
    """Return the transcripts; the settings are those of `transcription`, with __ for a dot."""

    async def scene():
        transcriber = made({f"transcription.{name.replace('__', '.')}": value for name, value in settings.items()})
        async with tended(transcriber):
            return [await transcribe(transcriber, pcm) for pcm in recordings]

    return asyncio.run(scene())


# --- the voice detector ---------------------------------------------------------------------------------

RECORDINGS = {
    "word": MATTER,
    "noise after": MATTER + noise(3, -50),
    "pause": TIMES + silence(1.2) + MATTER,
    "silence around": silence(2) + MATTER + silence(2),
    "long": TIMES + WISDOM,
}


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """Return what is heard of the recordings without any setting."""
    with pytest.MonkeyPatch.context() as patch:
        private_home(tmp_path_factory.mktemp("home"), patch)
        return dict(zip(RECORDINGS, heard(*RECORDINGS.values()), strict=True))


def test_vad_threshold(usual):
    (none,) = heard(RECORDINGS["word"], vad__threshold=1.0)
    assert (usual["word"].text, none.text) == ("No matter.", "")


def test_vad_release_threshold(usual):
    (endless,) = heard(RECORDINGS["noise after"], vad__release_threshold=0.0)
    assert usual["noise after"].speech_s < 2 < 3 < endless.speech_s


def test_vad_min_speech(usual):
    (none,) = heard(RECORDINGS["word"], vad__min_speech_ms=10_000)
    assert (usual["word"].text, none.text) == ("No matter.", "")


def test_vad_min_silence(usual):
    (joined,) = heard(RECORDINGS["pause"], vad__min_silence_ms=2500)
    assert usual["pause"].segments > joined.segments == 1


def test_vad_speech_pad(usual):
    (padded,) = heard(RECORDINGS["silence around"], vad__speech_pad_ms=1000)
    start_s = usual["silence around"].passages[0].start_s
    assert start_s - padded.passages[0].start_s == pytest.approx(0.75, abs=0.01)


def test_vad_max_segment(usual):
    (cut,) = heard(RECORDINGS["long"], vad__max_segment_s=3)
    assert cut.segments > usual["long"].segments


# --- which engine, and its process ----------------------------------------------------------------------


def test_backend_and_script():
    (scripted,) = heard(MATTER, backend="scripted", script=["as told"])
    assert (scripted.engine, scripted.text) == ("scripted", "as told")
    assert heard(MATTER, backend="scripted", script=[])[0].text == ""
    assert heard(MATTER, backend="moonshine", script=["as told"])[0].text == "No matter."


def test_script_delay():
    (soon,) = heard(MATTER, backend="scripted", script=["soon"])
    (late,) = heard(MATTER, backend="scripted", script=["late"], script_delay_s=soon.decode_ms / 1000 + 0.2)
    assert late.decode_ms >= soon.decode_ms + 200


def test_threads():
    async def scene(threads):
        transcriber = made({"transcription.threads": threads})
        async with tended(transcriber):
            return len(list(Path(f"/proc/{transcriber.pid}/task").iterdir()))

    one, four = (asyncio.run(scene(threads)) for threads in (1, 4))
    assert one < four


def test_residency():
    assert made({}).state == "warming"
    assert made({"transcription.residency": "on-record"}).state == "unloaded"


def test_idle_unload():
    async def scene():
        idle = {"transcription.backend": "scripted", "transcription.residency": "idle-unload"}
        long, short = made(idle), made({**idle, "transcription.idle_unload_min": 0.01})
        async with tended(long), tended(short):
            await until(lambda: short.state == "unloaded")
            assert long.state == "ready"

    asyncio.run(scene())


def test_keep_warm():
    whisper = {"transcription.backend": "whisper"}
    assert made(whisper).state == "warming"
    assert made({**whisper, "transcription.whisper.keep_warm": False}).state == "unloaded"


# --- languages ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["auto", "fr"])
def test_language(settings, language):
    arguments = {**settings, "transcription.backend": "scripted", "transcription.language": language}

    async def scenario(container, output, notifier):
        await ask(container, "START_RECORDING")
        used = container.dictations.recording.language
        await ask(container, "ABORT_RECORDING")
        return used

    assert run(arguments, scenario) == language


def test_profiles(settings):
    wanted = dict(enumerate(("en", "de", "fr", "es", "it", "pt", "nl", "pl", "cs"), start=1))
    arguments = {**settings, "transcription.backend": "scripted"}
    arguments |= {f"profile.{slot}.language": language for slot, language in wanted.items()}

    async def scenario(container, output, notifier):
        used = {}
        for slot in wanted:
            await ask(container, "START_RECORDING", profile=slot)
            used[slot] = container.dictations.recording.language
            await ask(container, "ABORT_RECORDING")
        return used

    assert run(arguments, scenario) == wanted
