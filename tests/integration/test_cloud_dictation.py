"""Dictations through a speech service, from the settings to the window, with the network cut in the middle."""

import asyncio
import json

import pytest

from support.cloud import KEY, through
from support.container import ask, contained, private_home
from support.speech import word_error_rate
from support.speech_server import reset, says, serving
from v2m.domain.errors import EngineReason, EngineUnavailableError

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return private_home(tmp_path, monkeypatch)


def cut(service):
    """Break off whatever is sent from now on."""
    service.default = service.on_probe = reset


async def ready(container):
    while (status := (await ask(container, "GET_STATUS"))["engine"])["state"] != "ready":
        await asyncio.sleep(0.02)
    return status


async def begin(container, samples=48000):
    """Record until so much was heard."""
    await ask(container, "START_RECORDING")
    while container.dictations.recording.spool.head < samples:
        await asyncio.sleep(0.02)


def test_a_service_hears_and_the_words_are_typed(home):
    settings, _ = home

    async def scene():
        async with serving() as service, contained(through(service, settings)) as (container, output, _):
            service.default = says("By the service.")
            status = await ready(container)
            await begin(container)
            answer = await ask(container, "STOP_RECORDING")
            row = (await ask(container, "LIST_HISTORY"))["entries"][0]
            return status, answer, row, output.texts, json.dumps(await ask(container, "GET_STATUS"))

    status, answer, row, texts, shown = asyncio.run(scene())
    assert status["network"] is True
    assert (answer["transcription"], row["phase"], texts) == ("By the service.", "delivered", ["By the service."])
    assert KEY not in shown


def test_with_the_network_cut_in_the_middle_the_local_floor_delivers(home):
    settings, clip = home

    async def scene():
        async with serving() as service:
            arguments = through(service, settings, **{"transcription.fallback": ["moonshine"]})
            async with contained(arguments) as (container, output, _):
                await ready(container)
                await begin(container)
                cut(service)
                answer = await ask(container, "STOP_RECORDING")
                status = (await ask(container, "GET_STATUS"))["engine"]
                return answer["transcription"], output.texts, status["notice"]

    text, texts, notice = asyncio.run(scene())
    assert word_error_rate([(clip.text, text)]) <= 0.25
    assert texts == [text]
    assert notice


def test_without_a_floor_the_audio_is_kept_and_retry_asks_again(home):
    settings, _ = home

    async def scene():
        async with serving() as service, contained(through(service, settings)) as (container, _, notifier):
            await ready(container)
            await begin(container)
            cut(service)
            with pytest.raises(EngineUnavailableError) as failed:
                await ask(container, "STOP_RECORDING")
            row = (await ask(container, "LIST_HISTORY"))["entries"][0]
            service.default = says("Later.")
            again = await ask(container, "RETRY_DICTATION", dictation=row["dictation"])
            return failed.value, row, again["transcription"], [note.title for note in notifier.shown]

    error, row, text, titles = asyncio.run(scene())
    assert error.reason is EngineReason.NETWORK
    assert (row["phase"], row["audio"]) == ("failed", True)
    assert text == "Later."
    assert titles
