"""Under load: START while an hour is transcribed, what the microphone loses then, and the first decode of a process."""

import asyncio
import struct
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from bench._rows import Row
from bench.daemon import quantile
from bench.listening import transcribing
from support.audio import write_wav
from support.daemon import Home, connect, new_home, read_frame, running_daemon, wait_until
from support.pipewire import PipewireSession
from support.speech import RATE, running, transcribe, wheel_clips
from support.virtual import dictation
from v2m.domain import audio

MOST_START_MS = 1.0
MOST_FIRST_TO_FIFTH = 1.1
MOST_MISSING_MS = 50  # graph quanta of up to 1024/48000 s differ by 21 ms; more is a gap
ROUNDS = 40
STARTS = 9  # processes
RECORDED_S = 0.5


def measure(rounds: int = ROUNDS) -> list[Row]:
    """Measure `rounds` recordings beside a transcription; takes two minutes."""
    return [*while_transcribing(rounds), *asyncio.run(first_decode(STARTS))]


class Recorded(NamedTuple):
    """One recording, as status and spool tell of it."""

    open_ms: float  # START read → microphone asked
    overrun: int  # samples that found no room
    missing_ms: float  # against the clock


def while_transcribing(rounds: int) -> list[Row]:
    """START by control byte, with the real microphone and engine, while an hour of audio is transcribed."""
    with TemporaryDirectory() as folder, PipewireSession() as sound:
        hour = write_wav(Path(folder) / "hour.wav", pcm=dictation(1800, seed=3) * 2)
        variables = {name: sound.env[name] for name in ("PIPEWIRE_RUNTIME_DIR", "PULSE_SERVER")}
        with new_home(**variables, V2M_AUDIO__BACKEND="pipewire") as home, running_daemon(home):
            recorded(home)  # the first one connects to PipeWire
            with transcribing(home, hour):
                found = [recorded(home) for _ in range(rounds)]
    opened = [one.open_ms for one in found]
    name = "control byte → microphone open called, p95, while an hour of audio is transcribed"
    note = f"n = {rounds}, most {max(opened):.2f} ms"
    return [
        Row(name, quantile(opened, 0.95), "ms", MOST_START_MS, note),
        Row("samples lost meanwhile", sum(one.overrun for one in found), "", 0),
        Row(
            "audio missing against the clock meanwhile, most",
            max(one.missing_ms for one in found),
            "ms",
            MOST_MISSING_MS,
        ),
    ]


def recorded(home: Home) -> Recorded:
    """Record for a moment and throw it away."""
    time.sleep(0.4)  # people do not dictate twice in that time; the next spool has been made ready
    with connect(home.socket) as key:
        key.sendall(b"\x01")
        read_frame(key)
    wait_until(lambda: _recording(home)["seconds"] > RECORDED_S, what="half a second")
    opened_ms = _recording(home)["stages"]["open"]
    header = home.spools[-1].open("rb").read(audio.SPOOL_HEADER_BYTES)
    home.ask("ABORT_RECORDING")
    head, _, overrun, first_ns, last_ns = struct.unpack_from("=QQQqq", header, audio.OFFSET_HEAD)
    return Recorded(float(opened_ms), overrun, (last_ns - first_ns) / 1e6 - 1000 * head / RATE)


def _recording(home: Home) -> dict[str, Any]:
    recording: dict[str, Any] = home.ask("GET_STATUS")["data"]["recording"]
    return recording


async def first_decode(starts: int) -> list[Row]:
    """The first decode after READY, against the fifth of the same process."""
    clip = wheel_clips()[10].pcm
    first, ratios = [], []
    for _ in range(starts):
        async with running() as transcriber:
            times = [(await transcribe(transcriber, clip)).decode_ms for _ in range(5)]
        first.append(times[0])
        ratios.append(times[0] / times[4])
    name = "first decode after READY / fifth, median"
    note = f"{starts} processes, {median(first):.0f} ms of {len(clip) / 2 / RATE:.1f} s"
    return [Row(name, median(ratios), "×", MOST_FIRST_TO_FIFTH, note)]
