"""Engines that take over: the same audio, in the order of the settings, and never one that is not listed."""

import asyncio
import os
import signal
from contextlib import asynccontextmanager

import pytest

from support.container import ask, private_home, run
from support.speech import until, wheel_clips, word_error_rate, write_spool
from v2m.domain.errors import EngineError, ModelMissingError
from v2m.domain.ports import TranscribeOptions
from v2m.infrastructure.engines._process import WorkerProcess
from v2m.infrastructure.engines.chain import EngineChain
from v2m.infrastructure.engines.scripted import ScriptedTranscriber

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

OPTIONS = TranscribeOptions()


def missing(name="gone"):
    """A real speech process whose model is not there."""
    return WorkerProcess(engine="moonshine", options={"folder": f"/nowhere/{name}"})


@asynccontextmanager
async def running(*engines):
    chain = EngineChain(engines)
    async with asyncio.TaskGroup() as group:
        group.create_task(chain.run())
        try:
            yield chain
        finally:
            await chain.aclose()


def open_clip(chain, clip):
    return chain.open(3, write_spool(None, clip.pcm), OPTIONS)


def test_the_next_engine_decodes_the_same_audio():
    clip = wheel_clips()[0]

    async def scene():
        async with running(missing(), WorkerProcess(engine="moonshine", residency="on-record")) as chain:
            await chain.wait_ready()
            heard = await open_clip(chain, clip).finish(len(clip.pcm) // 2)
            return heard, chain.detail, chain.loads

    heard, detail, loads = asyncio.run(scene())
    assert word_error_rate([(clip.text, heard.text)]) == 0
    assert "/nowhere/gone lacks" in detail
    assert loads == 1


def test_whoever_serves_listens_while_somebody_speaks_though_the_first_has_failed():
    clip = wheel_clips()[0]
    told = []

    async def scene():
        first, second = missing(), WorkerProcess(engine="moonshine", residency="on-record")
        async with running(first, second) as chain:
            await chain.wait_ready()
            pcm = clip.pcm + bytes(2 * 16000)
            utterance = chain.open(3, write_spool(None, pcm), OPTIONS, told.append)
            await until(lambda: utterance.speech_until > 16000)  # heard before anybody asks for the text
            heard = await utterance.finish(len(pcm) // 2)
            await until(lambda: second.pid is None)
            return heard.text, first.state

    text, state = asyncio.run(scene())
    assert word_error_rate([(clip.text, text)]) == 0
    assert state == "failed"
    assert told


def test_an_engine_that_is_not_needed_costs_nothing():
    spare = WorkerProcess(engine="moonshine", residency="on-record")

    async def scene():
        async with running(ScriptedTranscriber(["first"]), spare) as chain:
            heard = await open_clip(chain, wheel_clips()[0]).finish(16000)
            return heard.text, spare.loads, spare.pid, chain.capabilities.name

    assert asyncio.run(scene()) == ("first", 0, None, "scripted")


def test_when_all_fail_the_first_ones_reason_counts():
    async def scene():
        async with running(missing("one"), missing("two")) as chain:
            with pytest.raises(ModelMissingError, match="/nowhere/one"):
                await open_clip(chain, wheel_clips()[0]).finish(16000)

    asyncio.run(scene())


def test_a_process_killed_twice_on_one_recording_gives_way():
    slow = WorkerProcess(engine="scripted", options={"texts": ["never"], "delay_s": 60, "step_s": 0.1})

    async def scene():
        async with running(slow, ScriptedTranscriber(["second"])) as chain, asyncio.TaskGroup() as group:
            await chain.wait_ready()
            utterance = open_clip(chain, wheel_clips()[0])
            finishing = group.create_task(utterance.finish(16000))
            for loads in (1, 2):
                while slow.loads < loads or slow.pid is None:
                    await asyncio.sleep(0.01)
                os.kill(slow.pid, signal.SIGKILL)
            return (await finishing).text

    assert asyncio.run(scene()) == "second"


def test_what_is_abandoned_is_taken_over_by_nobody():
    second = ScriptedTranscriber(["second"])

    async def scene():
        before = len(os.listdir("/proc/self/fd"))
        async with running(ScriptedTranscriber(["first"]), second) as chain:
            utterance = open_clip(chain, wheel_clips()[0])
            await utterance.abandon()
            await utterance.abandon()
            with pytest.raises(EngineError):
                await utterance.finish(16000)
        return before, len(os.listdir("/proc/self/fd"))

    before, after = asyncio.run(scene())
    assert before == after
    assert second.opened == 0


def test_the_settings_list_who_takes_over(tmp_path, monkeypatch):
    settings, _ = private_home(tmp_path, monkeypatch)
    arguments = {**settings, "transcription.model_dir": "/nowhere/gone", "transcription.fallback": ["scripted"]}
    arguments["transcription.script"] = ["by the second"]

    async def scenario(container, output, notifier):
        await ask(container, "START_RECORDING")
        while container.dictations.recording.spool.head < 16000:
            await asyncio.sleep(0.02)
        await ask(container, "STOP_RECORDING")
        return output.texts

    assert run(arguments, scenario) == ["by the second"]
