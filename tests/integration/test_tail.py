"""The end of a recording: a word that is being spoken is not cut, and where nobody speaks nobody waits."""

import asyncio
from pathlib import Path

import pytest

from support.container import ask, private_home, run
from v2m.domain.transcript import PartialTranscript
from v2m.infrastructure.capture.wav_file import WavFileMicrophone
from v2m.infrastructure.engines.scripted import ScriptedTranscriber

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

TAIL = 4800  # samples: 300 ms


class Silence(asyncio.Event):
    """An end of speech that counts who waits for it."""

    waits = 0

    async def wait(self):
        self.waits += 1
        return await super().wait()


@pytest.fixture
def settings(tmp_path, monkeypatch):
    return private_home(tmp_path, monkeypatch)[0]


@pytest.fixture
def transcriber():
    scripted = ScriptedTranscriber(["to the end"])
    scripted.silence = Silence()
    return scripted


async def recording(container):
    """Start, and return the spool once there is half a second of it."""
    await ask(container, "START_RECORDING")
    spool = container.dictations.recording.spool
    while spool.head < 8000:
        await asyncio.sleep(0.01)
    return spool


def test_a_word_that_is_being_spoken_is_recorded_to_its_end(settings, transcriber):
    async def scenario(container, output, notifier):
        spool = await recording(container)
        released = spool.head
        async with asyncio.TaskGroup() as group:
            stopping = group.create_task(ask(container, "STOP_RECORDING"))
            while spool.head < released + TAIL // 6:
                await asyncio.sleep(0.005)
            assert not stopping.done()
            assert container.dictations.recording is not None
            transcriber.silence.set()
        return released, spool.head, output.texts

    released, end, texts = run(settings, scenario, transcriber=transcriber)
    assert end >= released + TAIL // 6
    assert transcriber.silence.waits == 1
    assert texts == ["to the end"]


def test_nobody_waits_longer_than_the_tail(settings, transcriber):
    async def scenario(container, output, notifier):
        spool = await recording(container)
        released = spool.head
        await ask(container, "STOP_RECORDING")
        return spool.head - released, output.texts

    more, texts = run(settings, scenario, transcriber=transcriber)
    assert more >= 0.9 * TAIL
    assert texts == ["to the end"]


def test_where_nobody_speaks_the_microphone_is_let_go_at_once(settings, transcriber):
    transcriber.silence.set()

    async def scenario(container, output, notifier):
        await recording(container)
        await ask(container, "STOP_RECORDING")

    run(settings, scenario, transcriber=transcriber)
    assert transcriber.silence.waits == 0


def test_a_tail_of_0_waits_for_nothing(settings, transcriber):
    async def scenario(container, output, notifier):
        await recording(container)
        await ask(container, "STOP_RECORDING")

    run({**settings, "audio.tail_ms": 0}, scenario, transcriber=transcriber)
    assert transcriber.silence.waits == 0


def test_a_recording_that_is_thrown_away_waits_for_nothing(settings, transcriber):
    async def scenario(container, output, notifier):
        await recording(container)
        await ask(container, "ABORT_RECORDING")
        await ask(container, "START_RECORDING")
        await ask(container, "STOP_RECORDING", wait=False)  # a tap

    run(settings, scenario, transcriber=transcriber)
    assert transcriber.silence.waits == 0


def test_a_device_that_went_away_says_nothing_more(settings, transcriber):
    async def scenario(container, output, notifier):
        await ask(container, "START_RECORDING")
        while container.dictations.recording or container.dictations.queue:
            await asyncio.sleep(0.01)
        return output.texts

    microphone = WavFileMicrophone(Path(settings["audio.wav_path"]), realtime=False)
    assert run(settings, scenario, transcriber=transcriber, microphone=microphone) != []
    assert transcriber.silence.waits == 0


class Hearing(ScriptedTranscriber):
    """One that has heard something each time it is asked to."""

    def open(self, dictation, audio_fds, options, on_partial=None):
        self.hear = on_partial
        return super().open(dictation, audio_fds, options, on_partial)


def test_what_has_been_heard_is_told_to_whoever_listens_and_said_once_as_final(settings):
    transcriber = Hearing(["One two three."])

    async def scenario(container, output, notifier):
        await recording(container)
        before = container.events.seq
        transcriber.hear(PartialTranscript("One too", 3, 0.5))
        assert container.events.seq == before  # nobody listens
        with container.events.subscribe(frozenset({"partial"})) as told:
            transcriber.hear(PartialTranscript("One too", 3, 0.5))
            await ask(container, "STOP_RECORDING")
            told.close()
            return [frame async for frame in told]

    frames = run(settings, scenario, transcriber=transcriber)
    first, *_, last = [frame["data"] for frame in frames]
    assert (first["text"], first["stable"], first["final"]) == ("One too", 3, False)
    assert (last["text"], last["stable"], last["final"]) == ("One two three.", 14, True)
    assert [frame["data"]["final"] for frame in frames].count(True) == 1
