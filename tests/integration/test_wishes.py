"""What whoever starts a recording may ask for: a language, a profile, an end by itself."""

import asyncio

import pytest

from support.container import ask, private_home, run
from v2m.domain.errors import ConfigError, LanguageError
from v2m.infrastructure.engines.scripted import ScriptedTranscriber

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture
def settings(tmp_path, monkeypatch):
    return private_home(tmp_path, monkeypatch)[0]


async def ended(container):
    while container.dictations.recording or container.dictations.queue:
        await asyncio.sleep(0.02)


def test_hands_free_ends_after_the_last_word_and_types(settings):
    transcriber = ScriptedTranscriber(["that was it"])

    async def scenario(container, output, notifier):
        await ask(container, "START_RECORDING", until_silence=0.5)
        spool = container.dictations.recording.spool
        while spool.head < 16000:
            await asyncio.sleep(0.02)
        transcriber.speech_until = spool.head
        await ended(container)
        return spool.head - transcriber.speech_until, output.texts, [note.title for note in notifier.shown]

    silent, texts, titles = run(settings, scenario, transcriber=transcriber)
    assert silent >= 8000
    assert texts == ["that was it"]
    assert "Recording ended" not in titles


def test_hands_free_waits_for_the_first_word(settings):
    async def scenario(container, output, notifier):
        await ask(container, "START_RECORDING", until_silence=0.1)
        spool = container.dictations.recording.spool
        while spool.head < 32000:
            await asyncio.sleep(0.02)
        assert container.dictations.recording is not None
        await ask(container, "ABORT_RECORDING")

    run(settings, scenario, transcriber=ScriptedTranscriber(["never"]))


async def ready(container):
    while (await ask(container, "GET_STATUS"))["engine"]["state"] != "ready":
        await asyncio.sleep(0.02)


def test_a_language_the_engine_cannot_do_is_refused_at_start(settings):
    async def scenario(container, output, notifier):
        await ready(container)
        with pytest.raises(LanguageError, match=r"cannot do the language 'de'; .*whisper.* can") as refused:
            await ask(container, "START_RECORDING", language="de")
        assert refused.value.hint.startswith("pip install 'v2m[")
        assert container.dictations.recording is None

    run(settings, scenario)


def test_before_the_engine_is_loaded_its_languages_are_known(settings):
    async def scenario(container, output, notifier):
        assert (await ask(container, "GET_STATUS"))["engine"]["name"] is None
        with pytest.raises(LanguageError, match="cannot do the language 'de'"):
            await ask(container, "START_RECORDING", language="de")

    run({**settings, "transcription.residency": "on-record"}, scenario)


def test_a_retry_in_a_language_the_engine_cannot_do_is_refused(settings):
    async def scenario(container, output, notifier):
        await ready(container)
        await ask(container, "START_RECORDING")
        while container.dictations.recording.spool.head < 32000:
            await asyncio.sleep(0.02)
        dictation = (await ask(container, "STOP_RECORDING"))["dictation"]
        with pytest.raises(LanguageError, match="cannot do the language 'de'"):
            await ask(container, "RETRY_DICTATION", dictation=dictation, language="de")

    run(settings, scenario)


@pytest.mark.parametrize(
    ("key", "value"),
    [("transcription.language", "de"), ("profile.3.language", "es-MX"), ("transcription.languages", ["en", "fr"])],
)
def test_a_language_the_engine_cannot_do_is_refused_when_the_settings_load(settings, key, value):
    with pytest.raises(ConfigError, match=rf"{key}: The speech engine moonshine cannot do") as refused:
        run({**settings, key: value}, None)
    assert refused.value.hint.startswith("pip install 'v2m[")


def test_a_profile_brings_its_language_and_a_wish_goes_before_it(settings):
    arguments = {**settings, "profile.3.language": "es-MX", "transcription.backend": "scripted"}

    async def scenario(container, output, notifier):
        languages = []
        for wish in ({"profile": 3}, {"profile": 3, "language": "en"}, {"profile": 1}):
            await ask(container, "START_RECORDING", **wish)
            languages.append(container.dictations.recording.language)
            await ask(container, "ABORT_RECORDING")
        return languages

    assert run(arguments, scenario) == ["es-MX", "en", "auto"]


def test_an_english_engine_on_a_german_desktop_is_said_once_and_shown(settings, monkeypatch):
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")

    async def scenario(container, output, notifier):
        await ready(container)
        status = (await ask(container, "GET_STATUS"))["engine"]
        assert status["notice"] == "The speech engine understands en only, and your desktop is in 'de'."
        for _ in range(50):  # the notice comes from another task
            await asyncio.sleep(0.01)
        return [note.title for note in notifier.shown].count("Language")

    assert run(settings, scenario) == 1
    assert run(settings, scenario) == 0
