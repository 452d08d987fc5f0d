"""How fast `toak` is, beside empty programs and its Python rung.

Times are ratios inside one run, since the machine is shared; instructions, CPUIDs and system calls are
counted by single steps and are the same in every run.
"""

import os
import platform
import runpy
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench._rows import Row

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "bench" / "trigger"
FLOOR, STATIC, DYNAMIC = "floor F", "empty static glibc", "empty dynamic glibc"
TOAK, PYTHON_RUNG, BARE_PYTHON = "toak --start", "Python rung", "python -I -S -E -c pass"
SLOW_EVERY = 20  # a Python takes a hundred floors: run it in every twentieth round

MOST_FLOORS = 2.5
MOST_STATICS = 0.5
MOST_INSTRUCTIONS = 3000
MOST_SYSTEM_CALLS = 10
MOST_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Timing:
    """Medians of one program, in µs."""

    wall_us: float
    delivered_us: float
    user_us: float
    system_us: float


def measure(rounds: int = 1000) -> list[Row]:
    """Build everything and measure; `rounds` is the number of runs of each native program."""
    with tempfile.TemporaryDirectory(prefix="v2m-bench-") as name:
        folder = Path(name)
        programs = build(folder)
        return [*time_rows(spawn_all(folder, programs, rounds)), *count_rows(folder, programs[TOAK])]


def build(folder: Path) -> dict[str, list[str]]:
    """Compile into the folder; return argument lists by name. A static libc that is missing is left out."""
    hook = runpy.run_path(str(ROOT / "hatch_build.py"))
    trigger = ROOT / "native" / "trigger"
    empty = SOURCES / "empty.c"
    compile_c(SOURCES / "spawnbench.c", folder / "spawnbench", ["-O2"])
    compile_c(SOURCES / "floor.c", folder / "floor", hook["FREESTANDING"])
    compile_c(trigger / "toak.c", folder / "toak", hook["FREESTANDING"])
    compile_c(empty, folder / "dynamic", hook["HOSTED_DYNAMIC"])
    programs = {
        FLOOR: [str(folder / "floor")],
        TOAK: [str(folder / "toak"), "--start"],
        DYNAMIC: [str(folder / "dynamic")],
        PYTHON_RUNG: [sys.executable, str(trigger / "fallback.py"), "--start"],
        BARE_PYTHON: [sys.executable, "-I", "-S", "-E", "-c", "pass"],
    }
    try:
        compile_c(empty, folder / "static", hook["HOSTED_STATIC"])
        programs[STATIC] = [str(folder / "static")]
    except subprocess.CalledProcessError:
        print("bench: no static libc here, one ratio is missing", file=sys.stderr)
    return programs


def compile_c(source: Path, target: Path, flags: Sequence[str]) -> None:
    """Compile one file with $CC or cc."""
    compiler = os.environ.get("CC", "cc").split()
    subprocess.run([*compiler, "-std=gnu11", *flags, str(source), "-o", str(target)], check=True)


def spawn_all(folder: Path, programs: dict[str, list[str]], rounds: int) -> dict[str, Timing]:
    """Run all programs in turns against a listener of the harness."""
    address = str(folder / "s")
    command = [str(folder / "spawnbench"), str(rounds), address]
    for name, words in programs.items():
        every = SLOW_EVERY if words[0] == sys.executable else 1
        command += ["--", name, str(every), "sends" if "--start" in words else "silent", *words]
    environment = {**os.environ, "V2M_SOCKET": address}
    output = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    samples: dict[str, list[list[float]]] = {name: [] for name in programs}
    for line in output.splitlines():
        name, *figures = line.split("\t")
        samples[name].append([float(figure) for figure in figures])
    return {name: summarise(runs) for name, runs in samples.items()}


def summarise(runs: list[list[float]]) -> Timing:
    """Take the median of each column of spawnbench's output."""
    wall_ns, delivered_ns, user_us, system_us = (median(column) for column in zip(*runs, strict=True))
    return Timing(wall_ns / 1000, delivered_ns / 1000, user_us, system_us)


def time_rows(timings: dict[str, Timing]) -> list[Row]:
    """Turn medians into rows, ratios first measured in this run."""
    toak, floor = timings[TOAK], timings[FLOOR]
    rows = [
        Row(f"{name}, spawn to exit p50", timing.wall_us, "us", note=f"{timing.wall_us / floor.wall_us:.2f} F")
        for name, timing in timings.items()
    ]
    rows += [
        Row(f"{TOAK}, byte delivered p50", toak.delivered_us, "us"),
        Row(f"{TOAK}, user CPU p50", toak.user_us, "us"),
        Row(f"{TOAK}, system CPU p50", toak.system_us, "us"),
        Row(f"{TOAK} / {FLOOR}", toak.wall_us / floor.wall_us, "x", MOST_FLOORS),
    ]
    if STATIC in timings:
        rows.append(Row(f"{TOAK} / {STATIC}", toak.wall_us / timings[STATIC].wall_us, "x", MOST_STATICS))
    return rows


def count_rows(folder: Path, command: list[str]) -> list[Row]:
    """Count what does not depend on the machine's load."""
    size = Row("toak, size", Path(command[0]).stat().st_size, "bytes", MOST_BYTES)
    if platform.machine() != "x86_64":
        return [size]
    instructions, cpuids, calls = count_steps(folder, command)
    return [
        Row(f"{TOAK}, instructions", instructions, "", MOST_INSTRUCTIONS),
        Row(f"{TOAK}, CPUID", cpuids, "", 0),
        Row(f"{TOAK}, system calls", calls, "", MOST_SYSTEM_CALLS),
        size,
    ]


def count_steps(folder: Path, command: list[str]) -> tuple[int, int, int]:
    """Single-step a trigger that finds a listener where it usually is, in this process's environment.

    Returns instructions, CPUIDs and system calls; the instructions grow with the environment.
    """
    compile_c(SOURCES / "count.c", folder / "count", ["-O2"])
    (folder / "v2m").mkdir()
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
    environment.pop("V2M_SOCKET", None)
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(folder / "v2m" / "v2m.sock"))
        listener.listen()
        words = [str(folder / "count"), *command]
        counted = subprocess.run(words, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    instructions, cpuids, calls = (int(word) for word in counted.split())
    return instructions, cpuids, calls
