"""The speech process over long times: the same words every way, half an hour, two hours of nothing, PING meanwhile."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

from bench._rows import Row
from bench.daemon import quantile
from support.audio import write_wav
from support.daemon import Home, connect, frame, new_home, read_frame, running_daemon
from support.dictating import dictating, three_ways
from support.speech import RATE, clips, noise, quieter, running, silence
from support.virtual import dictation
from v2m.infrastructure.engines._process import WorkerProcess

LEAST_SAME_PERCENT = 95
MOST_PING_MS = 50
MOST_MORE_MIB = 20  # two hours of audio are 220
HALF_HOUR_S = 1800
HOUR_S = 3600
ROUNDS = 400


def measure(rounds: int = ROUNDS) -> list[Row]:
    """Measure; `rounds` is the number of PINGs while an hour is transcribed. Takes about ten minutes."""
    return [*asyncio.run(_process()), *pings(rounds)]


async def _process() -> list[Row]:
    with TemporaryDirectory() as folder:
        async with running() as transcriber:
            rows = await same_words(transcriber, Path(folder))
            rows += await half_an_hour(transcriber, Path(folder))
        async with running() as transcriber:
            return rows + await nothing(transcriber, Path(folder))


async def same_words(transcriber: WorkerProcess, folder: Path) -> list[Row]:
    """Each clip dictated, read from a file and decoded again."""
    pauses = cycle((0, 0.1, 0.2, 0.3, 0.5, 1.0))
    spoken = [clip for clip in clips() if clip.kind == "speech"]
    same = 0
    for clip in spoken:
        texts = await three_ways(transcriber, folder / clip.id, clip.pcm + silence(next(pauses)))
        same += len(set(texts)) == 1
    note = f"of {len(spoken)}"
    return [
        Row("recordings with other words live, by file or by retry", len(spoken) - same, "", 0.05 * len(spoken), note)
    ]


async def half_an_hour(transcriber: WorkerProcess, folder: Path) -> list[Row]:
    """A dictation of half an hour, recorded as fast as the disk takes it."""
    pcm = dictation(HALF_HOUR_S, seed=7)
    async with dictating(transcriber, folder / "long", max_recording_s=HALF_HOUR_S + 60) as (spool, utterance):
        await _fill(spool, pcm)
        heard = await utterance.finish(spool.head)
    missing = len(pcm) // 2 - round(heard.duration_s * RATE)
    return [
        Row("30-minute dictation, samples not listened to", missing, "", 0, f"{len(heard.text.split())} words"),
        Row("30-minute dictation, work per minute", (heard.vad_ms + heard.decode_ms) / HALF_HOUR_S * 60 / 1000, "s"),
    ]


async def nothing(transcriber: WorkerProcess, folder: Path) -> list[Row]:
    """An hour of a room's noise at several levels, then an hour of zeros."""
    noises = [clip.pcm for clip in clips() if clip.kind == "nonspeech"] + [
        noise(10, level) for level in (-60, -45, -30)
    ]
    room = [quieter(pcm, decibels) for decibels in (0, -20, -40) for pcm in noises]
    before = own_memory_mib(transcriber)
    async with dictating(transcriber, folder / "nothing", max_recording_s=2 * HOUR_S + 60) as (spool, utterance):
        for pcm in cycle(room):
            if spool.head >= HOUR_S * RATE:
                break
            await _fill(spool, pcm)
        for _ in range(HOUR_S // 60):
            await _fill(spool, silence(60))
        heard = await utterance.finish(spool.head)
    return [
        Row("two hours without speech, characters", len(heard.text), "", 0),
        Row(
            "two hours without speech, more memory",
            own_memory_mib(transcriber) - before,
            "MiB",
            MOST_MORE_MIB,
            "without the mapped audio",
        ),
        Row("two hours without speech, detector", heard.vad_ms / 1000, "s"),
    ]


def own_memory_mib(transcriber: WorkerProcess) -> float:
    """Return what the process has in memory that is no file's: not the audio of a recording."""
    status = Path(f"/proc/{transcriber.pid}/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1024


async def _fill(spool, pcm: bytes) -> None:
    """Record as fast as pages are made ready."""
    block = RATE  # bytes: half a second
    for at in range(0, len(pcm), block):
        part = pcm[at : at + block]
        while (taken := 2 * spool.append(part)) < len(part):
            part = part[taken:]
            await asyncio.sleep(0.01)


def pings(rounds: int) -> list[Row]:
    """PING while an hour of audio is transcribed and another client reads nothing."""
    with TemporaryDirectory() as folder:
        file = write_wav(Path(folder) / "hour.wav", pcm=dictation(HALF_HOUR_S, seed=3) * 2)
        with new_home() as home, running_daemon(home), transcribing(home, file), connect(home.socket) as stalled:
            stalled.sendall(frame({"cmd": "SUBSCRIBE"}))
            times = []
            with connect(home.socket) as peer:
                for _ in range(rounds):
                    began = time.perf_counter()
                    peer.sendall(frame({"cmd": "PING"}))
                    read_frame(peer)
                    times.append((time.perf_counter() - began) * 1000)
                    time.sleep(0.05)
    name = "PING while an hour of audio is transcribed and a client reads nothing, p95"
    return [Row(name, quantile(times, 0.95), "ms", MOST_PING_MS, f"n = {rounds}, most {max(times):.1f} ms")]


@contextmanager
def transcribing(home: Home, file: Path) -> Iterator[None]:
    """While the daemon transcribes a file; that it still does at the end is checked."""
    done = threading.Event()
    with connect(home.socket) as peer:
        peer.sendall(frame({"cmd": "TRANSCRIBE_FILE", "data": {"file_path": str(file)}}))

        def wait() -> None:
            try:
                read_frame(peer)
            except (OSError, EOFError):
                return
            done.set()

        waiting = threading.Thread(target=wait, daemon=True)
        waiting.start()
        time.sleep(2)
        yield
        assert not done.is_set(), "the file was transcribed before the measurement ended"
        peer.shutdown(2)
        waiting.join()
