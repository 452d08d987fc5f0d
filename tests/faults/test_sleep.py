"""Sleep and waking, told by a logind on a private system bus."""

import asyncio
import gc

import pytest

from support.cloud import KEY, through
from support.container import ask, contained, private_home
from support.logind import logind
from support.speech_server import says, serving
from v2m.application.announce import Announcer
from v2m.application.sleep import Sleep
from v2m.domain.audio import Device
from v2m.domain.errors import CaptureError, CaptureReason
from v2m.infrastructure.desktop.memory import MemoryNotifier
from v2m.infrastructure.desktop.sleep import LogindSleep

pytestmark = [pytest.mark.faults, pytest.mark.timeout(90)]

SCRIPTED = {"transcription.backend": "scripted", "transcription.script": ["what was said"]}


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return private_home(tmp_path, monkeypatch)[0]


def play(home, monkeypatch, scene, **settings):
    """Run a scene with a container on whose system bus there is a logind."""

    async def play_it():
        async with asyncio.timeout(60), logind() as (address, machine):
            monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
            async with contained({**home, **SCRIPTED, **settings}) as (container, output, notifier):
                await machine.locked()
                await scene(machine, container, output, notifier)

    asyncio.run(play_it())
    gc.collect()  # here: what a bus leaves must not be tidied up while CPython 3.11 compiles, which then fails


async def record(container, samples=16000):
    await ask(container, "START_RECORDING")
    while container.dictations.recording.spool.head < samples:
        await asyncio.sleep(0.02)


async def newest(container):
    return (await ask(container, "LIST_HISTORY"))["entries"][0]


async def at_rest(container):
    while container.dictations.state.value != "idle":
        await asyncio.sleep(0.01)


def test_a_recording_is_closed_before_the_machine_sleeps_and_its_text_is_held(home, monkeypatch):
    async def scene(machine, container, output, notifier):
        assert machine.asked == [("sleep", "v2m", "delay")]
        await record(container)
        await machine.sleep()
        assert container.dictations.recording is None  # before the lock was let go
        assert (await newest(container))["duration_s"] >= 1
        await at_rest(container)
        row = await newest(container)
        assert (row["phase"], row["text"]) == ("held", "what was said")
        assert "sleep" in row["reason"]
        assert output.texts == []
        assert any("sleep" in note.body or "sleep" in note.title for note in notifier.shown)

    play(home, monkeypatch, scene)


def test_after_waking_the_next_sleep_is_delayed_too_and_a_key_records(home, monkeypatch):
    async def scene(machine, container, output, _):
        for _ in range(3):
            await machine.sleep()
            await machine.wake()
        await record(container)
        answer = await ask(container, "STOP_RECORDING")
        assert answer["transcription"] == "what was said"
        assert output.texts == ["what was said"]

    play(home, monkeypatch, scene)


def test_what_was_paused_stays_paused(home, monkeypatch):
    async def scene(machine, container, output, _):
        await ask(container, "PAUSE_DAEMON")
        await machine.sleep()
        await machine.wake()
        assert container.dictations.state.value == "paused"

    play(home, monkeypatch, scene)


@pytest.mark.parametrize(("sleeps", "connections"), [(True, 2), (False, 1)])
def test_connections_to_a_service_do_not_outlive_sleep(home, monkeypatch, sleeps, connections):
    async def dictate(container):
        await record(container, 24000)
        await ask(container, "STOP_RECORDING")

    async def play_it():
        async with asyncio.timeout(60), logind() as (address, machine), serving() as service:
            monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
            service.default = says("Hello.")
            async with contained(through(service, home)) as (container, _, _):
                await machine.locked()
                while (await ask(container, "GET_STATUS"))["engine"]["state"] != "ready":
                    await asyncio.sleep(0.02)
                await dictate(container)
                if sleeps:
                    await machine.sleep()
                    await machine.wake()
                    while service.open:
                        await asyncio.sleep(0.01)
                await dictate(container)
                assert service.connections == connections

    asyncio.run(play_it())
    gc.collect()


def test_work_that_takes_too_long_does_not_keep_the_machine_awake(monkeypatch):
    monkeypatch.setattr("v2m.infrastructure.desktop.sleep.BEFORE_S", 0.1)

    async def play_it():
        begun = asyncio.Event()

        async def stuck():
            begun.set()
            await asyncio.Event().wait()

        async def nothing():
            pass

        async with asyncio.timeout(30), logind() as (address, machine), asyncio.TaskGroup() as group:
            watching = group.create_task(LogindSleep(bus_address=address).run(stuck, nothing))
            await machine.locked()
            await machine.sleep()
            assert begun.is_set()
            watching.cancel()

    asyncio.run(play_it())
    gc.collect()


def test_without_a_system_bus_nothing_is_watched():
    async def never():
        raise AssertionError

    asyncio.run(LogindSleep(bus_address=None).run(never, never))


def test_the_lock_goes_with_the_daemon():
    async def nothing():
        pass

    async def play_it():
        async with asyncio.timeout(30), logind() as (address, machine):
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(LogindSleep(bus_address=address).run(nothing, nothing))
                await machine.locked()
                assert machine.is_held()
                watching.cancel()
            assert not machine.is_held()

    asyncio.run(play_it())
    gc.collect()


class Waking:
    """What `Sleep` talks to, after which these microphones are there, or the sound server is not."""

    def __init__(self, devices):
        self._devices = devices
        self.done = []

    async def wake(self):
        self.done.append("wake")

    def drop(self):
        self.done.append("drop")

    async def devices(self):
        if isinstance(self._devices, Exception):
            raise self._devices
        return self._devices


@pytest.mark.parametrize(
    ("devices", "titles"),
    [
        ([Device("mic", "Microphone", default=True)], []),
        ([], ["There is no microphone"]),
        (CaptureError("gone", reason=CaptureReason.NO_SERVER), []),
    ],
)
def test_a_microphone_that_did_not_come_back_is_told(devices, titles):
    async def scene():
        notifier, world = MemoryNotifier(), Waking(devices)
        announcer = Announcer(notifier)
        await Sleep(dictations=world, microphone=world, transcriber=world, announcer=announcer).after()
        async with asyncio.TaskGroup() as group:
            group.create_task(announcer.run())
            await announcer.aclose()
        assert world.done == ["drop", "wake"]
        return [shown.title for shown in notifier.shown]

    assert asyncio.run(scene()) == titles
