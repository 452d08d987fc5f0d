"""What happens to a recording when the sound server or the microphone goes away."""

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.audio import write_wav
from support.capture import all_back_ends, recording, store
from support.daemon import connect, new_home, read_frame, running_daemon
from support.pipewire import PipewireSession
from support.speech import until
from v2m.domain.audio import SpoolFlag
from v2m.domain.errors import CaptureError, CaptureReason
from v2m.infrastructure._spool import SpoolDirectory
from v2m.infrastructure.capture.chain import MicrophoneChain
from v2m.infrastructure.capture.pipewire import PipewireMicrophone
from v2m.infrastructure.capture.wav_file import WavFileMicrophone

pytestmark = pytest.mark.faults
__all__ = ["store"]


@pytest.fixture
def session() -> Iterator[PipewireSession]:
    with PipewireSession(V2M_PW_MIC2="1") as session, session.activated():
        yield session


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
        microphone = all_back_ends()
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


def test_the_next_back_end_takes_over_when_the_sound_server_hangs(
    session: PipewireSession, store: SpoolDirectory, tmp_path: Path
) -> None:
    played = WavFileMicrophone(write_wav(tmp_path / "played.wav"))

    async def scenario() -> None:
        async with recording(store, MicrophoneChain([PipewireMicrophone(), played])) as watched:
            session.kill("pipewire", signal.SIGSTOP)
            await until(lambda: watched.recording.backend == played.name)
            await watched.goes_on()
            assert played.name in watched.recording.notice
            session.kill("pipewire", signal.SIGCONT)

    asyncio.run(scenario())


@pytest.mark.parametrize("warm", [True, False])
def test_a_sound_server_that_does_not_answer_is_told_and_holds_up_nothing(
    warm: bool, session: PipewireSession, store: SpoolDirectory
) -> None:
    async def scenario() -> None:
        microphone = all_back_ends()
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
            await asyncio.sleep(0.5)  # a stream that came back would have written by then: there is no event to await
            assert watched.spool.head == report.samples

    asyncio.run(scenario())
