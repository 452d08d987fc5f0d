"""What the machine and the installation bring."""

import ctypes
import shlex
import shutil
import sqlite3
import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import v2m
from v2m.domain.errors import CaptureError
from v2m.local._checks.facts import Facts
from v2m.local._checks.finding import Finding, fail, ok, warn
from v2m.local._checks.storage import open_history
from v2m.utils.paths import set_variables

DAY_S: Final = 86_400
_BUILD: Final = "apt install gcc pkg-config libpipewire-0.3-dev"
_LANDLOCK: Final = 444  # landlock_create_ruleset(2): the number is the same on every architecture
_ASK_VERSION: Final = 1  # LANDLOCK_CREATE_RULESET_VERSION


def trigger(_: Facts) -> Finding:
    """`toak` is the native program, and a hotkey finds it."""
    own = Path(sys.executable).with_name("toak")
    found = shutil.which("toak")
    if found is None and not own.is_file():
        return fail("toak is not installed.", f"{_BUILD} && {_again()}")
    path = Path(found) if found else own
    with path.open("rb") as program:
        is_native = program.read(4) == b"\x7fELF"
    if not is_native:
        return warn(f"{path} is the slow script: each press takes 20 ms longer.", f"{_BUILD} && {_again()}")
    if found is None:
        return warn(f"{own} is not on PATH: bind its full path, or link it.", _link(own))
    return ok(f"{path} is native.")


def _link(own: Path) -> str:
    """Return the command that puts it where hotkeys look, or that shows what to bind."""
    on_path = set_variables(["PATH"]).get("PATH", "").split(":")
    usual = [Path.home() / ".local/bin", Path.home() / "bin"]
    place = next((folder for folder in usual if str(folder) in on_path), None)
    if place is None:
        return "v2m hotkey print"
    link = shlex.quote(str(place / "toak"))
    return f"mkdir -p {shlex.quote(str(place))} && ln -sf {shlex.quote(str(own))} {link}"


def _again() -> str:
    return f"{shlex.quote(sys.executable)} -m pip install --force-reinstall --no-deps v2m"


def native_microphone(_: Facts) -> Finding:
    """The library that reads from PipeWire was built and fits."""
    from v2m.infrastructure.capture._pwcapture import load_library

    try:
        load_library()
    except CaptureError as error:
        return warn(f"{error} Another way to the microphone is slower.", f"{_BUILD} && {_again()}")
    return ok("The native microphone is there.")


def confinement(facts: Facts) -> Finding:
    """The speech process is kept from files and network, or would be."""
    engine = facts.daemon.status.get("engine") or {}
    if engine.get("confined"):
        return ok("The speech process writes no file and opens no socket.")
    if why := engine.get("exposed"):
        return warn(f"The speech process is not confined: {why}.")
    abi = ctypes.CDLL(None, use_errno=True).syscall(_LANDLOCK, None, 0, _ASK_VERSION)
    if abi < 0:
        return warn("This kernel has no Landlock: the speech process is not confined.")
    if abi < 4:  # TCP rules came with ABI 4 (Linux 6.7)
        return ok(f"Landlock ABI {abi}: files are kept from the speech process, the network is not.")
    return ok(f"Landlock ABI {abi}: the speech process is kept from files and network.")


def clock(facts: Facts) -> Finding:
    """The clock is not behind what it has been."""
    known = [Path(v2m.__file__).stat().st_mtime]
    with (
        suppress(sqlite3.Error, OSError, IndexError, TypeError),
        closing(open_history(facts.state() / "history.db")) as rows,
    ):
        known.append(rows.execute("SELECT max(started_ns) FROM dictation").fetchone()[0] / 1e9)
    behind = max(known) - time.time()
    if behind > DAY_S:
        return warn(
            f"The clock is {behind / DAY_S:.0f} days behind the newest of our files.", "timedatectl set-ntp true"
        )
    return ok("The clock is not behind.")


def ffmpeg(_: Facts) -> Finding:
    """Films and compressed recordings can be read."""
    if shutil.which("ffmpeg"):
        return ok("ffmpeg is there.")
    return warn("Without ffmpeg v2m transcribe reads WAV, FLAC, OGG, MP3 and AIFF only.", "apt install ffmpeg")
