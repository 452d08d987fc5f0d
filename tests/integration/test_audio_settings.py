"""What a user sees of the settings of audio: which microphone, how it is kept, and when a recording ends."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from support.audio import write_wav
from support.capture import store
from support.container import ask, private_home, run
from support.daemon import wait_until
from support.pipewire import pipewire
from v2m.config import load_settings
from v2m.core.di.adapters import make_microphone
from v2m.infrastructure.engines.scripted import ScriptedTranscriber

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
__all__ = ["pipewire", "store"]


# --- the microphone -------------------------------------------------------------------------------------


@asynccontextmanager
async def recording(store, **settings):
    """Yield what is recorded under these settings of `audio`, once there is sound, and where."""
    microphone = make_microphone(load_settings({f"audio.{name}": value for name, value in settings.items()}))
    spool = store.take(1)
    try:
        opened = await microphone.open(spool)
        await opened.first_sample()
        yield opened, spool
        await opened.close()
    finally:
        await microphone.aclose()
        spool.close()


@pytest.mark.parametrize(
    ("backend", "used"),
    [("auto", "pipewire"), ("pipewire", "pipewire"), ("portaudio", "portaudio"), ("parec", "parec"), ("wav", "wav")],
)
def test_backend(store, pipewire, tmp_path, backend, used):
    async def scene():
        async with recording(store, backend=backend, wav_path=str(write_wav(tmp_path / "a.wav"))) as (opened, _):
            return opened.backend

    assert asyncio.run(scene()).startswith(used)


def test_wav_path(store, tmp_path):
    async def scene(name):
        path = write_wav(tmp_path / f"{name}.wav", seconds=1)
        async with recording(store, backend="wav", wav_path=str(path)) as (opened, _):
            return opened.source

    assert [asyncio.run(scene(name)) for name in ("one", "two")] == ["one.wav", "two.wav"]


@pytest.mark.parametrize(
    ("device", "source"), [("", "v2m virtual microphone"), ("v2m_stereo", "v2m stereo microphone")]
)
def test_device(store, pipewire, device, source):
    async def scene():
        async with recording(store, device=device) as (opened, _):
            return opened.source

    assert asyncio.run(scene()) == source


def test_policy(store, pipewire):
    async def scene(policy):
        microphone = make_microphone(load_settings({"audio.backend": "pipewire", "audio.policy": policy}))
        try:
            await microphone.warm()
            if policy == "armed":
                await asyncio.to_thread(wait_until, lambda: pipewire.node("v2m"), what="our inactive node")
            return await asyncio.to_thread(pipewire.node, "v2m") is not None
        finally:
            await microphone.aclose()

    assert asyncio.run(scene("armed"))
    wait_until(lambda: pipewire.node("v2m") is None, what="the node to go")
    assert not asyncio.run(scene("released"))


def test_resample_quality(store, pipewire):
    async def scene(**settings):
        async with recording(store, **settings):
            node = await asyncio.to_thread(pipewire.node, "v2m")
            return int(node["info"]["props"]["resample.quality"])

    assert asyncio.run(scene()) == 7
    assert asyncio.run(scene(resample_quality=10)) == 10


def test_preroll(store, pipewire):
    async def scene(preroll_ms):
        """Return the longest sound from before START of some recordings."""
        settings = {"audio.policy": "armed", "audio.preroll_ms": preroll_ms}
        microphone = make_microphone(load_settings(settings))
        await microphone.warm()
        longest = 0
        async with asyncio.timeout(15):
            for _ in range(20):
                spool = store.take(1)
                opened = await microphone.open(spool)
                await opened.first_sample()
                longest = max(longest, (await opened.close()).preroll)
                spool.close()
                if longest == 16 * preroll_ms:
                    break
                await asyncio.sleep(0.25)
        await microphone.aclose()
        return longest

    assert [asyncio.run(scene(preroll_ms)) for preroll_ms in (0, 100, 200)] == [0, 1600, 3200]


# --- when a recording ends ------------------------------------------------------------------------------


@pytest.fixture
def settings(tmp_path, monkeypatch):
    return private_home(tmp_path, monkeypatch)[0]


def recorded(settings, scenario, **audio):
    """Run a scenario with an engine that says what it is told, under these settings of `audio`."""
    arguments = {**settings, **{f"audio.{name}": value for name, value in audio.items()}}
    return run(arguments, scenario, transcriber=ScriptedTranscriber(["said"]))


async def newest(container):
    return (await ask(container, "LIST_HISTORY"))["entries"][0]


async def grown(container, samples):
    """Wait until a recording, which nobody ends, holds so much."""
    spool = container.dictations.recording.spool
    while spool.head < samples:
        assert container.dictations.recording is not None
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(("min_recording_ms", "phase"), [(200, "delivered"), (5000, "discarded")])
def test_min_recording(settings, min_recording_ms, phase):
    async def scenario(container, output, notifier):
        await ask(container, "START_RECORDING")
        await grown(container, 8000)
        await ask(container, "STOP_RECORDING", wait=False)
        while container.dictations.queue:
            await asyncio.sleep(0.01)
        return (await newest(container))["phase"]

    assert recorded(settings, scenario, min_recording_ms=min_recording_ms) == phase


@pytest.mark.parametrize(
    ("verb", "limit"), [("TOGGLE_RECORDING", "toggled_silence_s"), ("START_RECORDING", "lost_release_silence_s")]
)
def test_silence_ends_what_was_started_so(settings, verb, limit):
    async def scenario(container, output, notifier):
        await ask(container, verb)
        async with asyncio.timeout(10):
            while container.dictations.recording or container.dictations.queue:
                await asyncio.sleep(0.02)
        return (await newest(container))["phase"]

    assert recorded(settings, scenario, **{limit: 1}) == "held"


@pytest.mark.parametrize(
    ("verb", "limit"), [("START_RECORDING", "toggled_silence_s"), ("TOGGLE_RECORDING", "lost_release_silence_s")]
)
def test_silence_does_not_end_what_was_started_otherwise(settings, verb, limit):
    async def scenario(container, output, notifier):
        await ask(container, verb)
        await grown(container, 36_000)  # the limit has been looked at twice after the second
        await ask(container, "ABORT_RECORDING")

    recorded(settings, scenario, **{limit: 1})
