"""What a microphone that listens before START keeps to itself, and when it lets go."""

import asyncio
import contextlib
import mmap
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from support.audio import write_wav
from support.capture import store
from support.daemon import Home, new_home, running_daemon, wait_until
from support.pipewire import PipewireSession, pipewire
from support.witness import Take, armed, start, witness
from v2m.domain.audio import SAMPLE_RATE_HZ, SPOOL_HEADER_BYTES
from v2m.infrastructure._spool import SpoolDirectory

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]
__all__ = ["pipewire", "store"]

RATE = SAMPLE_RATE_HZ
SOUND = ("PIPEWIRE_RUNTIME_DIR", "PULSE_SERVER", "DBUS_SESSION_BUS_ADDRESS")


def test_until_start_no_file_holds_a_sound(store: SpoolDirectory, tmp_path: Path, pipewire: PipewireSession) -> None:
    noise = write_wav(tmp_path / "noise.wav", seconds=30)

    async def scenario() -> None:
        async with witness(store) as by, armed(1000) as microphone:
            with pipewire.feeding(noise):
                await by.hears_sound()
                await by.hears(RATE)
                (spare,) = (tmp_path / "spool").iterdir()
                assert not any(spare.read_bytes()[SPOOL_HEADER_BYTES:])
                take = await start(microphone, store, by)
                await take.stop()
                assert take.spool.path is not None
                assert any(take.spool.path.read_bytes()[SPOOL_HEADER_BYTES:])

    asyncio.run(scenario())


# --- what is in memory ---

TONE = 12_345  # all samples of the sound: easy to find in memory
WRITE_TONE = f"""
import sys, wave
with wave.open(sys.argv[1], "wb") as file:
    file.setparams((1, 2, 48000, 0, "NONE", ""))
    for _ in range(1000):
        file.writeframes(({TONE}).to_bytes(2, "little") * 4800)
"""


def tone_in_memory() -> int:
    """Count the samples of the tone in memory of this process that is neither a file nor shared."""
    found, page = 0, mmap.mmap(-1, 1 << 20)  # shared, so that what is read is not found again
    with Path("/proc/self/mem").open("rb", buffering=0) as memory:
        for line in Path("/proc/self/maps").read_text().splitlines():
            ends, rights, _, _, inode, *_ = line.split()
            start, end = (int(each, 16) for each in ends.split("-"))
            if not rights.startswith("rw") or inode != "0":
                continue
            with contextlib.suppress(OSError):  # given back meanwhile
                memory.seek(start)
                for at in range(start, end, len(page)):
                    read = memory.readinto(memoryview(page)[: end - at])
                    found += int((np.frombuffer(page, dtype=np.int16, count=read // 2) == TONE).sum())
    return found


@pytest.mark.parametrize("how", ["release", "aclose", "unplug"])
def test_whoever_lets_the_microphone_go_forgets_what_was_heard(
    how: str, tmp_path: Path, pipewire: PipewireSession
) -> None:
    tone = tmp_path / "tone.wav"
    subprocess.run([sys.executable, "-c", WRITE_TONE, tone], check=True)  # not in the memory of this process

    before = tone_in_memory()

    async def scenario() -> None:
        async with armed(1000) as microphone:
            if how == "unplug":
                await asyncio.to_thread(pipewire.plug)
            await asyncio.to_thread(wait_until, lambda: pipewire.sources_of("v2m"), what="the link")
            with pipewire.feeding(tone, "v2m_usb" if how == "unplug" else "v2m_mic"):
                await asyncio.to_thread(wait_until, lambda: tone_in_memory() > before + RATE // 2, what="the tone")
                match how:
                    case "unplug":
                        await asyncio.to_thread(pipewire.unplug)
                        await asyncio.to_thread(
                            wait_until, lambda: pipewire.sources_of("v2m") == ["v2m_mic"], what="the other microphone"
                        )
                    case "release":
                        await microphone.release()
                        await microphone.release()
                    case _:
                        await microphone.aclose()
            assert tone_in_memory() < before + RATE // 20
            gone = how != "unplug"
            await asyncio.to_thread(wait_until, lambda: (pipewire.node("v2m") is None) == gone, what="the node")

    asyncio.run(scenario())


def test_a_microphone_that_was_released_listens_again_when_warmed_or_opened_and_not_before(
    store: SpoolDirectory, pipewire: PipewireSession
) -> None:
    async def scenario() -> None:
        async with witness(store) as by, armed(1000) as microphone:
            for again in (microphone.warm, lambda: start(microphone, store, by)):
                await microphone.release()
                await microphone.devices()
                await asyncio.to_thread(wait_until, lambda: nodes(pipewire) == 1, what="the witness to be alone")
                take = await again()
                if isinstance(take, Take):
                    await take.stop()
                    assert take.report.preroll == 0
                await by.hears(RATE // 2)
                assert nodes(pipewire) == 2
                take = await start(microphone, store, by)
                await take.stop()
                assert take.report.preroll > RATE // 10

    asyncio.run(scenario())


def nodes(session: PipewireSession) -> int:
    return sum(each["info"].get("props", {}).get("node.name") == "v2m" for each in session.dump())


# --- the daemon ---


@pytest.fixture
def home(pipewire: PipewireSession) -> Iterator[Home]:
    with new_home(
        **{name: pipewire.env[name] for name in SOUND},
        V2M_AUDIO__BACKEND="pipewire",
        V2M_AUDIO__POLICY="armed",
        V2M_AUDIO__PREROLL_MS="2000",
        V2M_AUDIO__MIN_RECORDING_MS="1500",
        V2M_TRANSCRIPTION__BACKEND="scripted",
        V2M_TRANSCRIPTION__SCRIPT='["hello"]',
        V2M_TRANSCRIPTION__SCRIPT_DELAY_S="4",
    ) as home:
        yield home


def listens(session: PipewireSession) -> bool:
    return session.sources_of("v2m") == ["v2m_mic"]


def heard_long_enough(home: Home, session: PipewireSession) -> None:
    """Have two seconds of sound in memory, and nothing on disk."""
    wait_until(lambda: listens(session), what="the link")
    time.sleep(2.2)
    assert home.spools == []
    for spare in (home.state / "v2m" / "spool").iterdir():
        assert not any(spare.read_bytes()[SPOOL_HEADER_BYTES:])


def test_a_tap_is_a_tap_whatever_was_heard_before(home: Home, pipewire: PipewireSession) -> None:
    with running_daemon(home):
        heard_long_enough(home, pipewire)
        home.ask("START_RECORDING")
        wait_until(lambda: home.spools, what="the recording")
        home.ask("STOP_RECORDING", wait=False)
        row = home.history()[0]
        assert (row["phase"], row["reason"]) == ("discarded", "tap")
        assert home.spools == []
        assert listens(pipewire)


def test_abort_throws_away_what_was_heard_before_too(home: Home, pipewire: PipewireSession) -> None:
    with running_daemon(home):
        heard_long_enough(home, pipewire)
        home.ask("START_RECORDING")
        wait_until(lambda: home.spools, what="the recording")
        home.ask("ABORT_RECORDING")
        assert home.history()[0]["phase"] == "aborted"
        assert home.spools == []
        assert listens(pipewire)


def test_pause_lets_an_armed_microphone_go_and_resume_takes_it_again(home: Home, pipewire: PipewireSession) -> None:
    with running_daemon(home):
        wait_until(lambda: listens(pipewire), what="the link")
        for _ in range(2):
            assert home.ask("PAUSE_DAEMON")["data"]["state"] == "paused"
            assert home.ask("LIST_DEVICES")["data"]["devices"]
            wait_until(lambda: pipewire.node("v2m") is None, what="the microphone to be let go")
            assert home.ask("RESUME_DAEMON")["data"]["state"] == "idle"
            wait_until(lambda: listens(pipewire), what="the link")


def test_a_daemon_that_ends_lets_an_armed_microphone_go_before_it_finishes(
    home: Home, pipewire: PipewireSession
) -> None:
    with running_daemon(home) as daemon:
        heard_long_enough(home, pipewire)
        home.ask("START_RECORDING")
        time.sleep(1.6)
        daemon.process.send_signal(signal.SIGTERM)
        wait_until(lambda: pipewire.node("v2m") is None, what="the microphone to be let go")
        assert daemon.process.poll() is None, "it still transcribes"
