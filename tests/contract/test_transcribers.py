"""One suite for everything that stands for speech in the daemon: in-process, and the real process."""

import asyncio
import os
from contextlib import asynccontextmanager

import pytest

from support.cloud import transcribed
from support.speech import RATE, running, until, wheel_clips, write_spool
from support.speech_server import says
from v2m.domain.errors import EngineError
from v2m.domain.ports import TranscribeOptions
from v2m.infrastructure.engines.scripted import ScriptedTranscriber

pytestmark = pytest.mark.contract

OPTIONS = TranscribeOptions()


@asynccontextmanager
async def in_process():
    transcriber = ScriptedTranscriber(["No matter."], delay_s=0.05)
    async with asyncio.TaskGroup() as group:
        group.create_task(transcriber.run())
        yield transcriber
        await transcriber.aclose()


@asynccontextmanager
async def through_a_service():
    async with transcribed() as (service, transcriber):
        service.default = says("No matter.")
        yield transcriber


OPENERS = {
    "scripted": in_process,
    "scripted process": lambda: running(engine="scripted", texts=["No matter."], delay_s=0.05),
    "moonshine process": running,
    "speech service": through_a_service,
}


@pytest.fixture(params=OPENERS)
def opened(request):
    return OPENERS[request.param]


def spoken(transcriber, options=OPTIONS):
    """Open a recording that says "No matter."; return it and its length in samples."""
    pcm = wheel_clips()[1].pcm
    return transcriber.open(7, write_spool(None, pcm), options), len(pcm) // 2


def test_a_recording_becomes_text(opened):
    async def scene():
        async with opened() as transcriber:
            await transcriber.wait_ready()
            assert (transcriber.state, transcriber.loads, transcriber.detail) == ("ready", 1, "")
            utterance, samples = spoken(transcriber)
            heard = await utterance.finish(samples)
            assert heard.text == "No matter."
            assert heard.engine == transcriber.capabilities.name
            assert heard.duration_s == pytest.approx(samples / RATE)
            assert 0 < heard.speech_s <= heard.duration_s
            assert heard.segments == 1

    asyncio.run(scene())


def test_many_recordings_need_one_model(opened):
    async def scene():
        async with opened() as transcriber:
            for _ in range(5):
                utterance, samples = spoken(transcriber)
                assert (await utterance.finish(samples)).text
            assert transcriber.loads == 1

    asyncio.run(scene())


def test_recordings_overlap_and_each_gets_its_answer(opened):
    async def scene():
        async with opened() as transcriber:
            utterances = [spoken(transcriber) for _ in range(3)]
            async with asyncio.TaskGroup() as group:
                answers = [group.create_task(one.finish(samples)) for one, samples in utterances]
            assert [answer.result().text for answer in answers] == ["No matter."] * 3

    asyncio.run(scene())


def test_cancelling_a_finish_harms_nobody_else(opened):
    async def scene():
        async with opened() as transcriber:
            utterance, samples = spoken(transcriber)
            async with asyncio.TaskGroup() as group:
                finishing = group.create_task(utterance.finish(samples))
                await asyncio.sleep(0)
                finishing.cancel()
            assert finishing.cancelled()
            await utterance.abandon()
            utterance, samples = spoken(transcriber)
            assert (await utterance.finish(samples)).text == "No matter."

    asyncio.run(scene())


def test_an_abandoned_recording_has_no_text(opened):
    async def scene():
        async with opened() as transcriber:
            utterance, samples = spoken(transcriber)
            await utterance.abandon()
            await utterance.abandon()
            with pytest.raises(EngineError):
                await utterance.finish(samples)

    asyncio.run(scene())


def test_every_descriptor_is_closed(opened):
    async def scene():
        async with opened() as transcriber:
            utterance, samples = spoken(transcriber)
            await utterance.finish(samples)
            before = len(os.listdir("/proc/self/fd"))
            for finish in (True, False) * 3:
                utterance, samples = spoken(transcriber)
                if finish:
                    await utterance.finish(samples)
                else:
                    await utterance.abandon()
            await until(lambda: len(os.listdir("/proc/self/fd")) == before)

    asyncio.run(scene())


def test_it_is_closed_twice_and_then_refuses(opened):
    async def scene():
        async with opened() as transcriber:
            await transcriber.aclose()
            await transcriber.aclose()
            assert transcriber.state == "unloaded"
            with pytest.raises(EngineError):
                await transcriber.wait_ready()
            utterance, samples = spoken(transcriber)
            with pytest.raises(EngineError):
                await utterance.finish(samples)

    asyncio.run(scene())


def test_the_in_process_fake_counts_calls():
    async def scene():
        transcriber = ScriptedTranscriber(["{n}"])
        utterance, samples = spoken(transcriber)
        await utterance.abandon()
        assert (transcriber.opened, transcriber.finished) == (1, 0)
        utterance, samples = spoken(transcriber)
        assert (await utterance.finish(samples)).text == "1"
        assert (transcriber.opened, transcriber.finished) == (2, 1)
        transcriber.speech_until = 5
        assert utterance.speech_until == 5

    asyncio.run(scene())
