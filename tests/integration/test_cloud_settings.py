"""Each setting of speech services, from the settings to what a service on this machine receives."""

import asyncio

import pytest

from support.cloud import KEY, Dictation, dictate, lasting, sentence, through, twelve_seconds
from support.container import private_home
from support.speech import RATE, silence, tended, until
from support.speech_server import reset, says, serving, slow
from v2m.config import load_settings
from v2m.core.di.speech import make_transcriber
from v2m.domain.errors import EngineReason, EngineUnavailableError
from v2m.infrastructure._spool import SpoolDirectory

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

VARIABLES = ("GROQ_API_KEY", "OPENAI_API_KEY")


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    private_home(tmp_path, monkeypatch)


def outcome(pcm=None, *, behaviour=None, **settings):
    """Return the requests that a dictation makes under these settings, and its error; __ stands for a dot."""

    async def scene():
        async with serving() as service:
            service.default = behaviour or says("By the service.")
            chosen = through(service, {}, **{name.replace("__", "."): value for name, value in settings.items()})
            transcriber = make_transcriber(load_settings(chosen), lambda: None)
            async with tended(transcriber):
                try:
                    await dictate(transcriber, pcm or sentence())
                except EngineUnavailableError as error:
                    return service.requests, error
                return service.requests, None

    return asyncio.run(scene())


def asked(pcm=None, **settings):
    """Return the requests of a dictation that became text."""
    requests, error = outcome(pcm, **settings)
    assert error is None
    return requests


def one(**settings):
    """Return the only request of a short dictation."""
    (request,) = asked(**settings)
    return request


def test_the_address_is_where_it_is_heard():
    assert one().path == "/v1/audio/transcriptions"

    async def scene():
        async with serving() as first, serving() as second:
            chosen = through(first, {}, **{"transcription.openai.base_url": second.base_url})
            transcriber = make_transcriber(load_settings(chosen), lambda: None)
            async with tended(transcriber):
                await dictate(transcriber, sentence())
            return len(first.requests), len(second.requests)

    assert asyncio.run(scene()) == (0, 1)


def test_the_preset_brings_model_and_key(monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", "gsk-one")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-two")
    seen = {}
    for preset in ("groq", "openai", "custom"):
        request = one(transcription__openai__preset=preset, transcription__openai__model="")
        seen[preset] = request.fields()["model"], request.headers["authorization"]
    assert seen == {
        "groq": (b"whisper-large-v3-turbo", "Bearer gsk-one"),
        "openai": (b"gpt-4o-transcribe", "Bearer sk-two"),
        "custom": (b"whisper-1", "Bearer sk-two"),
    }


def test_the_model_is_asked_for():
    assert one(transcription__openai__model="mine").fields()["model"] == b"mine"
    assert one().fields()["model"] == b"whisper-1"


def test_a_service_that_is_late_is_given_up_after_the_timeout():
    late = slow(1.5, says("Late."))
    assert outcome(behaviour=late)[1] is None
    _, error = outcome(behaviour=late, transcription__openai__timeout_s=1)
    assert error.reason is EngineReason.TIMEOUT


def test_a_program_says_the_key():
    assert "authorization" not in one().headers
    assert one(cloud__api_key_cmd=["echo", KEY]).headers["authorization"] == f"Bearer {KEY}"


def test_a_file_says_the_key(tmp_path):
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    file.chmod(0o600)
    assert one(cloud__api_key_file=str(file)).headers["authorization"] == f"Bearer {KEY}"


def test_an_authority_of_ones_own_is_trusted_only_if_it_is_named():
    assert one()
    requests, error = outcome(cloud__ca_file="")
    assert requests == []
    assert "does not prove who it is" in str(error)


def test_long_stretches_go_by_themselves_only_if_that_is_wanted():
    pcm = twelve_seconds()[: 2 * 10 * RATE] + silence(1) + sentence()
    early, whole = (asked(pcm, cloud__upload_while_speaking=wanted) for wanted in (True, False))
    assert len(early) > len(whole) == 1
    assert lasting(whole[0]) > max(lasting(each) for each in early)


@pytest.mark.parametrize("wanted", [True, False])
def test_before_the_key_goes_up_nothing_is_sent_unless_that_is_wanted(tmp_path, wanted):
    async def scene(spools):
        async with serving() as service:
            chosen = through(service, {}, **{"cloud.upload_while_speaking": wanted})
            transcriber = make_transcriber(load_settings(chosen), lambda: None)
            async with tended(transcriber):
                dictation = Dictation(transcriber, spools)
                dictation.say(twelve_seconds(), silence(32))  # closes a stretch, however long it may be
                await until(lambda: dictation.utterance._parts)
                if wanted:
                    await until(lambda: service.requests)
                early = len(service.requests)
                await dictation.stop()
            return early, len(service.requests)

    with SpoolDirectory(tmp_path / "spool", max_recording_s=60, on_degraded=print) as spools:
        early, in_all = asyncio.run(scene(spools))
    assert (early > 0) is wanted
    assert in_all >= 1


def test_all_that_is_listed_behind_a_service_takes_over_in_order():
    async def scene():
        async with serving() as service:
            service.default = service.on_probe = reset
            listed = {"transcription.fallback": ["whisper", "scripted"], "transcription.script": ["by the third"]}
            chosen = through(service, {}, **listed, **{"transcription.whisper.model": "/nowhere/gone"})
            transcriber = make_transcriber(load_settings(chosen), lambda: None)
            async with tended(transcriber):
                return (await dictate(transcriber, sentence())).text

    assert asyncio.run(scene()) == "by the third"


def test_the_users_words_are_the_prompt():
    assert "prompt" not in one().fields()
    assert one(vocabulary__words=["ComfyUI = comfy you eye", "Žižka"]).fields()["prompt"] == "ComfyUI, Žižka".encode()


def test_only_a_language_of_the_user_is_asked_for():
    assert "language" not in one().fields()
    assert one(transcription__languages=["de"]).fields()["language"] == b"de"
