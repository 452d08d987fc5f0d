"""Every microphone keeps the promises of `domain.ports.Microphone`."""

import asyncio
import contextlib
import os
import time
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from support import speech
from support.audio import write_wav
from support.daemon import wait_until
from support.pipewire import PipewireSession, pipewire
from v2m.domain.errors import CaptureError, CaptureReason
from v2m.domain.ports import Microphone
from v2m.infrastructure._spool import SpoolDirectory, SpoolReader
from v2m.infrastructure._spool_writer import MappedSpool
from v2m.infrastructure.capture.chain import MicrophoneChain
from v2m.infrastructure.capture.parec import ParecMicrophone
from v2m.infrastructure.capture.pipewire import PipewireMicrophone
from v2m.infrastructure.capture.portaudio import PortaudioMicrophone
from v2m.infrastructure.capture.wav_file import WavFileMicrophone

pytestmark = pytest.mark.contract
__all__ = ["pipewire"]

SERVED = {
    "pipewire": PipewireMicrophone,
    "pipewire-armed": lambda: PipewireMicrophone(policy="armed"),
    "pipewire-listening": lambda: PipewireMicrophone(policy="armed", preroll_ms=200),
    "portaudio": PortaudioMicrophone,
    "parec": ParecMicrophone,
    "chain": lambda: MicrophoneChain([PipewireMicrophone(), PortaudioMicrophone(), ParecMicrophone()]),
}

# The virtual microphone and its feeder, not what is tested here, drop graph cycles on a busy machine.
ATTEMPTS = 4


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SpoolDirectory]:
    with SpoolDirectory(tmp_path / "spool", max_recording_s=600, on_degraded=pytest.fail) as store:
        yield store


@pytest.fixture(scope="module")
def sentence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    clip = next(clip for clip in speech.clips() if clip.kind == "speech" and len(clip.pcm) > 2 * 2 * 16_000)
    return write_wav(tmp_path_factory.mktemp("speech") / "sentence.wav", pcm=clip.pcm)


@pytest.fixture(params=[*SERVED, "wav-file"])
def microphone(request: pytest.FixtureRequest, pipewire: PipewireSession, sentence: Path) -> Microphone:
    return WavFileMicrophone(sentence) if request.param == "wav-file" else SERVED[request.param]()


def recorded(spool: MappedSpool) -> np.ndarray:
    with SpoolReader(*spool.reader_fds()) as reader:
        return np.array(array("h", bytes(reader.pcm(0, reader.head))), dtype=float)


def likeness(heard: np.ndarray, spoken: np.ndarray) -> float:
    """Return the correlation at the best lag, to a quarter of a sample: two clocks never agree on whole ones."""
    size = len(heard) + len(spoken)
    product = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(spoken, size))
    at_lag = 4 * np.fft.irfft(product, 4 * size)[: 4 * len(heard)]
    best = int(np.argmax(at_lag))
    part = heard[best // 4 : best // 4 + len(spoken)]
    return float(at_lag[best] / np.linalg.norm(part) / np.linalg.norm(spoken))


def heard_of(wav: Path, spool: MappedSpool) -> float:
    """Return which part of the speech is in the recording, of the stretches of 0.3 s in which somebody speaks.

    A dropped graph cycle moves what follows: hence stretches.
    """
    heard, spoken = recorded(spool), np.array(array("h", speech.read_wav(wav)), dtype=float)
    stretches = [spoken[at : at + 4800] for at in range(0, len(spoken) - 4800, 4800)]
    loud = [stretch for stretch in stretches if np.abs(stretch).max() > 0.1 * np.abs(spoken).max()]
    return float(np.mean([likeness(heard, stretch) > 0.95 for stretch in loud]))


def hears(
    microphone: Microphone, store: SpoolDirectory, session: PipewireSession, wav: Path, source: str = "v2m_mic"
) -> bool:
    spool = store.take(1)
    asyncio.run(record_sentence(microphone, spool, session, wav, source))
    part = heard_of(wav, spool)
    spool.close()
    return part >= 0.8


async def record_sentence(
    microphone: Microphone, spool: MappedSpool, session: PipewireSession, wav: Path, source: str = "v2m_mic"
) -> None:
    recording = await microphone.open(spool)
    await recording.first_sample()
    if isinstance(microphone, WavFileMicrophone):
        await heard(spool, len(speech.read_wav(wav)) // 2)
    else:
        await asyncio.to_thread(session.feed, wav, source)
        await asyncio.sleep(0.25)  # the longest latency of the back ends: what is on its way arrives
    await recording.close()
    await microphone.aclose()


async def heard(spool: MappedSpool, samples: int) -> None:
    async with asyncio.timeout(30):
        while spool.head < samples:
            await asyncio.sleep(0.01)


def test_what_is_spoken_is_recorded_whole(
    microphone: Microphone, store: SpoolDirectory, pipewire: PipewireSession, sentence: Path
) -> None:
    assert any(hears(microphone, store, pipewire, sentence) for _ in range(ATTEMPTS))


def test_a_recording_can_be_closed_twice_and_says_what_it_holds(microphone: Microphone, store: SpoolDirectory) -> None:
    async def scenario() -> None:
        spool = store.take(1)
        recording = await microphone.open(spool)
        await recording.first_sample()
        report = await recording.close()
        assert report == await recording.close()
        head = spool.head
        assert report.samples == head > 0
        assert report.backend == recording.backend
        assert report.source
        await asyncio.sleep(0.05)
        assert spool.head == head, "a closed recording still writes"
        await microphone.aclose()
        await microphone.aclose()
        spool.close()

    asyncio.run(scenario())


def test_the_microphone_can_be_opened_again_and_after_aclose(microphone: Microphone, store: SpoolDirectory) -> None:
    async def scenario() -> None:
        for number in range(3):
            spool = store.take(number)
            recording = await microphone.open(spool)
            await recording.first_sample()
            await recording.close()
            assert spool.head
            spool.close()
            if number == 1:
                await microphone.aclose()
        await microphone.aclose()

    asyncio.run(scenario())


def test_between_release_and_the_next_open_nothing_is_in_the_graph(
    microphone: Microphone, store: SpoolDirectory, pipewire: PipewireSession
) -> None:
    async def scenario() -> None:
        await microphone.warm()
        for _ in range(2):
            await microphone.release()
            await microphone.release()
            await asyncio.to_thread(wait_until, lambda: not linked(pipewire), what="the link to go")
            spool = store.take(1)
            recording = await microphone.open(spool)
            await recording.first_sample()
            await recording.close()
            spool.close()
        await microphone.aclose()

    asyncio.run(scenario())


def test_a_cancelled_open_leaves_the_device_released(
    microphone: Microphone, store: SpoolDirectory, pipewire: PipewireSession
) -> None:
    async def scenario() -> None:
        spool = store.take(1)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):
                recording = await microphone.open(spool)
                await recording.close()  # one that opens without waiting is never cancelled
        await microphone.aclose()
        spool.close()

    asyncio.run(scenario())
    wait_until(lambda: not linked(pipewire), what="the link to go")


def test_cancelled_waits_do_no_harm(microphone: Microphone, store: SpoolDirectory) -> None:
    async def scenario() -> None:
        spool = store.take(1)
        recording = await microphone.open(spool)
        for wait in (recording.first_sample, recording.ended):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.001):
                    await wait()
        await recording.first_sample()
        head = spool.head
        while spool.head == head:
            await asyncio.sleep(0.01)
        await recording.close()
        await microphone.aclose()
        spool.close()

    asyncio.run(scenario())


def test_the_list_names_a_default(microphone: Microphone) -> None:
    async def scenario() -> None:
        devices = await microphone.devices()
        assert sum(device.default for device in devices) == 1
        assert all(device.name and device.description for device in devices)
        await microphone.aclose()

    asyncio.run(scenario())


def test_what_is_warm_starts_like_any_other_and_warming_twice_is_fine(
    microphone: Microphone, store: SpoolDirectory
) -> None:
    async def scenario() -> None:
        await microphone.warm()
        await microphone.warm()
        spool = store.take(1)
        recording = await microphone.open(spool)
        await recording.first_sample()
        await recording.close()
        await microphone.aclose()
        spool.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("name", SERVED)
def test_warming_without_a_sound_server_raises_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("XDG_RUNTIME_DIR", "PIPEWIRE_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setenv("PULSE_SERVER", f"unix:{tmp_path}/none")

    async def scenario() -> None:
        microphone = SERVED[name]()
        await microphone.warm()
        await microphone.aclose()

    asyncio.run(scenario())


@pytest.mark.parametrize("name", SERVED)
def test_without_a_sound_server_start_says_so_within_a_second(
    name: str, store: SpoolDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("XDG_RUNTIME_DIR", "PIPEWIRE_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setenv("PULSE_SERVER", f"unix:{tmp_path}/none")

    async def scenario() -> float:
        microphone = SERVED[name]()
        spool = store.take(1)
        started = time.monotonic()
        with pytest.raises(CaptureError) as failure:
            await (await microphone.open(spool)).first_sample()
        elapsed = time.monotonic() - started
        assert failure.value.reason is CaptureReason.NO_SERVER
        assert failure.value.hint
        await microphone.aclose()
        spool.close()
        return elapsed

    assert asyncio.run(scenario()) <= 1.0


@pytest.mark.parametrize("name", ["pipewire", "portaudio", "parec"])
def test_a_pinned_microphone_that_is_gone_is_replaced_and_told(
    name: str, store: SpoolDirectory, pipewire: PipewireSession
) -> None:
    kind = {"pipewire": PipewireMicrophone, "portaudio": PortaudioMicrophone, "parec": ParecMicrophone}[name]

    async def scenario() -> None:
        microphone = kind(device="v2m_lost")
        spool = store.take(1)
        recording = await microphone.open(spool)
        await recording.first_sample()
        async with asyncio.timeout(5):
            while not recording.notice:
                await asyncio.sleep(0.01)
        assert "v2m_lost" in recording.notice
        await recording.close()
        await microphone.aclose()
        spool.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", [PipewireMicrophone, ParecMicrophone])
def test_a_pinned_microphone_is_heard(
    kind: type[PipewireMicrophone | ParecMicrophone], store: SpoolDirectory, pipewire: PipewireSession, sentence: Path
) -> None:
    microphone = kind(device="v2m_mic2")
    assert any(hears(microphone, store, pipewire, sentence, "v2m_mic2") for _ in range(ATTEMPTS))


def test_a_wav_file_of_another_form_is_refused_with_the_cure(tmp_path: Path, store: SpoolDirectory) -> None:
    wrong = write_wav(tmp_path / "wrong.wav", pcm=bytes(100), rate=44_100)

    async def scenario(path: Path) -> None:
        with pytest.raises(CaptureError) as failure:
            await WavFileMicrophone(path).open(store.take(1))
        assert failure.value.hint

    asyncio.run(scenario(wrong))
    asyncio.run(scenario(tmp_path / "missing.wav"))


def test_after_the_end_of_a_wav_file_there_is_silence_until_the_recording_is_closed(
    tmp_path: Path, store: SpoolDirectory
) -> None:
    pcm = b"\x01\x02" * 1111  # not a whole number of blocks
    path = write_wav(tmp_path / "short.wav", pcm=pcm)

    async def scenario() -> None:
        spool = store.take(1)
        recording = await WavFileMicrophone(path).open(spool)
        started = time.monotonic()
        await heard(spool, 8000)
        assert time.monotonic() - started > 0.4, "faster than real time"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await recording.ended()
        assert recorded(spool)[:1111].tolist() == [0x0201] * 1111
        assert not recorded(spool)[1111:].any()
        report = await recording.close()
        assert (report.lost, report.gap) == (None, False)
        spool.close()

    asyncio.run(scenario())


def test_a_wav_file_can_be_heard_at_once(tmp_path: Path, store: SpoolDirectory) -> None:
    pcm = os.urandom(2 * 16_000 * 120)  # longer than what is populated ahead
    path = write_wav(tmp_path / "long.wav", pcm=pcm)

    async def scenario() -> None:
        spool = store.take(1)
        recording = await WavFileMicrophone(path, realtime=False).open(spool)
        await recording.ended()
        report = await recording.close()
        assert (report.samples, report.overrun, report.gap) == (len(pcm) // 2, 0, False)
        with SpoolReader(*spool.reader_fds()) as reader:
            assert bytes(reader.pcm(0, reader.head)) == pcm
        spool.close()

    asyncio.run(scenario())


def linked(session: PipewireSession) -> list[str]:
    """Return what records in the graph: there is nobody but us."""
    objects = session.dump()
    return [
        each["info"]["props"].get("node.name", "")
        for each in objects
        if each["type"].endswith(":Node") and each["info"]["props"].get("media.class") == "Stream/Input/Audio"
    ]
