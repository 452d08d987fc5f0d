"""How fast the microphone opens and closes, beside what else could record; in a private PipeWire."""

import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench._rows import Row
from v2m.domain.ports import Microphone
from v2m.infrastructure._spool import SpoolDirectory
from v2m.infrastructure.capture.chain import MicrophoneChain
from v2m.infrastructure.capture.parec import ParecMicrophone
from v2m.infrastructure.capture.pipewire import PipewireMicrophone
from v2m.infrastructure.capture.portaudio import PortaudioMicrophone

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from support.pipewire import PipewireSession

SUSPENDED_S = 1.3  # after this the source is suspended again: each start is a cold one
RECORDED_S = 0.2
CHILDREN = {
    "pw-record child": ("pw-record", "--rate=16000", "--channels=1", "--format=s16", "--latency=10ms", "-"),
    "parec child": ("parec", "--raw", "--rate=16000", "--channels=1", "--format=s16le", "--latency-msec=10"),
}


def measure(rounds: int = 20) -> list[Row]:
    """Return the rows; takes a minute and a half."""
    with (
        tempfile.TemporaryDirectory() as folder,
        PipewireSession() as session,
        session.activated(),
        graph_observer(session, Path(folder)) as links_gone,
        SpoolDirectory(Path(folder, "spool"), max_recording_s=7200, on_degraded=sys.exit) as store,
    ):
        rows = asyncio.run(native(store, links_gone, rounds))
        rows += asyncio.run(alternatives(store, max(3, rounds // 4)))
        rows += [row for name, argv in CHILDREN.items() for row in child(name, argv, max(3, rounds // 4))]
        rows += asyncio.run(recovery(store, session))
    return rows


async def native(store: SpoolDirectory, links_gone: list[int], rounds: int) -> list[Row]:
    """Measure the two policies, and what the daemon costs while it waits."""
    microphone = PipewireMicrophone()
    await microphone.warm()
    opened, first, closed, gone = [], [], [], []
    for number in range(rounds):
        await asyncio.sleep(SUSPENDED_S)
        links_gone.clear()
        started = time.monotonic_ns()
        spool = store.take(number)
        recording = await microphone.open(spool)
        opened.append(since(started))
        await recording.first_sample()
        first.append((spool.first_sample_ns - started) / 1e6)
        await asyncio.sleep(RECORDED_S)
        started = time.monotonic_ns()
        await recording.close()
        closed.append(since(started))
        spool.delete()
        for _ in range(100):
            if links_gone:
                break
            await asyncio.sleep(0.01)
        gone.append((links_gone[0] - started) / 1e6)
    idle = await wakeups_per_s(5)
    await microphone.aclose()
    armed = await starts(PipewireMicrophone(policy="armed"), store, max(3, rounds // 2))
    return [
        Row("START → first sample in the spool, median", statistics.median(first), "ms", 15),
        Row("START → first sample in the spool, p95", p95(first), "ms", 25),
        Row("START → first sample, armed, median", statistics.median(armed), "ms"),
        Row("open() holds the loop, p95", p95(opened), "ms", 3, "with taking a spool"),
        Row("STOP → link gone, seen from outside, p95", p95(gone), "ms", 10, "includes the block in flight"),
        Row("STOP → close() returns, p95", p95(closed), "ms", 12),
        Row("idle wake-ups of all threads", idle, "1/s", 0.2, "connected to PipeWire, spool open"),
    ]


async def alternatives(store: SpoolDirectory, count: int) -> list[Row]:
    """Measure the fall-backs in the same way."""
    rows = []
    for microphone in (PortaudioMicrophone(), ParecMicrophone()):
        first_ms = statistics.median(await starts(microphone, store, count))
        rows.append(Row(f"START → first sample, {microphone.name}", first_ms, "ms"))
    return rows


async def starts(microphone: Microphone, store: SpoolDirectory, rounds: int) -> list[float]:
    times = []
    for number in range(rounds + 1):
        await asyncio.sleep(SUSPENDED_S)
        spool = store.take(number)
        started = time.monotonic_ns()
        recording = await microphone.open(spool)
        await recording.first_sample()
        times.append((spool.first_sample_ns - started) / 1e6)
        await recording.close()
        spool.delete()
    await microphone.aclose()
    return times[1:]  # the first one loads libraries


async def recovery(store: SpoolDirectory, session: PipewireSession) -> list[Row]:
    """Measure how long a recording lacks audio when PipeWire is killed and started again."""
    microphone = MicrophoneChain([PipewireMicrophone(), PortaudioMicrophone(), ParecMicrophone()])
    spool = store.take(1)
    recording = await microphone.open(spool)
    await recording.first_sample()
    async with asyncio.TaskGroup() as group:
        watch = group.create_task(recording.ended())
        await asyncio.sleep(0.5)
        session.kill("pipewire")
        await asyncio.to_thread(session.up)
        ready, head = time.monotonic_ns(), spool.head
        while spool.head < head + 160 and not watch.done():
            await asyncio.sleep(0.002)
        elapsed = since(ready)
        watch.cancel()
    await recording.close()
    await microphone.aclose()
    spool.delete()
    return [Row("PipeWire is back → audio again in the same recording", elapsed, "ms", 2000)]


def child(name: str, argv: tuple[str, ...], rounds: int) -> list[Row]:
    """Measure a recorder started as a child, to its first byte."""
    times = []
    for _ in range(rounds):
        time.sleep(SUSPENDED_S)
        started = time.monotonic_ns()
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout is not None
        process.stdout.read(1)
        times.append(since(started))
        process.terminate()
        process.stdout.close()
        process.wait()
    return [Row(f"START → first sample, {name}", statistics.median(times), "ms")]


@contextmanager
def graph_observer(session: PipewireSession, folder: Path) -> Iterator[list[int]]:
    """Yield a list that grows by the time of each link that goes, as another client of PipeWire sees it."""
    source, program = Path(__file__).with_name("pwobs.c"), folder / "pwobs"
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "libpipewire-0.3"], capture_output=True, text=True, check=True
    )
    subprocess.run(["cc", "-O2", "-o", program, source, *flags.stdout.split()], check=True)
    observer = subprocess.Popen([program], stdout=subprocess.PIPE, text=True, env={**os.environ, **session.env})
    gone: list[int] = []

    def read() -> None:
        assert observer.stdout is not None
        for line in observer.stdout:
            seen = json.loads(line)
            if seen["k"] == "rm" and seen["what"] == "link":
                gone.append(seen["t"])

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield gone
    finally:
        observer.kill()
        observer.wait()
        reader.join()


async def wakeups_per_s(seconds: float) -> float:
    """Count how often any thread of this process is woken while nothing records, but for our own timer."""
    await asyncio.sleep(2)
    before = switches()
    await asyncio.sleep(seconds)
    return max(0, switches() - before - 1) / seconds


def switches() -> int:
    texts = [(task / "status").read_text() for task in Path("/proc/self/task").iterdir()]
    return sum(int(found) for text in texts for found in re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.M))


def p95(values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, round(0.95 * len(values)))]


def since(started_ns: int) -> float:
    return (time.monotonic_ns() - started_ns) / 1e6
