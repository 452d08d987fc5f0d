"""The native microphone in a real PipeWire graph: what others see of it, its format, its cost."""

import asyncio
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import speech
from support.audio import write_wav
from support.daemon import wait_until
from support.pipewire import PipewireSession, pipewire, process_that_records
from v2m.domain.errors import CaptureError, CaptureReason
from v2m.infrastructure._spool import SpoolDirectory, SpoolReader
from v2m.infrastructure._spool_writer import MappedSpool
from v2m.infrastructure.capture.pipewire import PipewireMicrophone

pytestmark = pytest.mark.integration
__all__ = ["pipewire"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SpoolDirectory]:
    with SpoolDirectory(tmp_path / "spool", max_recording_s=600, on_degraded=pytest.fail) as store:
        yield store


@pytest.fixture(scope="module")
def sentence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    clip = next(clip for clip in speech.clips() if clip.kind == "speech" and len(clip.pcm) > 2 * 2 * 16_000)
    return write_wav(tmp_path_factory.mktemp("speech") / "sentence.wav", pcm=clip.pcm)


def test_while_idle_nothing_of_ours_is_in_the_graph(store: SpoolDirectory, pipewire: PipewireSession) -> None:
    async def scenario() -> None:
        microphone = PipewireMicrophone()
        await microphone.warm()
        for _ in range(2):
            await asyncio.to_thread(wait_until, lambda: pipewire.node("v2m") is None, what="no node while idle")
            spool = store.take(1)
            recording = await microphone.open(spool)
            await recording.first_sample()
            assert await asyncio.to_thread(pipewire.sources_of, "v2m") == ["v2m_mic"]
            await recording.close()
            spool.close()
        await asyncio.to_thread(wait_until, lambda: pipewire.node("v2m") is None, what="no node after STOP")
        await microphone.aclose()

    asyncio.run(scenario())


def test_while_recording_the_desktop_knows_who_listens(store: SpoolDirectory, pipewire: PipewireSession) -> None:
    async def scenario() -> None:
        microphone = PipewireMicrophone()
        spool = store.take(1)
        recording = await microphone.open(spool)
        await recording.first_sample()
        node = await asyncio.to_thread(pipewire.node, "v2m")
        assert node is not None
        properties = node["info"]["props"]
        assert properties["media.class"] == "Stream/Input/Audio"
        assert properties["application.name"] == "v2m"
        assert properties["media.role"] == "Communication"
        assert recording.source == "v2m virtual microphone"
        await recording.close()
        await microphone.aclose()
        spool.close()

    asyncio.run(scenario())


def test_armed_keeps_an_inactive_node_between_recordings(store: SpoolDirectory, pipewire: PipewireSession) -> None:
    async def scenario() -> None:
        microphone = PipewireMicrophone(policy="armed")
        await microphone.warm()
        for number in range(2):
            node = await asyncio.to_thread(wait_until, lambda: pipewire.node("v2m"), what="our inactive node")
            assert node["info"]["state"] != "running"
            spool = store.take(number)
            recording = await microphone.open(spool)
            await recording.first_sample()
            await recording.close()
            spool.close()
        await microphone.aclose()
        await asyncio.to_thread(wait_until, lambda: pipewire.node("v2m") is None, what="the node to go")

    asyncio.run(scenario())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_link_goes_with_the_process(number: int, pipewire: PipewireSession, tmp_path: Path) -> None:
    with process_that_records(pipewire, tmp_path) as child:
        assert child.stdout is not None
        path = Path(child.stdout.readline().strip())
        wait_until(lambda: pipewire.sources_of("v2m"), what="the link")
        child.send_signal(number)
        child.wait()
        wait_until(lambda: pipewire.node("v2m") is None, what="the node to go", timeout_s=2)
    with SpoolDirectory(tmp_path, max_recording_s=600, on_degraded=pytest.fail) as store:
        ((orphan, samples, _),) = store.orphans(set())
        assert orphan == path
        assert samples > 0, "what was recorded before is there"


def test_a_stereo_source_of_48_khz_arrives_as_16_khz_mono(
    store: SpoolDirectory, pipewire: PipewireSession, sentence: Path
) -> None:
    async def scenario() -> None:
        microphone = PipewireMicrophone(device="v2m_stereo")
        spool = store.take(1)
        recording = await microphone.open(spool)
        await recording.first_sample()
        status = recording.status()
        assert (status.rate_hz, status.channels) == (16_000, 1)
        await asyncio.to_thread(pipewire.feed, sentence, "v2m_stereo")
        report = await recording.close()
        assert recording.notice == ""
        assert report.source == "v2m stereo microphone"
        spoken = speech.read_wav(sentence)
        assert report.peak > 0.5 * max(abs(value) for value in memoryview(spoken).cast("h"))
        assert report.seconds >= 0.9 * len(spoken) / 32_000
        await microphone.aclose()
        spool.close()

    asyncio.run(scenario())


def test_the_callback_meets_no_unpopulated_page(pipewire: PipewireSession) -> None:
    async def scenario() -> None:
        # In memory, so that no sync makes pages read-only meanwhile, which costs one fault each.
        with SpoolDirectory(Path("/nonexistent"), max_recording_s=600, on_degraded=pytest.fail) as store:
            microphone = PipewireMicrophone()
            spool = store.take(1, private=True)
            recording = await microphone.open(spool)
            await recording.first_sample()
            await wait_for_samples(spool, 2 * 16_000)
            status = recording.status()
            assert status.blocks > 30
            assert status.faults == 0
            await recording.close()
            await microphone.aclose()
            spool.close()

    asyncio.run(scenario())


COUNT_ALLOCATIONS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <unistd.h>
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
int counted_thread; unsigned long allocations;
static void count(void) { if (counted_thread && gettid() == counted_thread) allocations++; }
void *malloc(size_t n) { count(); return __libc_malloc(n); }
void *calloc(size_t n, size_t m) { count(); return __libc_calloc(n, m); }
void *realloc(void *p, size_t n) { count(); return __libc_realloc(p, n); }
"""
COUNTED_RECORDING = """
import asyncio, ctypes, sys
from pathlib import Path
from v2m.infrastructure._spool import SpoolDirectory
from v2m.infrastructure.capture.pipewire import PipewireMicrophone

async def main():
    with SpoolDirectory(Path(sys.argv[1]), max_recording_s=600, on_degraded=print) as store:
        spool = store.take(1)
        recording = await PipewireMicrophone().open(spool)
        await recording.first_sample()
        counter = ctypes.CDLL(None)
        thread = ctypes.c_int.in_dll(counter, "counted_thread")
        thread.value = recording.status().thread_id
        blocks = recording.status().blocks
        while recording.status().blocks < blocks + 100:
            await asyncio.sleep(0.05)
        thread.value = 0
        print(ctypes.c_ulong.in_dll(counter, "allocations").value)
        await recording.close()

asyncio.run(main())
"""


def test_the_data_thread_allocates_nothing_while_it_records(pipewire: PipewireSession, tmp_path: Path) -> None:
    library = tmp_path / "count.so"
    source = tmp_path / "count.c"
    source.write_text(COUNT_ALLOCATIONS)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-fno-builtin", source, "-o", library], check=True)
    done = subprocess.run(
        [sys.executable, "-c", COUNTED_RECORDING, tmp_path / "spool"],
        env={**pipewire.env, "LD_PRELOAD": str(library), "PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "0"


def test_capture_goes_on_while_python_is_busy(store: SpoolDirectory, pipewire: PipewireSession) -> None:
    stop = threading.Event()

    def hog() -> None:
        # One C call of about half a second that never lets go of the interpreter.
        while not stop.is_set():
            re.match(r"(a+)+$", "a" * 22 + "b")

    async def scenario() -> None:
        microphone = PipewireMicrophone()
        spool = store.take(1)
        recording = await microphone.open(spool)
        await recording.first_sample()
        thread = threading.Thread(target=hog)
        head, started = spool.head, time.monotonic()
        thread.start()
        time.sleep(3)
        captured_s, elapsed_s = (spool.head - head) / 16_000, time.monotonic() - started
        stop.set()
        thread.join()
        assert captured_s > 0.95 * elapsed_s
        await recording.close()
        await microphone.aclose()
        spool.close()

    asyncio.run(scenario())


def test_between_recordings_the_capture_threads_sleep(store: SpoolDirectory, pipewire: PipewireSession) -> None:
    def woken() -> int:
        total = 0
        for task in Path("/proc/self/task").iterdir():
            name = (task / "comm").read_text().strip()
            if name in {"v2m-capture", "data-loop.0"} or name.startswith("v2m"):
                text = (task / "status").read_text()
                total += sum(int(line.split()[1]) for line in text.splitlines() if "ctxt_switches" in line)
        return total

    async def scenario() -> None:
        microphone = PipewireMicrophone()
        spool = store.take(1)
        recording = await microphone.open(spool)
        await recording.first_sample()
        await recording.close()
        spool.close()
        quiet, deadline = False, time.monotonic() + 10
        while not quiet and time.monotonic() < deadline:
            before = woken()
            time.sleep(1.5)
            quiet = woken() == before
        assert quiet
        await microphone.aclose()

    asyncio.run(scenario())


def test_without_any_microphone_start_says_so_within_a_second(tmp_path: Path, store: SpoolDirectory) -> None:
    with PipewireSession() as session, session.activated():
        session.remove_sources()

        async def scenario(microphone: PipewireMicrophone, *, warm: bool) -> None:
            if warm:
                await microphone.warm()
            spool = store.take(1)
            started = time.monotonic()
            with pytest.raises(CaptureError) as failure:
                await microphone.open(spool)
            assert time.monotonic() - started < 1
            assert failure.value.reason is CaptureReason.NO_DEVICE
            assert failure.value.hint
            node = await asyncio.to_thread(session.node, "v2m")
            assert node is None or node["info"]["state"] != "running", "it listens all the same"
            assert spool.head == 0
            await microphone.aclose()
            spool.close()

        asyncio.run(scenario(PipewireMicrophone(), warm=False))
        asyncio.run(scenario(PipewireMicrophone(policy="armed"), warm=True))
        asyncio.run(scenario(PipewireMicrophone(device="v2m_gone"), warm=True))


def test_a_microphone_that_was_plugged_in_meanwhile_is_heard(tmp_path: Path, store: SpoolDirectory) -> None:
    with PipewireSession() as session, session.activated():
        session.remove_sources()

        async def scenario() -> None:
            microphone = PipewireMicrophone()
            await microphone.warm()
            spool = store.take(1)
            for _ in range(2):
                with pytest.raises(CaptureError):
                    await microphone.open(spool)
                await asyncio.to_thread(session.plug)
                recording = await microphone.open(spool)
                await recording.first_sample()
                assert recording.source == "v2m_usb"
                await recording.close()
                await asyncio.to_thread(session.unplug)
                await asyncio.to_thread(
                    wait_until, lambda: session.node("v2m_usb") is None, what="the microphone to go"
                )
            await microphone.aclose()
            spool.close()

        asyncio.run(scenario())


def test_the_worker_sees_the_audio_while_it_is_recorded(store: SpoolDirectory, pipewire: PipewireSession) -> None:
    async def scenario() -> None:
        microphone = PipewireMicrophone()
        spool = store.take(3)
        recording = await microphone.open(spool)
        with SpoolReader(*spool.reader_fds()) as reader:
            await recording.first_sample()
            seen = reader.head
            assert seen > 0
            await wait_for_samples(spool, seen + 1600)
            assert reader.head >= seen + 1600
        await recording.close()
        await microphone.aclose()
        spool.close()

    asyncio.run(scenario())


async def wait_for_samples(spool: MappedSpool, count: int) -> None:
    async with asyncio.timeout(20):
        while spool.head < count:
            await asyncio.sleep(0.01)
