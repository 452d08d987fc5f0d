"""What the application makes of sound from before START, with a microphone that always has some."""

import asyncio
import ctypes
from pathlib import Path

import pytest

from support.audio import murmur
from support.capture import store
from support.container import ask, private_home, run
from v2m.domain.audio import OFFSET_FIRST_NS, OFFSET_LAST_NS, OFFSET_PREROLL, SAMPLE_RATE_HZ
from v2m.domain.errors import CaptureError, CaptureReason
from v2m.infrastructure._spool import SpoolDirectory
from v2m.infrastructure.capture._report import report
from v2m.infrastructure.capture.chain import MicrophoneChain
from v2m.infrastructure.capture.wav_file import WavFileMicrophone
from v2m.infrastructure.engines.scripted import ScriptedTranscriber

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
__all__ = ["store"]

PREROLL_S = 2
PREROLL = PREROLL_S * SAMPLE_RATE_HZ


class EarlyMicrophone(WavFileMicrophone):
    """One that heard something before START, and counts how often it was let go and taken again."""

    released = 0
    warmed = 0

    async def open(self, spool):
        spool.append(murmur(PREROLL_S))
        ctypes.c_uint64.from_address(spool.header_address + OFFSET_PREROLL).value = PREROLL
        return await super().open(spool)

    async def warm(self):
        self.warmed += 1

    async def release(self):
        self.released += 1


@pytest.fixture
def settings(tmp_path, monkeypatch):
    return private_home(tmp_path, monkeypatch)[0]


@pytest.fixture
def microphone(settings):
    return EarlyMicrophone(Path(settings["audio.wav_path"]))


async def ended(container):
    while container.dictations.recording or container.dictations.queue:
        await asyncio.sleep(0.02)


async def newest(container):
    return (await ask(container, "LIST_HISTORY"))["entries"][0]


def test_what_was_heard_before_start_makes_no_tap_a_recording(settings, microphone):
    async def scenario(container, output, notifier):
        await ask(container, "START_RECORDING")
        await ask(container, "STOP_RECORDING", wait=False)
        return await newest(container), output.texts

    arguments = {**settings, "audio.min_recording_ms": 1000}
    row, texts = run(arguments, scenario, microphone=microphone, transcriber=ScriptedTranscriber(["no"]))
    assert (row["phase"], row["reason"]) == ("discarded", "tap")
    assert texts == []


def test_what_was_heard_before_start_is_part_of_the_recording(settings, microphone):
    async def scenario(container, output, notifier):
        await ask(container, "START_RECORDING")
        while container.dictations.recording.spool.head < PREROLL + SAMPLE_RATE_HZ // 2:
            await asyncio.sleep(0.02)
        await ask(container, "STOP_RECORDING")
        return await newest(container)

    row = run(settings, scenario, microphone=microphone, transcriber=ScriptedTranscriber(["yes"]))
    assert row["text"] == "yes"
    assert row["duration_s"] >= PREROLL_S + 0.5


def test_silence_is_counted_from_start(settings, microphone):
    async def scenario(container, output, notifier):
        await ask(container, "START_RECORDING")
        await ended(container)
        return await newest(container)

    arguments = {**settings, "audio.lost_release_silence_s": 1}
    row = run(arguments, scenario, microphone=microphone, transcriber=ScriptedTranscriber(["still here"]))
    assert row["phase"] == "held"
    assert row["duration_s"] >= PREROLL_S + 1


def test_hands_free_waits_for_a_word_after_start(settings, microphone):
    transcriber = ScriptedTranscriber(["after all"])
    transcriber.speech_until = PREROLL - 4000  # somebody spoke shortly before START

    async def scenario(container, output, notifier):
        await ask(container, "START_RECORDING", until_silence=0.1)
        spool = container.dictations.recording.spool
        while spool.head < PREROLL + SAMPLE_RATE_HZ:
            await asyncio.sleep(0.02)
        assert container.dictations.recording is not None
        transcriber.speech_until = spool.head
        await ended(container)
        return output.texts

    assert run(settings, scenario, microphone=microphone, transcriber=transcriber) == ["after all"]


def test_pause_lets_the_microphone_go_and_resume_takes_it_again(settings, microphone):
    async def scenario(container, output, notifier):
        await ask(container, "START_RECORDING")
        warmed = microphone.warmed
        await ask(container, "PAUSE_DAEMON")
        assert container.dictations.recording is None
        assert (microphone.released, microphone.warmed) == (1, warmed)
        await ask(container, "RESUME_DAEMON")
        assert (microphone.released, microphone.warmed) == (1, warmed + 1)

    run(settings, scenario, microphone=microphone, transcriber=ScriptedTranscriber(["x"]))
    assert microphone.released == 2  # at the end of the daemon, before what was heard is finished


class BrokenMicrophone(EarlyMicrophone):
    """One whose server is not there."""

    name = "pipewire"

    async def open(self, spool):
        raise CaptureError("PipeWire is not there.", reason=CaptureReason.NO_SERVER)


@pytest.mark.parametrize("wants_preroll", [True, False])
def test_a_back_end_that_cannot_listen_before_start_says_so(settings, store, *, wants_preroll):
    broken, stand_in = BrokenMicrophone(Path()), WavFileMicrophone(Path(settings["audio.wav_path"]))

    async def scenario():
        chain = MicrophoneChain([broken, stand_in], wants_preroll=wants_preroll)
        recording = await chain.open(store.take(1))
        await recording.first_sample()
        assert "pipewire does not work" in recording.notice
        assert ("wav-file cannot do audio.preroll_ms" in recording.notice) == wants_preroll
        await recording.close()

    asyncio.run(scenario())
    assert broken.released == 1, "it would hear what the other one records"


def test_a_gap_is_not_hidden_by_what_was_heard_before_start(store: SpoolDirectory):
    spool = store.take(1)
    spool.append(murmur(PREROLL_S))
    spool.append(murmur(0.5))
    for offset, value in ((OFFSET_PREROLL, PREROLL), (OFFSET_FIRST_NS, 10**9), (OFFSET_LAST_NS, 2 * 10**9)):
        ctypes.c_uint64.from_address(spool.header_address + offset).value = value
    told = report(spool, source="", backend="")
    assert told.gap
    assert (told.preroll, told.seconds_since_start) == (PREROLL, 0.5)
    spool.close()
    assert spool.preroll == PREROLL
