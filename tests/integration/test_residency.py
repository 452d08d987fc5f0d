"""How long the model stays in memory: always, a while, or for one recording."""

import asyncio
from pathlib import Path

import pytest

from support.speech import running, transcribe, until, wheel_clips, write_spool
from v2m.domain.errors import EngineError
from v2m.domain.ports import TranscribeOptions
from v2m.infrastructure.engines._process import WorkerProcess

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

OPTIONS = TranscribeOptions()
TEXT = "No matter."


def said():
    return wheel_clips()[1].pcm


async def gone(pid):
    async with asyncio.timeout(5):  # what is promised, not what is measured
        while Path(f"/proc/{pid}").exists():
            await asyncio.sleep(0.01)


def test_an_idle_model_is_let_go_and_comes_back_for_the_next_recording():
    async def scene():
        async with running(residency="idle-unload", idle_s=0.3) as transcriber:
            pid = transcriber.pid
            await until(lambda: transcriber.state == "unloaded")
            await gone(pid)
            await until(lambda: transcriber.pid is None)
            assert transcriber.capabilities.languages == ("en",)
            await transcriber.wait_ready()  # there is nothing to wait for
            for loads in (2, 3):
                assert (await transcribe(transcriber, said())).text == TEXT
                assert transcriber.loads == loads
                await until(lambda: transcriber.state == "unloaded")
            assert transcriber.detail == ""

    asyncio.run(scene())


def test_work_keeps_a_model_that_would_be_let_go():
    async def scene():
        async with running(
            residency="idle-unload", idle_s=0.2, engine="scripted", texts=["late"], delay_s=1.0
        ) as transcriber:
            utterance = transcriber.open(1, write_spool(None, said()), OPTIONS)
            await asyncio.sleep(0.5)  # it is being recorded, longer than an idle process lives
            assert transcriber.state == "ready"
            assert (await utterance.finish(100)).text == "late"
            assert transcriber.loads == 1
            await until(lambda: transcriber.state == "unloaded")

    asyncio.run(scene())


def test_on_record_there_is_a_model_only_while_there_is_a_recording():
    async def scene():
        async with running(residency="on-record") as transcriber:
            assert (transcriber.state, transcriber.pid, transcriber.loads) == ("unloaded", None, 0)
            await transcriber.wait_ready()
            for loads in (1, 2):
                utterance = transcriber.open(1, write_spool(None, said()), OPTIONS)
                await until(lambda: transcriber.state == "ready")
                pid = transcriber.pid
                assert (await utterance.finish(len(said()) // 2)).text == TEXT
                await gone(pid)
                assert (transcriber.state, transcriber.loads) == ("unloaded", loads)

    asyncio.run(scene())


def test_an_abandoned_recording_leaves_no_model_behind():
    async def scene():
        async with running(residency="on-record") as transcriber:
            utterance = transcriber.open(1, write_spool(None, said()), OPTIONS)
            await until(lambda: transcriber.pid is not None)
            pid = transcriber.pid
            await utterance.abandon()
            await gone(pid)
            await until(lambda: transcriber.state == "unloaded")
            assert (await transcribe(transcriber, said())).text == TEXT

    asyncio.run(scene())


def test_a_recording_that_begins_just_when_the_model_goes_becomes_text():
    async def scene():
        async with running(residency="on-record", engine="scripted", texts=["here"]) as transcriber:
            for turns in (0, 0, 1, 2, 3, 5, 10, 100):  # of the loop, while the last process ends
                for _ in range(turns):
                    await asyncio.sleep(0)
                assert (await transcribe(transcriber, said())).text == "here"

    asyncio.run(scene())


def test_closing_while_nothing_is_loaded_is_like_closing():
    async def scene():
        async with running(residency="on-record") as transcriber:
            await transcriber.aclose()
            assert transcriber.state == "unloaded"
            with pytest.raises(EngineError, match="stopped"):
                await transcriber.wait_ready()
            with pytest.raises(EngineError, match="stopped"):
                await transcribe(transcriber, said())

    asyncio.run(scene())


def test_an_unknown_residency_is_a_mistake_of_the_caller():
    with pytest.raises(KeyError):
        WorkerProcess(engine="scripted", residency="sometimes")
