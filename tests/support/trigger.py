"""Builds `toak` in each of its ways and stands in for the daemon at the other end of its socket."""

import os
import runpy
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TRIGGER = ROOT / "native" / "trigger"
RUNGS = ("freestanding", "static", "dynamic", "python")
NATIVE_RUNGS = RUNGS[:-1]
PATIENCE_S = 20  # far more than anything here takes: a hang fails, a slow machine does not


def tool(name: str, package: str) -> str:
    """Return a program's path; skip the test where it is not installed."""
    return shutil.which(name) or pytest.skip(f"{name} is not installed (apt install {package})")


def trigger_flags(rung: str) -> tuple[str, ...]:
    """Return the compiler's flags of the build hook."""
    hook = runpy.run_path(str(ROOT / "hatch_build.py"))
    names = {"freestanding": "FREESTANDING", "static": "HOSTED_STATIC", "dynamic": "HOSTED_DYNAMIC"}
    return (*hook["WARNINGS"], *hook[names[rung]])


def build_trigger(rung: str, folder: Path) -> list[str]:
    """Return the words that run the trigger, built by the hook's flags."""
    if rung == "python":
        return [sys.executable, str(TRIGGER / "fallback.py")]
    target = folder / "toak"
    subprocess.run([tool("cc", "gcc"), *trigger_flags(rung), str(TRIGGER / "toak.c"), "-o", str(target)], check=True)
    return [str(target)]


def run_toak(
    command: Sequence[str], *words: str, env: Mapping[str, str], cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run to the end; there is no PATH unless `env` has one, so that no desktop sees our failures."""
    return subprocess.run(
        [*command, *words],
        env={"PATH": "/nonexistent", **env},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


@contextmanager
def runtime_dir() -> Iterator[Path]:
    """Make a short private directory: a socket's path has 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="v2m-") as name:
        yield Path(name)


@contextmanager
def listening(path: Path, backlog: int = 16) -> Iterator[socket.socket]:
    """Listen like the daemon does."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(path))
        listener.listen(backlog)
        listener.settimeout(PATIENCE_S)
        yield listener


def received(listener: socket.socket) -> bytes:
    """Return everything the one connection sends until it closes; a second connection is an error."""
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(PATIENCE_S)
        data = b"".join(iter(lambda: connection.recv(64), b""))
    assert nobody_waits(listener), "a second connection was made"
    return data


def nobody_waits(listener: socket.socket) -> bool:
    """Tell whether no connection is in the queue."""
    listener.setblocking(False)
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return True
    return False
