"""What happens to a recording when the sound server, the session manager or the microphone goes away."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from support.daemon import connect, new_home, read_frame, running_daemon
from support.pipewire import PipewireSession
from support.speech import until
from v2m.domain.audio import SpoolFlag
from v2m.domain.errors import CaptureError, CaptureReason
from v2m.infrastructure._spool import SpoolDirectory
from v2m.infrastructure._spool_writer import MappedSpool
from v2m.infrastructure.capture.chain import MicrophoneChain
from v2m.infrastructure.capture.parec import ParecMicrophone
from v2m.infrastructure.capture.pipewire import PipewireMicrophone
from v2m.infrastructure.capture.portaudio import PortaudioMicrophone

pytestmark = pytest.mark.faults


@pytest.fixture
def session() -> Iterator[PipewireSession]:
    with PipewireSession(V2M_PW_MIC2="1") as session, session.activated():
        yield session


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SpoolDirectory]:
    with SpoolDirectory(tmp_path / "spool", max_recording_s=600, on_degraded=pytest.fail) as store:
        yield store


class Watched:
    """A recording as the application holds it: watched for its end meanwhile."""

    def __init__(self, microphone: MicrophoneChain, recording, spool: MappedSpool, ended: asyncio.Task) -> None:
        self.microphone = microphone
        self.recording = recording
        self.spool = spool
        self.ended = ended

    async def goes_on(self, samples: int = 8000, seconds: float = 15) -> None:
        """Wait for half a second of new audio."""
        head = self.spool.head
        async with asyncio.timeout(seconds):
            while self.spool.head < head + samples:
                assert not self.ended.done(), self.ended.result()
                await asyncio.sleep(0.02)


@asynccontextmanager
async def recording(store: SpoolDirectory) -> AsyncIterator[Watched]:
    microphone = MicrophoneChain([PipewireMicrophone(), PortaudioMicrophone(), ParecMicrophone()])
    spool = store.take(1)
    opened = await microphone.open(spool)
    await opened.first_sample()
    async with asyncio.TaskGroup() as group:
        ended = group.create_task(opened.ended())
        watched = Watched(microphone, opened, spool, ended)
        await watched.goes_on()
        yield watched
        ended.cancel()
        await opened.close()
    await microphone.aclose()
    spool.close()


SCRIPTED = {"V2M_TRANSCRIPTION__BACKEND": "scripted", "V2M_TRANSCRIPTION__SCRIPT": '["heard"]'}


@pytest.mark.parametrize("backend", ["pipewire", "auto"])
def test_start_without_any_microphone_is_refused_within_a_second(session: PipewireSession, backend: str) -> None:
    session.remove_sources()
    sound = {name: session.env[name] for name in ("PIPEWIRE_RUNTIME_DIR", "PULSE_SERVER")}
    with new_home(V2M_AUDIO__BACKEND=backend, **SCRIPTED, **sound) as home, running_daemon(home):
        for _ in range(2):
            began = time.monotonic()
            error = home.ask("START_RECORDING")["error"]
            assert time.monotonic() - began < 1
            assert (error["code"], error["reason"]) == ("capture_failed", "no_device")
            assert error["hint"] == "v2m devices"
        with connect(home.socket) as peer:
            peer.sendall(b"\x01")
            assert read_frame(peer)["error"]["reason"] == "no_device"
        assert home.state_now() == "idle"
        assert home.spools == []
        session.plug()
        assert home.ask("START_RECORDING")["status"] == "success"
        time.sleep(0.5)  # more than a tap
        assert home.ask("STOP_RECORDING", deliver="none")["data"]["transcription"] == "heard"


def change_default(session: PipewireSession) -> None:
    session.set_default("v2m_mic2")


def restart_pipewire(session: PipewireSession) -> None:
    session.kill("pipewire")
    session.up()


@pytest.mark.parametrize("fault", [change_default, restart_pipewire])
def test_the_recording_goes_on_after(
    fault: Callable[[PipewireSession], None], session: PipewireSession, store: SpoolDirectory
) -> None:
    async def scenario() -> None:
        async with recording(store) as watched:
            before = watched.spool.head
            await asyncio.to_thread(fault, session)
            await watched.goes_on()
            report = await watched.recording.close()
            assert report.samples >= before + 8000
            assert report.lost is None
            assert report.gap == (SpoolFlag.GAP in watched.spool.flags)
            assert report.gap or fault is change_default

    asyncio.run(scenario())


def test_an_unplugged_microphone_is_replaced_by_the_next_and_taken_again_when_it_is_back(
    session: PipewireSession, store: SpoolDirectory
) -> None:
    session.plug()

    async def scenario() -> None:
        async with recording(store) as watched:
            assert watched.recording.source == "v2m_usb"
            await asyncio.to_thread(session.unplug)
            await watched.goes_on()
            await until(lambda: watched.recording.source == "v2m virtual microphone")
            await asyncio.to_thread(session.plug)
            await watched.goes_on()
            await until(lambda: watched.recording.source == "v2m_usb")

    asyncio.run(scenario())


def test_a_dead_session_manager_ends_the_recording_and_its_audio_is_kept(
    session: PipewireSession, store: SpoolDirectory
) -> None:
    async def scenario() -> None:
        async with recording(store) as watched:
            before = watched.spool.head
            session.kill("wireplumber")
            async with asyncio.timeout(15):
                reason = await watched.ended
            assert reason
            report = await watched.recording.close()
            assert report.samples >= before
            assert report.lost == reason

    asyncio.run(scenario())


def test_a_restarted_session_manager_costs_no_audio_that_was_heard(
    session: PipewireSession, store: SpoolDirectory
) -> None:
    """From 0.5 on WirePlumber links streams that outlived it; before, the recording ends and says why."""

    async def scenario() -> None:
        async with recording(store) as watched:
            before = watched.spool.head
            session.kill("wireplumber")
            await asyncio.to_thread(session.up)
            async with asyncio.timeout(15):
                while not watched.ended.done() and watched.spool.head < before + 16_000:
                    await asyncio.sleep(0.02)
            report = await watched.recording.close()
            assert report.samples >= before
            assert report.lost or report.samples >= before + 16_000

    asyncio.run(scenario())


def test_recording_works_again_after_the_sound_server_was_restarted_while_idle(
    session: PipewireSession, store: SpoolDirectory
) -> None:
    async def scenario() -> None:
        microphone = MicrophoneChain([PipewireMicrophone()])
        await microphone.warm()
        await asyncio.to_thread(restart_pipewire, session)
        await asyncio.sleep(0)
        spool = store.take(1)
        opened = await microphone.open(spool)
        await opened.first_sample()
        assert opened.backend == "pipewire"
        await opened.close()
        await microphone.aclose()
        spool.close()

    asyncio.run(scenario())


def test_a_daemon_that_started_before_the_sound_server_finds_it(
    session: PipewireSession, store: SpoolDirectory
) -> None:
    async def scenario() -> None:
        await asyncio.to_thread(session.down)
        microphone = MicrophoneChain([PipewireMicrophone(), PortaudioMicrophone(), ParecMicrophone()])
        await microphone.warm()
        spool = store.take(1)
        with pytest.raises(CaptureError) as failure:
            await microphone.open(spool)
        assert failure.value.reason is CaptureReason.NO_SERVER
        await asyncio.to_thread(session.up)
        opened = await microphone.open(spool)
        await opened.first_sample()
        await opened.close()
        await microphone.aclose()
        spool.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("warm", [True, False])
def test_a_sound_server_that_does_not_answer_is_told_and_holds_up_nothing(
    warm: bool, session: PipewireSession, store: SpoolDirectory
) -> None:
    async def scenario() -> None:
        microphone = MicrophoneChain([PipewireMicrophone(), PortaudioMicrophone(), ParecMicrophone()])
        if warm:
            await microphone.warm()
        session.kill("pipewire", signal.SIGSTOP)
        spool = store.take(1)
        async with asyncio.timeout(5):
            with pytest.raises(CaptureError):
                await (await microphone.open(spool)).first_sample()
            await microphone.aclose()
        session.kill("pipewire", signal.SIGCONT)
        spool.close()

    asyncio.run(scenario())


def test_a_recording_closed_while_the_microphone_is_being_found_again_stays_closed(
    session: PipewireSession, store: SpoolDirectory
) -> None:
    async def scenario() -> None:
        async with recording(store) as watched:
            session.kill("pipewire")
            await asyncio.sleep(0.1)
            report = await watched.recording.close()
            watched.spool.close()
            await asyncio.to_thread(session.up)
            await asyncio.sleep(0.5)
            assert watched.spool.head == report.samples

    asyncio.run(scenario())
