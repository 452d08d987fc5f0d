"""The speech process is killed, stopped or never starts: what was said still becomes text, or is told."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from support.speech import clips, running, until, wheel_assets, wheel_clips, word_error_rate, write_spool
from v2m.domain.errors import EngineError, WorkerDiedError
from v2m.domain.ports import TranscribeOptions
from v2m.infrastructure._spool import SpoolDirectory
from v2m.infrastructure.engines._process import WorkerProcess

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

OPTIONS = TranscribeOptions()
SLOW = {"texts": ["take {n}"], "delay_s": 1.5}  # long enough to be killed in, once it has begun


def opened(transcriber, pcm):
    return transcriber.open(1, write_spool(None, pcm), OPTIONS), len(pcm) // 2


async def kill(transcriber, sign=signal.SIGKILL):
    """Kill the process that serves now, and wait for the next one to be ready."""
    pid, loads = transcriber.pid, transcriber.loads
    os.kill(pid, sign)
    await until(lambda: transcriber.pid not in (pid, None))
    await until(lambda: transcriber.loads > loads)


def long_speech():
    return b"".join(clip.pcm for clip in wheel_clips() if clip.kind == "speech")


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGSEGV])
def test_killed_in_the_middle_of_a_decode_the_text_is_the_same(sign):
    pcm = long_speech()

    async def scene():
        async with running() as transcriber:
            utterance, samples = opened(transcriber, pcm)
            undisturbed = await utterance.finish(samples)
            utterance, samples = opened(transcriber, pcm)
            async with asyncio.TaskGroup() as group:
                finishing = group.create_task(utterance.finish(samples))
                await until(lambda: utterance.speech_until > samples // 2)  # segments are being decoded
                assert not finishing.done()
                await kill(transcriber, sign)
            assert transcriber.loads == 2
            return undisturbed, finishing.result()

    undisturbed, disturbed = asyncio.run(scene())
    assert undisturbed.text == disturbed.text != ""
    assert undisturbed.segments == disturbed.segments


def test_killed_while_somebody_speaks_nothing_is_lost(tmp_path):
    clip = wheel_clips()[-3]
    half = len(clip.pcm) // 4 * 2
    store = SpoolDirectory(tmp_path / "spool", max_recording_s=60, on_degraded=print)
    store.open()

    async def scene():
        async with running() as transcriber:
            spool = store.take(5)
            utterance = transcriber.open(5, spool.reader_fds(), OPTIONS)
            spool.append(clip.pcm[:half])
            await until(lambda: utterance.speech_until > 0)
            for _ in range(3):  # also more often than one recording may be blamed for
                await kill(transcriber)
            spool.append(clip.pcm[half:])
            spool.close()
            return (await utterance.finish(len(clip.pcm) // 2)).text

    text = asyncio.run(scene())
    store.close()
    assert word_error_rate([(clip.text, text)]) <= 0.1


def test_two_deaths_fail_the_recording_and_no_other():
    async def scene():
        async with running(engine="scripted", **SLOW) as transcriber:
            utterance, samples = opened(transcriber, b"\0\0" * 1600)
            other, _ = opened(transcriber, b"\0\0" * 1600)
            async with asyncio.TaskGroup() as group:
                died = group.create_task(must_die(utterance, samples))
                spared = group.create_task(other.finish(samples))
                await asyncio.sleep(0)
                await kill(transcriber)
                assert not died.done()
                await kill(transcriber)
            assert died.result().hint == "v2m retry 1 --no-vad"
            assert spared.result().text == "take 1"
            assert transcriber.state == "ready"

    asyncio.run(scene())


async def must_die(utterance, samples):
    with pytest.raises(WorkerDiedError, match="died twice") as caught:
        await utterance.finish(samples)
    return caught.value


def test_a_process_that_hangs_is_replaced():
    clip = wheel_clips()[1]

    async def scene():
        async with running(patience_s=0.5) as transcriber:
            os.kill(transcriber.pid, signal.SIGSTOP)
            utterance, samples = opened(transcriber, clip.pcm)
            assert (await utterance.finish(samples)).text == clip.text
            assert transcriber.loads == 2

    asyncio.run(scene())


def test_a_process_that_hangs_for_ever_fails_the_recording():
    async def scene():
        async with running(engine="scripted", texts=["x"], delay_s=3600, patience_s=0.3) as transcriber:
            utterance, samples = opened(transcriber, b"\0\0" * 1600)
            await must_die(utterance, samples)
            await transcriber.wait_ready()

    asyncio.run(scene())


def test_a_slow_decode_with_signs_of_life_is_waited_for():
    async def scene():
        slow = {"texts": ["late"], "delay_s": 12, "step_s": 0.05}
        async with running(engine="scripted", **slow) as transcriber:  # which is otherwise given 5 s
            utterance, samples = opened(transcriber, b"\0\0" * 1600)
            assert (await utterance.finish(samples)).text == "late"
            assert transcriber.loads == 1

    asyncio.run(scene())


def test_after_a_kill_for_silence_the_next_process_is_given_more_time():
    async def scene():
        silent = {"texts": ["late"], "delay_s": 1.5}
        async with running(engine="scripted", **silent, patience_s=1) as transcriber:
            for loads in (2, 3):
                utterance, samples = opened(transcriber, b"\0\0" * 1600)
                assert (await utterance.finish(samples)).text == "late"
                assert transcriber.loads == loads

    asyncio.run(scene())


def test_the_embedded_engine_gives_signs_of_life_while_it_decodes():
    from v2m.infrastructure.engines.moonshine import MoonshineEngine

    engine = MoonshineEngine(folder=wheel_assets() / "tiny-en")
    engine.load()
    signs = []
    stream = engine.open_stream("en")
    stream.feed(wheel_clips()[0].pcm)
    text = stream.finish(lambda: signs.append(1)).text
    assert len(signs) >= len(text.split())


def test_an_idle_process_that_is_stopped_is_left_alone():
    async def scene():
        async with running(engine="scripted", texts=["x"], patience_s=0.1) as transcriber:
            pid = transcriber.pid
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(0.5)
            os.kill(pid, signal.SIGCONT)
            utterance, samples = opened(transcriber, b"\0\0" * 1600)
            assert (await utterance.finish(samples)).text == "x"
            assert transcriber.pid == pid

    asyncio.run(scene())


def test_abandoned_decodes_make_way_for_the_next():
    async def scene():
        async with running(engine="scripted", texts=["x"], delay_s=3) as transcriber:
            async with asyncio.TaskGroup() as group:
                for _ in range(4):
                    unwanted, samples = opened(transcriber, b"\0\0" * 1600)
                    finishing = group.create_task(unwanted.finish(samples))
                    await asyncio.sleep(0)
                    finishing.cancel()
            wanted, samples = opened(transcriber, b"\0\0" * 1600)
            async with asyncio.timeout(3 * 3):  # all five would take 15 s
                assert (await wanted.finish(samples)).text == "x"
            assert transcriber.loads == 1

    asyncio.run(scene())


def test_an_engine_that_never_starts_is_given_up_and_tried_again():

    async def scene():
        transcriber = WorkerProcess(engine="scripted", arguments=["--max-s=many"])
        async with asyncio.TaskGroup() as group:
            running_it = group.create_task(transcriber.run())
            with pytest.raises(EngineError, match="ends while it starts"):
                await transcriber.wait_ready()
            assert transcriber.state == "failed"
            assert "ends while it starts" in transcriber.detail
            utterance, samples = opened(transcriber, b"\0\0" * 1600)
            with pytest.raises(EngineError, match=r"ends while it starts|died twice"):
                await utterance.finish(samples)
            assert not running_it.done()
            await transcriber.aclose()

    asyncio.run(scene())


def test_closing_while_it_starts_leaves_no_process():
    async def scene():
        async with running(ready=False) as transcriber:
            await until(lambda: transcriber.pid is not None)
            pid = transcriber.pid
            utterance, samples = opened(transcriber, clips()[0].pcm)
            async with asyncio.TaskGroup() as group:
                waiting = group.create_task(must_be_stopped(utterance, samples))
                await asyncio.sleep(0)
                await transcriber.aclose()
            assert waiting.done()
            assert not Path(f"/proc/{pid}").exists()

    asyncio.run(scene())


async def must_be_stopped(utterance, samples):
    with pytest.raises(EngineError):
        await utterance.finish(samples)


def test_cancelling_the_daemon_leaves_no_process():
    async def scene():
        transcriber = WorkerProcess(engine="scripted")
        async with asyncio.TaskGroup() as group:
            looking_after = group.create_task(transcriber.run())
            await transcriber.wait_ready()
            pid = transcriber.pid
            looking_after.cancel()
        assert not Path(f"/proc/{pid}").exists()
        await transcriber.aclose()

    asyncio.run(scene())
