"""The daemon's own figures: key → microphone, start-up, idleness, a crowd of clients."""

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench._rows import Row
from support.daemon import Home, ask, connect, frame, new_home, read_frame, running_daemon, wait_until
from support.pipewire import PipewireSession
from v2m.domain.dictation import HistoryEntry, Phase
from v2m.infrastructure.history.sqlite import SqliteHistory

SCRIPTED = {"V2M_TRANSCRIPTION__BACKEND": "scripted", "V2M_AUDIO__BACKEND": "wav"}


def quantile(values: list[float], rank: float) -> float:
    """Return the value at `rank` (0…1) of the sorted values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(rank * (len(ordered) - 1)))]


def key_to_microphone(rounds: int) -> list[Row]:
    """Byte read → `Microphone.open` called, while idle; `bench.load` has it while an engine works."""
    with new_home(V2M_AUDIO__BACKEND="wav") as home, running_daemon(home):
        times = [opened(home) for _ in range(rounds)]
    name = "control byte → microphone open called, p95, idle"
    return [Row(name, quantile(times, 0.95), "ms", 1.0, f"n = {rounds}")]


def opened(home: Home) -> float:
    """Press and abort; return the milliseconds until the microphone was asked to open."""
    time.sleep(0.4)  # people do not dictate twice in that time; the next spool has been made ready
    dictation = home.ask("START_RECORDING")["data"]["dictation"]
    stage = home.ask("GET_STATUS")["data"]["recording"]["stages"]["open"]
    home.ask("ABORT_RECORDING", dictation=dictation)
    return float(stage)


def start_up(rounds: int) -> list[Row]:
    """Process start → socket listening, and → START obeyed, each against a Python that only imports."""
    smallest, models, listening, accepted = [], [], [], []
    for _ in range(rounds):
        smallest.append(importing("asyncio"))
        models.append(importing("asyncio, pydantic_settings"))
        with new_home(**SCRIPTED) as home:
            began = time.perf_counter()
            with running_daemon(home, ready=False):
                listening.append(time.perf_counter() - began)
                with connect(home.socket) as peer:
                    peer.sendall(b"\x01")
                    read_frame(peer)
                accepted.append(time.perf_counter() - began)
    to_listen = statistics.median(listening) / statistics.median(smallest)
    to_obey = statistics.median(accepted) / statistics.median(models)
    obeyed_ms = f"{1000 * statistics.median(accepted):.0f} ms"
    return [
        Row("process start → socket listening, against `import asyncio`", to_listen, "×", 1.5),
        Row("process start → START obeyed, against `import pydantic_settings`", to_obey, "×", 2.5, obeyed_ms),
    ]


def importing(modules: str) -> float:
    """Return the seconds that a Python needs to start, import and end."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {modules}"], check=True)
    return time.perf_counter() - began


@contextmanager
def filled_history(home: Home, rows: int) -> Iterator[None]:
    """Write so many dictations of the last hours before the daemon opens the file."""

    async def fill() -> None:
        folder = home.state / "v2m"
        folder.mkdir(mode=0o700)
        history = SqliteHistory(folder / "history.db", retention_days=30, keep_audio_s=0, keep_trouble_audio_s=0)
        await history.open()
        for number in range(rows, 0, -1):
            began_ns = time.time_ns() - number * 10**9
            dictation = history.next_id()
            await history.begin(HistoryEntry(dictation, began_ns, Phase.RECORDING))
            await history.move(dictation, Phase.ABORTED)
        await history.aclose()

    asyncio.run(fill())
    yield


def telemetry(rounds: int) -> list[Row]:
    """What GET_STATUS takes longer with telemetry than without, with a history of a busy month."""
    with (
        new_home(**SCRIPTED) as home,
        filled_history(home, rows=6000),
        running_daemon(home),
        connect(home.socket) as peer,
    ):

        def ask_once(**data: bool) -> float:
            began = time.perf_counter()
            peer.sendall(frame({"cmd": "GET_STATUS", "data": data}))
            answer = read_frame(peer)
            assert ("telemetry" in answer["data"]) == bool(data), answer
            return 1000 * (time.perf_counter() - began)

        ask_once(telemetry=True)
        pairs = [(ask_once(), ask_once(telemetry=True)) for _ in range(rounds)]
    more = [figures - plain for plain, figures in pairs]
    return [
        Row("telemetry: GET_STATUS takes longer by, p50", statistics.median(more), "ms", 5.0, f"n = {rounds}"),
        Row("telemetry: GET_STATUS takes longer by, p95", quantile(more, 0.95), "ms", 5.0),
    ]


def memory_kib(pid: int) -> int:
    """Resident memory of a process."""
    return next(
        int(line.split()[1])
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmRSS")
    )


def wake_ups(pid: int) -> int:
    """Voluntary context switches of all threads of a process: each is one wait that ended."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        total += next(
            int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("voluntary_ctxt")
        )
    return total


def idleness(seconds: float) -> list[Row]:
    """Wake-ups and memory while nothing happens: real microphone and engine, after a dictation; worker not counted."""
    with PipewireSession() as sound:
        variables = {name: sound.env[name] for name in ("PIPEWIRE_RUNTIME_DIR", "PULSE_SERVER")}
        with new_home(**variables, V2M_AUDIO__BACKEND="pipewire") as home, running_daemon(home) as daemon:
            home.ask("START_RECORDING")
            time.sleep(0.5)
            home.ask("STOP_RECORDING", deliver="none")
            time.sleep(5)  # what the dictation left to do is done
            before = wake_ups(daemon.pid)
            time.sleep(seconds)
            woken = (wake_ups(daemon.pid) - before) / seconds
            memory = memory_kib(daemon.pid) / 1024
    return [
        Row("idle: wake-ups of the daemon", woken, "/s", 0.2),
        Row("idle: memory of the daemon without the worker", memory, "MiB", 60.0),
    ]


def crowd(rounds: int) -> list[Row]:
    """PING with a thousand clients that say nothing, and with a thousand that begin a frame, against none."""

    def ping(home: Home) -> float:
        times = []
        with connect(home.socket) as peer:
            for _ in range(rounds):
                began = time.perf_counter()
                peer.sendall(frame({"cmd": "PING"}))
                read_frame(peer)
                times.append(time.perf_counter() - began)
        return statistics.median(times)

    with new_home(**SCRIPTED, V2M_DAEMON__MAX_CONNECTIONS="1010") as home, running_daemon(home):
        ping(home)
        alone = ping(home)
        others = [connect(home.socket) for _ in range(1000)]
        ping(home)
        idle = ping(home)
        for peer in others:
            peer.sendall(b"\x00")  # each is closed 2 s from now
        ask(home.socket, {"cmd": "PING"})  # answered after all of them have been read
        half_open = ping(home)
        for peer in others:
            peer.close()
        wait_until(lambda: ask(home.socket, {"cmd": "PING"})["status"] == "success", what="room")
        alone = min(alone, ping(home))
    return [
        Row("PING p50 with 1,000 idle clients, against none", idle / alone, "×", 1.2),
        Row("PING p50 with 1,000 half-open clients, against none", half_open / alone, "×", 1.2),
    ]


def measure(rounds: int = 40) -> list[Row]:
    """Return every figure of this file."""
    return [
        *key_to_microphone(rounds),
        *start_up(max(5, rounds // 4)),
        *telemetry(rounds * 5),
        *idleness(20.0),
        *crowd(rounds * 20),
    ]
