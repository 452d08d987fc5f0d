"""A daemon that is used for a long time: memory, descriptors, threads, and whether it grows slower."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bench._rows import Row
from bench.daemon import SCRIPTED, memory_kib, quantile
from support.audio import write_wav
from support.daemon import Daemon, Home, connect, frame, new_home, read_frame, running_daemon
from support.speech import wheel_clips

DICTATIONS = 10_000
EMBEDDED_SHARE = 20  # one of so many is decoded by the embedded engine as well
WARM_UP = 200  # caches and pools are filled; of the embedded engine a tenth
MOST_GROWTH_PERCENT = 5.0
MOST_SLOWER = 1.2  # p99 of the last tenth against the first


def measure(rounds: int = DICTATIONS) -> list[Row]:
    """Dictate so often with the scripted engine, and a twentieth of that with the embedded one; takes half an hour."""
    scripted = {"V2M_TRANSCRIPTION__SCRIPT": '["dictation {n}"]', "V2M_AUDIO__MIN_RECORDING_MS": "1"}
    rows = soak("scripted", rounds, WARM_UP, 0.0, **SCRIPTED, **scripted)
    with tempfile.TemporaryDirectory() as folder:
        clip = min((clip for clip in wheel_clips() if clip.kind == "speech"), key=lambda clip: len(clip.pcm))
        wav = write_wav(Path(folder) / "speech.wav", pcm=clip.pcm)
        spoken = {"V2M_AUDIO__BACKEND": "wav", "V2M_AUDIO__WAV_PATH": str(wav)}
        return rows + soak(
            "embedded", rounds // EMBEDDED_SHARE, WARM_UP // 10, min(1.5, len(clip.pcm) / 32_000), **spoken
        )


class Counts(NamedTuple):
    """What must not grow, of the daemon and its speech process."""

    memory_kib: int
    worker_kib: int
    descriptors: int
    threads: int


def counts(daemon: Daemon) -> Counts:
    """Count now."""
    proc, worker = Path(f"/proc/{daemon.pid}"), daemon.worker_pid()
    descriptors = sum(1 for one in (proc / "fd").iterdir() if one.is_symlink())
    return Counts(memory_kib(daemon.pid), memory_kib(worker), descriptors, len(list((proc / "task").iterdir())))


def soak(name: str, dictations: int, warm_up: int, speaks_s: float, **variables: str) -> list[Row]:
    """Dictate, each for so long, into nowhere; time from STOP to its answer."""
    with opened(**variables) as (home, daemon, peer):
        for _ in range(warm_up):
            dictate(peer, speaks_s)
        before = settled(home, daemon)
        times = [dictate(peer, speaks_s) for _ in range(dictations)]
        after = settled(home, daemon)
    tenth = max(1, dictations // 10)
    first, last = quantile(times[:tenth], 0.99), quantile(times[-tenth:], 0.99)
    growth = 100 * (after.memory_kib / before.memory_kib - 1)
    worker = 100 * (after.worker_kib / before.worker_kib - 1)
    what = f"{dictations} dictations, {name} engine"
    size = f"{before.memory_kib / 1024:.1f} → {after.memory_kib / 1024:.1f} MiB"
    worker_size = f"{before.worker_kib / 1024:.1f} → {after.worker_kib / 1024:.1f} MiB"
    return [
        Row(f"{what}: memory growth of the daemon", growth, "%", MOST_GROWTH_PERCENT, size),
        Row(f"{what}: memory growth of the speech process", worker, "%", MOST_GROWTH_PERCENT, worker_size),
        Row(f"{what}: descriptors more than before", after.descriptors - before.descriptors, "", 0.0),
        Row(f"{what}: threads more than before", after.threads - before.threads, "", 0.0),
        Row(
            f"{what}: STOP → text, p99 of the last tenth / first",
            last / first,
            "×",
            MOST_SLOWER,
            f"{1000 * last:.1f} ms",
        ),
    ]


@contextmanager
def opened(**variables: str) -> Iterator[tuple[Home, Daemon, Any]]:
    """Start a daemon; yield it with a connection to it."""
    with new_home(**variables) as home, running_daemon(home) as daemon, connect(home.socket) as peer:
        yield home, daemon, peer


def dictate(peer: Any, speaks_s: float) -> float:
    """Dictate once; return the seconds from STOP to its answer."""
    ask(peer, {"cmd": "START_RECORDING"})
    time.sleep(speaks_s)
    began = time.perf_counter()
    ask(peer, {"cmd": "STOP_RECORDING", "data": {"deliver": "none"}})
    return time.perf_counter() - began


def ask(peer: Any, request: dict[str, Any]) -> None:
    """Send a request that must succeed."""
    peer.sendall(frame(request))
    answer = read_frame(peer)
    assert answer["status"] == "success", answer


def settled(home: Home, daemon: Daemon) -> Counts:
    """Count once nothing is left to do: the spare is made, the last descriptors are closed."""
    home.wait_state("idle")
    time.sleep(1)
    return counts(daemon)
