"""PipeWire's session manager links streams; where it is dead, restarted or hung, we link our own."""

import asyncio
import contextlib
import math
import signal
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from support.audio import write_wav
from support.capture import Watched, all_back_ends, recording, store
from support.daemon import wait_until
from support.pipewire import PipewireSession, process_that_records
from support.speech import until
from v2m.domain.audio import SAMPLE_RATE_HZ, SPOOL_HEADER_BYTES
from v2m.domain.errors import CaptureError, CaptureReason
from v2m.infrastructure._spool import SpoolDirectory
from v2m.infrastructure.capture.chain import MicrophoneChain
from v2m.infrastructure.capture.pipewire import PipewireMicrophone

pytestmark = pytest.mark.faults
__all__ = ["store"]

TONE_HZ = 440
TONE_LEVEL = 8000
ATTEMPTS = 4


@pytest.fixture
def session() -> Iterator[PipewireSession]:
    with PipewireSession(V2M_PW_MIC2="1", V2M_PW_STEREO="1") as session, session.activated():
        yield session


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    wave = (TONE_LEVEL * math.sin(2 * math.pi * TONE_HZ * at / SAMPLE_RATE_HZ) for at in range(60 * SAMPLE_RATE_HZ))
    return write_wav(tmp_path / "tone.wav", pcm=array("h", map(int, wave)).tobytes())


def is_tone(heard: np.ndarray) -> bool:
    """Tell whether this is what is played, as loud as PipeWire makes it: it takes 0.71 of each channel of two."""
    at = np.argmax(np.abs(np.fft.rfft(heard))) * SAMPLE_RATE_HZ / len(heard)
    return bool(abs(at - TONE_HZ) <= 20 and 0.65 * TONE_LEVEL < np.abs(heard).max() < 1.5 * TONE_LEVEL)


async def hears(tone: Path, watched: Watched, session: PipewireSession, microphone: str = "v2m_mic") -> None:
    """Wait until what is played is recorded; on a busy machine its player drops some of it, or stalls for good."""
    path = watched.spool.path
    assert path is not None

    def latest() -> np.ndarray:
        return np.fromfile(path, "<i2", watched.spool.head, offset=SPOOL_HEADER_BYTES)[-800:]

    for _ in range(ATTEMPTS):
        with session.feeding(tone, microphone, managed=False), contextlib.suppress(TimeoutError):
            await until(lambda: is_tone(latest()), 5)
            return
    pytest.fail("the tone is not recorded")


def die(session: PipewireSession) -> None:
    session.lose_manager()


def restart(session: PipewireSession) -> None:
    session.lose_manager()
    session.up()


@pytest.mark.parametrize("fault", [die, restart])
def test_the_recording_goes_on(
    fault: Callable[[PipewireSession], None], session: PipewireSession, store: SpoolDirectory, tone: Path
) -> None:
    async def scenario() -> None:
        async with recording(store) as watched:
            await asyncio.to_thread(fault, session)
            await watched.goes_on(2 * SAMPLE_RATE_HZ)
            assert await asyncio.to_thread(session.sources_of, "v2m") == ["v2m_mic"]
            await hears(tone, watched, session)
            report = await watched.recording.close()
            assert (report.lost, report.backend, report.source) == (None, "pipewire", "v2m virtual microphone")
            assert watched.missing_s < 3
            await asyncio.to_thread(wait_until, lambda: not session.links(), what="the end of all links")
            assert await asyncio.to_thread(session.node, "v2m") is None

    asyncio.run(scenario())


@pytest.mark.parametrize(("name", "channels"), [("v2m_mic", 1), ("v2m_stereo", 2)])
@pytest.mark.parametrize("fault", [die, restart])
def test_start_records(
    fault: Callable[[PipewireSession], None],
    name: str,
    channels: int,
    session: PipewireSession,
    store: SpoolDirectory,
    tone: Path,
) -> None:
    async def scenario() -> None:
        await asyncio.to_thread(fault, session)
        microphone = MicrophoneChain([PipewireMicrophone(device=name)])
        for _ in range(2):
            async with recording(store, microphone) as watched:
                pairs = await asyncio.to_thread(session.links)
                assert len(set(pairs)) == len(pairs) == channels, "a stereo source is heard whole"
                assert await asyncio.to_thread(session.sources_of, "v2m") == [name] * channels
                await hears(tone, watched, session, name)
                if fault is die:
                    assert "session manager" in watched.recording.notice
            await asyncio.to_thread(wait_until, lambda: not session.links(), what="the end of all links")
            assert await asyncio.to_thread(session.node, "v2m") is None

    asyncio.run(scenario())


def test_links_that_somebody_else_makes_replace_ours(session: PipewireSession, store: SpoolDirectory) -> None:
    async def scenario() -> None:
        session.lose_manager()
        async with recording(store) as watched:
            assert watched.recording.source == "v2m virtual microphone"
            await asyncio.to_thread(session.link, "v2m_mic2:capture_MONO", "v2m:input_MONO")
            await until(lambda: watched.recording.source == "v2m second microphone")
            await watched.goes_on()
            assert await asyncio.to_thread(session.sources_of, "v2m") == ["v2m_mic2"]
            assert watched.recording.notice == ""

    asyncio.run(scenario())


def test_a_microphone_unplugged_without_a_session_manager_is_replaced(
    session: PipewireSession, store: SpoolDirectory
) -> None:
    session.plug()

    async def scenario() -> None:
        async with recording(store) as watched:
            assert watched.recording.source == "v2m_usb"
            session.lose_manager()
            await until(lambda: watched.recording.notice)
            await watched.goes_on()
            assert await asyncio.to_thread(session.sources_of, "v2m") == ["v2m_usb"]
            await asyncio.to_thread(session.unplug)
            await until(lambda: watched.recording.source == "v2m virtual microphone")
            await watched.goes_on()

    asyncio.run(scenario())


async def source_of(microphone: PipewireMicrophone, store: SpoolDirectory) -> str:
    spool = store.take(1)
    opened = await microphone.open(spool)
    await opened.first_sample()
    source = opened.source
    await opened.close()
    spool.close()
    return source


def test_without_a_session_manager_the_pinned_the_last_heard_or_the_default_microphone_is_taken(
    session: PipewireSession, store: SpoolDirectory
) -> None:
    async def scenario() -> None:
        pinned, heard, listed, new = (PipewireMicrophone(device=name) for name in ("v2m_stereo", "", "", ""))
        async with recording(store, MicrophoneChain([heard])) as watched:
            session.set_default("v2m_mic2")
            await until(lambda: watched.recording.source == "v2m second microphone")
        await listed.devices()
        session.lose_manager()
        assert await source_of(pinned, store) == "v2m stereo microphone"
        assert await source_of(heard, store) == "v2m second microphone"
        assert await source_of(listed, store) == "v2m second microphone"
        assert await source_of(new, store) == "v2m virtual microphone", "the one of the highest priority"
        for microphone in (pinned, heard, listed, new):
            await microphone.aclose()

    asyncio.run(scenario())


@pytest.mark.parametrize("managed_at_first", [True, False])
def test_an_armed_stream_is_linked_while_it_records(
    *, managed_at_first: bool, session: PipewireSession, store: SpoolDirectory
) -> None:
    async def scenario() -> None:
        microphone = PipewireMicrophone(policy="armed")
        if not managed_at_first:
            session.lose_manager()
        await microphone.warm()
        if managed_at_first:
            await asyncio.to_thread(wait_until, lambda: session.sources_of("v2m"), what="the armed stream")
            session.lose_manager()
        for _ in range(2):
            assert await source_of(microphone, store) == "v2m virtual microphone"
            await asyncio.to_thread(wait_until, lambda: not session.links(), what="our links to go")
        await microphone.aclose()

    asyncio.run(scenario())


def test_start_records_while_the_session_manager_hangs(session: PipewireSession, store: SpoolDirectory) -> None:
    async def scenario() -> None:
        session.kill("wireplumber", signal.SIGSTOP)
        microphone = all_back_ends()
        for _ in range(2):
            async with recording(store, microphone) as watched:
                assert watched.recording.backend == "pipewire"
        session.kill("wireplumber", signal.SIGCONT)
        await asyncio.to_thread(wait_until, lambda: session.node("v2m") is None, what="our node to go")
        for _ in range(ATTEMPTS):  # what hung may be slow at first
            async with recording(store, microphone) as watched:
                assert await asyncio.to_thread(session.sources_of, "v2m") == ["v2m_mic"]
                if not watched.recording.notice:
                    return
        pytest.fail("it links again, but we do it ourselves")

    asyncio.run(scenario())


def test_our_links_go_with_the_process(session: PipewireSession, tmp_path: Path) -> None:
    session.lose_manager()
    with process_that_records(session, tmp_path) as child:
        assert child.stdout is not None
        child.stdout.readline()
        wait_until(lambda: session.sources_of("v2m"), what="our links")
        child.kill()
        child.wait()
        wait_until(lambda: not session.links() and session.node("v2m") is None, what="all of it to go")


def test_without_any_source_the_recording_ends_and_its_audio_is_kept(
    session: PipewireSession, store: SpoolDirectory
) -> None:
    async def scenario() -> None:
        async with recording(store) as watched:
            before = watched.spool.head
            session.lose_manager()
            await asyncio.to_thread(session.remove_sources)
            async with asyncio.timeout(30):
                reason = await watched.ended
            report = await watched.recording.close()
            assert report.samples >= before
            assert report.lost == reason != ""
        with pytest.raises(CaptureError) as failure:
            await all_back_ends().open(store.take(2))
        assert failure.value.reason is CaptureReason.NO_DEVICE

    asyncio.run(scenario())
