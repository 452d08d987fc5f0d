"""Dictations and files through a speech service: a real process that listens, a real service on loopback."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from support.cloud import (
    Dictation,
    dictate,
    lasting,
    sentence,
    sound_in,
    transcribed,
    transcribing,
    twelve_seconds,
)
from support.speech import RATE, read_wav, silence, until, wheel_assets
from support.speech_server import answers, hang_up, says, silent, slow
from support.trigger import tool
from v2m.domain.errors import EngineError, ModelMissingError
from v2m.domain.ports import TranscribeOptions
from v2m.infrastructure._spool import SpoolDirectory
from v2m.infrastructure.engines._process import WorkerProcess
from v2m.infrastructure.engines.openai_transcriber import OpenAiTranscriber

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Forty-two seconds of speech in a WAV file."""
    path = tmp_path_factory.mktemp("cloud") / "speech.wav"
    soundfile.write(path, np.frombuffer(read_wav(wheel_assets() / "two_cities.wav"), np.int16), RATE)
    return path


@pytest.fixture
def spools(tmp_path):
    with SpoolDirectory(tmp_path / "spool", max_recording_s=600, on_degraded=pytest.fail) as store:
        yield store


def test_a_dictation_is_one_request_with_its_speech_as_flac():
    pcm = silence(2.0) + sentence() + silence(2.0)

    async def scene():
        async with transcribed() as (service, transcriber):
            transcript = await dictate(transcriber, pcm, TranscribeOptions(language="en-GB"))
            (request,) = service.requests
            assert request.fields()["language"] == b"en"
            sound = sound_in(request)
            seconds = len(sound) / RATE
            assert 2.5 < seconds < 5.0, "the silence around it is not sent"
            assert sound.tobytes() in pcm, "without loss"
            assert transcript.text == f"It lasted {seconds:.0f} seconds."
            assert transcript.engine == transcriber.capabilities.name == f"whisper-1 at localhost:{service.port}"
            assert transcript.duration_s == pytest.approx(len(pcm) / 2 / RATE)
            assert 1.5 < transcript.speech_s < seconds
            assert (transcript.segments, transcript.language) == (1, "en")
            assert [passage.text for passage in transcript.passages] == [transcript.text]
            assert (service.connections, service.handshakes) == (1, 1)

    asyncio.run(scene())


def test_without_speech_nothing_is_sent():
    async def scene():
        async with transcribed() as (service, transcriber):
            assert (await dictate(transcriber, silence(5.0))).text == ""
            assert service.requests == []

    asyncio.run(scene())


def test_the_first_connection_is_made_before_the_first_key():
    async def scene():
        async with transcribed() as (service, transcriber):
            await until(lambda: service.probes)
            assert (service.handshakes, service.requests) == (1, [])
            await until(lambda: (transcriber.connection, transcriber.handshakes) == ("open", 1))
            assert transcriber.capabilities.network

    asyncio.run(scene())


def test_without_a_network_it_is_ready_all_the_same_and_connects_at_the_next_start(spools):
    async def scene():
        async with transcribed(probe=hang_up) as (service, transcriber):
            await until(lambda: "broke off" in transcriber.capabilities.notice)
            assert transcriber.state == "ready"
            service.on_probe = answers(200)
            before = service.handshakes
            dictation = Dictation(transcriber, spools)
            await until(lambda: service.handshakes > before)
            assert service.requests == []
            await until(lambda: not transcriber.capabilities.notice)
            dictation.say(sentence())
            assert (await dictation.stop()).text

    asyncio.run(scene())


def test_long_stretches_are_sent_while_somebody_speaks_and_the_rest_at_the_end(spools):
    async def scene():
        partials = []
        async with transcribed() as (service, transcriber):
            dictation = Dictation(transcriber, spools, on_partial=partials.append)
            dictation.say(twelve_seconds(), silence(1.0))
            await until(lambda: partials)
            assert len(service.requests) == 1
            assert partials[0].text == f"It lasted {lasting(service.requests[0]):.0f} seconds."
            assert partials[0].passages[0].text == partials[0].text
            dictation.say(sentence(), silence(1.0))
            assert len(service.requests) == 1
            transcript = await dictation.stop()
            assert len(service.requests) == 2
            seconds = [lasting(request) for request in service.requests]
            assert seconds[0] > 8 > seconds[1]
            assert transcript.text == " ".join(f"It lasted {each:.0f} seconds." for each in seconds)
            assert [passage.end_s for passage in transcript.passages] == sorted(p.end_s for p in transcript.passages)
            assert service.connections == 1

    asyncio.run(scene())


def test_a_short_stretch_waits_but_not_many_of_them(spools):
    async def scene():
        async with transcribed() as (service, transcriber):
            dictation = Dictation(transcriber, spools)
            for _ in range(3):
                dictation.say(sentence(), silence(3.5))
            await until(lambda: len(dictation.utterance._parts) == 3)
            assert service.requests == []
            dictation.say(sentence(), silence(3.5))
            await until(lambda: service.requests)
            await dictation.stop()
            assert len(service.requests) == 4

    asyncio.run(scene())


def test_if_it_is_not_wanted_nothing_is_sent_before_the_end_and_then_all_at_once(spools):
    async def scene():
        async with transcribed(early=False) as (service, transcriber):
            dictation = Dictation(transcriber, spools)
            dictation.say(
                silence(1.0), twelve_seconds(), silence(4.0), sentence(), silence(4.0), twelve_seconds(), silence(2.0)
            )
            await until(lambda: dictation.utterance.speech_until > 30 * RATE)
            await asyncio.sleep(0.3)
            assert service.requests == []
            await dictation.stop()
            (request,) = service.requests
            assert 30 < lasting(request) < dictation.spool.head / RATE - 2

    asyncio.run(scene())


def test_two_dictations_at_once_do_not_mix():
    async def scene():
        async with transcribed() as (_, transcriber):
            async with asyncio.TaskGroup() as group:
                first = group.create_task(dictate(transcriber, twelve_seconds()))
                second = group.create_task(dictate(transcriber, sentence()))
            assert first.result().text != second.result().text
            assert second.result().segments == 1

    asyncio.run(scene())


def test_a_language_that_nobody_speaks_here_is_not_believed():
    async def scene():
        async with transcribed(allowed=["de", "en-US"]) as (service, transcriber):
            wrong, german = says("Goedemorgen.", language="dutch"), says("Guten Morgen.", language="german")
            service.script = [german, wrong, german, wrong, says("Good morning.", language="english")]
            texts = [(await dictate(transcriber, sentence())).text for _ in range(2)]
            assert texts == ["Guten Morgen."] * 2
            asked = [request.fields().get("language", b"") for request in service.requests]
            assert asked == [b"", b"", b"de"]
            transcript = await dictate(transcriber, sentence(), TranscribeOptions(language="nl"))
            assert (transcript.text, transcript.language) == ("Goedemorgen.", "nl"), "what was asked for is"
        async with transcribed(allowed=["fr"]) as (service, transcriber):
            await dictate(transcriber, sentence())
            assert service.requests[0].fields()["language"] == b"fr"

    asyncio.run(scene())


# --- files ---


def test_a_file_is_sent_as_it_is_read_and_its_progress_is_told(file):
    options = TranscribeOptions(file=True)

    async def scene():
        partials = []
        async with transcribed(timeout_s=5.0) as (service, transcriber):
            service.default = slow(0.2, transcribing)
            utterance = transcriber.open(0, [os.open(file, os.O_RDONLY)], options, partials.append)
            transcript = await utterance.finish(0)
            assert len(service.requests) >= 3
            assert transcript.text.count("t lasted") == len(service.requests)
            assert transcript.segments == len(transcript.passages) == len(service.requests)
            assert [partial.heard_s for partial in partials] == sorted(partial.heard_s for partial in partials)
            assert partials[-1].text == transcript.text

    asyncio.run(scene())


def test_a_file_does_not_keep_a_dictation_waiting(file):

    async def scene():
        async with transcribed() as (service, transcriber):
            service.script = [silent, silent]
            async with asyncio.TaskGroup() as group:
                utterance = transcriber.open(0, [os.open(file, os.O_RDONLY)], TranscribeOptions(file=True))
                reading = group.create_task(utterance.finish(0))
                await until(lambda: len(service.requests) == 2)
                assert (await dictate(transcriber, sentence())).text
                reading.cancel()

    asyncio.run(scene())


def test_a_file_that_is_none_is_refused(tmp_path):
    path = tmp_path / "speech.wav"
    path.write_bytes(b"no sound")

    async def scene():
        async with transcribed() as (service, transcriber):
            utterance = transcriber.open(0, [os.open(path, os.O_RDONLY)], TranscribeOptions(file=True))
            with pytest.raises(EngineError):
                await utterance.finish(0)
            assert service.requests == []

    asyncio.run(scene())


# --- beginning and end ---


def test_a_dictation_may_come_before_everything_is_there():
    async def scene():
        async with transcribed(ready=False) as (service, transcriber):
            assert transcriber.capabilities is None
            assert (await dictate(transcriber, sentence())).text.startswith("It lasted")
            assert len(service.requests) == 1

    asyncio.run(scene())


def test_closing_ends_what_is_under_way_at_once(spools):
    async def scene():
        async with transcribed() as (service, transcriber):
            service.default = silent
            service.on_probe = silent
            async with asyncio.TaskGroup() as group:
                finishing = group.create_task(refused(dictate(transcriber, sentence())))
                await until(lambda: service.requests)
                dictation = Dictation(transcriber, spools)
                await transcriber.aclose()
                await transcriber.aclose()
                await finishing
            assert transcriber.state == "unloaded"
            await refused(dictation.stop())
            await refused(dictate(transcriber, sentence()))
            assert len(service.requests) == 1

    asyncio.run(scene())


async def refused(coming):
    with pytest.raises(EngineError):
        await coming


def test_without_the_library_it_says_what_to_install():
    def build():
        raise ModelMissingError("Speech services need a library for HTTP.", hint="pip install 'v2m[cloud]'")

    async def scene():
        ears = WorkerProcess(engine="none")
        transcriber = OpenAiTranscriber(ears, build, languages=("*",), timeout_s=5, upload_while_speaking=True)
        async with asyncio.TaskGroup() as group:
            group.create_task(transcriber.run())
            assert (transcriber.state, transcriber.capabilities) == ("failed", None)
            assert "library" in transcriber.detail
            assert (transcriber.connection, transcriber.handshakes) == ("closed", 0)
            with pytest.raises(ModelMissingError):
                await transcriber.wait_ready()
            with pytest.raises(ModelMissingError) as caught:
                await dictate(transcriber, sentence())
            assert caught.value.hint == "pip install 'v2m[cloud]'"
            transcriber.drop()
            await transcriber.aclose()

    asyncio.run(scene())


WITHOUT = """
import sys
sys.modules["httpx2"] = None  # as if it were not installed
from v2m.domain.errors import ModelMissingError
from v2m.infrastructure.engines.openai_services import PRESETS, build_speech
import v2m.infrastructure.engines.openai_transcriber
try:
    build_speech(PRESETS["groq"], timeout_s=1, user_agent="v2m/1")
except ModelMissingError as error:
    print(error.hint)
"""


def test_the_library_is_loaded_for_services_only():
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, timeout=50)
    assert (done.stdout, done.stderr) == ("pip install 'v2m[cloud]'\n", "")


SCENE = """
import asyncio, os
from support.cloud import Dictation, sentence, transcribed
from support.speech import until
from v2m.infrastructure._spool import SpoolDirectory

async def scene(spools):
    async with transcribed() as (service, transcriber):
        dictation = Dictation(transcriber, spools)
        dictation.say(sentence())
        await until(lambda: dictation.utterance.speech_until)
        os.access("/key-up", os.F_OK)
        transcript = await dictation.stop()
        os.access("/text", os.F_OK)
        print(transcript.text)

with SpoolDirectory(SPOOLS, max_recording_s=60, on_degraded=print) as spools:
    asyncio.run(scene(spools))
"""


def test_between_key_up_and_the_text_no_file_is_opened_for_writing(tmp_path):
    trace = tmp_path / "trace"
    scene = SCENE.replace("SPOOLS", f"__import__('pathlib').Path({str(tmp_path / 'spools')!r})")
    strace = [tool("strace", "strace"), "-f", "-e", "trace=%file,memfd_create", "-o", str(trace)]
    done = subprocess.run(
        [*strace, sys.executable, "-c", scene],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.stdout == "It lasted 3 seconds.\n", done.stderr
    _, _, after = trace.read_text().partition('"/key-up"')
    during, _, rest = after.partition('"/text"')
    assert rest
    written = [
        line for line in during.splitlines() if re.search(r"O_WRONLY|O_RDWR|O_CREAT|creat\(|memfd|mknod|rename", line)
    ]
    assert written == []
