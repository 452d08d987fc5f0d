"""Dictations through a speech service that fails: what is sent again, what is not sent any more, what takes over."""

import asyncio
import os
import signal

import pytest

from support.cloud import Dictation, dictate, sentence, transcribed, transcribing, twelve_seconds
from support.speech import silence, until
from support.speech_server import answers, hang_up, held, says, silent, slow
from v2m.domain.errors import EngineError, EngineReason, EngineUnavailableError
from v2m.infrastructure._spool import SpoolDirectory
from v2m.infrastructure.engines.scripted import ScriptedTranscriber

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]


@pytest.fixture
def spools(tmp_path):
    with SpoolDirectory(tmp_path / "spool", max_recording_s=600, on_degraded=pytest.fail) as store:
        yield store


def test_what_failed_early_is_sent_again_at_the_end(spools):
    async def scene():
        async with transcribed(max_retries=0) as (service, transcriber):
            service.script = [answers(500)]
            dictation = Dictation(transcriber, spools)
            dictation.say(twelve_seconds(), silence(1.0))
            await until(lambda: "status 500" in transcriber.capabilities.notice)
            dictation.say(sentence())
            transcript = await dictation.stop()
            assert transcript.text.count("It lasted") == 2
            assert len(service.requests) == 3
            assert transcriber.capabilities.notice == ""

    asyncio.run(scene())


def test_a_connection_that_breaks_in_the_middle_costs_no_word(spools):
    async def scene():
        async with transcribed() as (service, transcriber):
            service.script = [silent]
            dictation = Dictation(transcriber, spools)
            dictation.say(twelve_seconds(), silence(1.0))
            await until(lambda: service.requests)
            transcriber.drop()  # the cable is pulled, and put back
            dictation.say(sentence())
            assert (await dictation.stop()).text.count("It lasted") == 2

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (answers(401), EngineReason.AUTH),
        (answers(413), EngineReason.REFUSED),
        (answers(429, Retry_After="60"), EngineReason.QUOTA),
        (answers(500), EngineReason.SERVER),
        (hang_up, EngineReason.NETWORK),
        (answers(200, b"<html>", "text/html"), EngineReason.GARBLED),
        (silent, EngineReason.TIMEOUT),
    ],
    ids=["401", "413", "429", "500", "hang up", "web page", "silent"],
)
def test_a_fault_fails_this_dictation_and_not_the_next(behaviour, reason):
    async def scene():
        async with transcribed(timeout_s=1.5) as (service, transcriber):
            service.default = behaviour
            with pytest.raises(EngineUnavailableError) as caught:
                await dictate(transcriber, sentence())
            assert caught.value.reason is reason
            assert transcriber.capabilities.notice
            assert transcriber.state == "ready"
            service.default = says("Well again.")
            assert (await dictate(transcriber, sentence())).text == "Well again."
            assert transcriber.capabilities.notice == ""

    asyncio.run(scene())


def test_the_deadline_counts_from_the_end_of_the_dictation(spools):
    async def scene():
        async with transcribed(timeout_s=3.0) as (service, transcriber):
            service.default = slow(0.5, transcribing)
            dictation = Dictation(transcriber, spools)
            dictation.say(twelve_seconds(), silence(1.0))
            await until(lambda: service.requests)
            await asyncio.sleep(3.0)
            dictation.say(sentence())
            assert (await dictation.stop()).text.count("It lasted") == 2

    asyncio.run(scene())


def test_an_abandoned_dictation_sends_no_more(spools):
    async def scene():
        async with transcribed() as (service, transcriber):
            service.script = [held]
            dictation = Dictation(transcriber, spools)
            dictation.say(twelve_seconds(), silence(1.0))
            await service.holding.wait()
            dictation.say(sentence(), silence(4.0))
            await dictation.utterance.abandon()
            await dictation.utterance.abandon()
            service.go_on.set()
            await until(lambda: service.open == 0)
            assert service.requests[0].broken_off
            with pytest.raises(EngineError):
                await dictation.stop()
            assert len(service.requests) == 1
            assert (await dictate(transcriber, sentence())).text

    asyncio.run(scene())


def test_a_cancelled_finish_sends_no_more():
    async def scene():
        async with transcribed() as (service, transcriber):
            service.script = [silent]
            async with asyncio.TaskGroup() as group:
                finishing = group.create_task(dictate(transcriber, sentence()))
                await until(lambda: service.requests)
                finishing.cancel()
            await until(lambda: service.requests[0].broken_off)
            assert len(service.requests) == 1

    asyncio.run(scene())


def test_a_process_that_dies_in_the_middle_sends_nothing_twice(spools):
    async def scene():
        async with transcribed() as (service, transcriber):
            dictation = Dictation(transcriber, spools)
            dictation.say(twelve_seconds(), silence(1.0))
            await until(lambda: service.requests)
            os.kill(transcriber._ears.pid, signal.SIGKILL)
            dictation.say(sentence())
            transcript = await dictation.stop()
            assert transcript.text.count("It lasted") == 2
            assert len(service.requests) == 2

    asyncio.run(scene())


# --- the floor ---


def test_the_floor_is_not_heard_while_the_service_answers():
    floor = ScriptedTranscriber(["From this machine."])

    async def scene():
        async with transcribed(floor=floor) as (_, transcriber):
            assert (await dictate(transcriber, sentence())).text.startswith("It lasted")
            assert floor.opened == 1
            assert transcriber.capabilities.notice == ""

    asyncio.run(scene())


@pytest.mark.parametrize("behaviour", [answers(401), silent], ids=["401", "silent"])
def test_the_floor_speaks_where_the_service_fails_and_that_is_told(behaviour):
    changes = []

    async def scene():
        floor = ScriptedTranscriber(["From this machine."])
        async with transcribed(floor=floor, timeout_s=1.0) as (service, transcriber):
            transcriber._on_change = lambda: changes.append(transcriber.capabilities.notice)
            service.default = behaviour
            transcript = await dictate(transcriber, sentence())
            assert (transcript.text, transcript.engine) == ("From this machine.", "scripted")
            assert f"localhost:{service.port}" in changes[-1]
            service.default = transcribing
            assert (await dictate(transcriber, sentence())).text.startswith("It lasted")
            assert changes[-1] == ""

    asyncio.run(scene())


def test_a_floor_that_is_too_slow_is_no_floor():
    async def scene():
        floor = ScriptedTranscriber(["Late."], delay_s=30)
        async with transcribed(floor=floor, timeout_s=1.0) as (service, transcriber):
            service.default = answers(403)
            with pytest.raises(EngineUnavailableError) as caught:
                await dictate(transcriber, sentence())
            assert caught.value.reason is EngineReason.AUTH

    asyncio.run(scene())
