"""Microphones that give zeros: at first, as over Bluetooth, or all the time, as muted ones do. At a real PipeWire."""

import asyncio
import time
from array import array

import pytest

from support.audio import write_wav
from support.container import ask, private_home, run
from support.pipewire import PipewireSession
from support.speech import hum, until
from v2m.application.sign import SILENT_AFTER_S
from v2m.infrastructure.engines.scripted import ScriptedTranscriber

pytestmark = [pytest.mark.faults, pytest.mark.timeout(60)]


@pytest.fixture(scope="module")
def session():
    with PipewireSession() as session:
        yield session


@pytest.fixture
def settings(tmp_path, monkeypatch, session):
    for name in ("PIPEWIRE_RUNTIME_DIR", "PULSE_SERVER"):
        monkeypatch.setenv(name, session.env[name])
    arguments, _ = private_home(tmp_path, monkeypatch)
    return {**arguments, "audio.backend": "pipewire"}


def wav_settings(settings, tmp_path, pcm):
    return {**settings, "audio.backend": "wav", "audio.wav_path": str(write_wav(tmp_path / "it.wav", pcm=pcm))}


def play(settings, scenario):
    """Run a scenario with what is published noted beside it: names and data of events."""

    async def scene(container, output, notifier):
        heard = []

        async def listen():
            with container.events.subscribe(frozenset(("live", "degraded"))) as subscription:
                async for frame in subscription:
                    heard.append((frame["event"], frame["data"]))  # noqa: PERF401 - it is read meanwhile

        async with asyncio.TaskGroup() as group:
            listening = group.create_task(listen())
            await asyncio.sleep(0)
            await scenario(container, notifier, heard)
            listening.cancel()

    run(settings, scene, transcriber=ScriptedTranscriber(["heard"]))


def told(notifier, word) -> bool:
    return any(word in f"{notice.title} {notice.body}" for notice in notifier.shown)


def test_the_sign_waits_for_the_first_sample_that_is_no_zero(settings, session, tmp_path):
    tone = write_wav(tmp_path / "tone.wav", pcm=hum(20))

    async def scenario(container, notifier, heard):
        await ask(container, "START_RECORDING")
        spool = container.dictations.recording.spool
        await until(lambda: spool.head > 3200)  # a fifth of a second, as a headset that changes its profile
        assert spool.peak == 0
        assert not told(notifier, "Recording")
        assert heard == []
        with session.feeding(tone):
            await until(lambda: ("live", {"dictation": 1, "source": "v2m virtual microphone"}) in heard)
            assert spool.peak > 0
            await until(lambda: told(notifier, "Recording"))
            (sign,) = [notice for notice in notifier.shown if notice.title == "Recording"]
            assert sign.sound == "start"
        await ask(container, "ABORT_RECORDING")

    play(settings, scenario)


def test_a_muted_microphone_is_told_within_a_second_and_no_sign_is_given(settings):
    async def scenario(container, notifier, heard):
        began = time.monotonic()
        await ask(container, "START_RECORDING")
        await until(lambda: told(notifier, "microphone is silent"))
        assert time.monotonic() - began < 3  # the promise is 1 s; this machine may be busy
        assert told(notifier, "v2m virtual microphone")
        assert not told(notifier, "Recording")
        assert [name for name, _ in heard] == ["degraded"]
        assert "silent" in (await ask(container, "GET_STATUS"))["degraded"]["capture"]
        await ask(container, "ABORT_RECORDING")
        await until(lambda: heard[-1] == ("degraded", {"what": "capture", "detail": ""}))
        assert "capture" not in (await ask(container, "GET_STATUS"))["degraded"]
        notifier.shown.clear()
        await ask(container, "START_RECORDING")
        await until(lambda: told(notifier, "microphone is silent"))  # each time
        await ask(container, "ABORT_RECORDING")

    play(settings, scenario)


def test_after_its_silence_has_been_told_the_sign_comes_with_the_sound(settings, tmp_path):
    late = bytes(round((SILENT_AFTER_S + 0.3) * 32_000)) + hum(5)

    async def scenario(container, notifier, heard):
        await ask(container, "START_RECORDING")
        await until(lambda: [name for name, _ in heard] == ["degraded", "live", "degraded"])
        assert heard[-1][1] == {"what": "capture", "detail": ""}
        await until(lambda: told(notifier, "Recording"))
        await ask(container, "ABORT_RECORDING")

    play(wav_settings(settings, tmp_path, late), scenario)


def test_a_microphone_that_only_rustles_is_live_and_silent(settings, tmp_path):
    rustle = array("h", [1, -1] * 80_000).tobytes()

    async def scenario(container, notifier, heard):
        await ask(container, "START_RECORDING")
        await until(lambda: told(notifier, "microphone is silent"))
        assert [name for name, _ in heard] == ["live", "degraded"]
        await ask(container, "ABORT_RECORDING")

    play(wav_settings(settings, tmp_path, rustle), scenario)


def test_a_microphone_that_is_heard_at_once_is_not_called_silent(settings, tmp_path):
    async def scenario(container, notifier, heard):
        await ask(container, "START_RECORDING")
        spool = container.dictations.recording.spool
        await until(lambda: spool.head > (SILENT_AFTER_S + 0.3) * 16_000)
        assert [name for name, _ in heard] == ["live"]
        assert not told(notifier, "silent")
        await ask(container, "ABORT_RECORDING")

    play(wav_settings(settings, tmp_path, hum(5)), scenario)
