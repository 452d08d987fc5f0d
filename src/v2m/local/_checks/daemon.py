"""The daemon that runs, and other programs that take the same words."""

import os
import shlex
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from v2m import __version__
from v2m.core.ipc_protocol import PROTOCOL_VERSION
from v2m.infrastructure.service import systemd
from v2m.infrastructure.service.units import SERVICE
from v2m.local._checks.facts import Facts
from v2m.local._checks.finding import Finding, fail, ok, skip, warn
from v2m.local._checks.settings import cure
from v2m.utils.paths import runtime_base

START: Final = "v2m daemon start"
RESTART: Final = "v2m daemon restart"
DESCRIPTORS: Final = 4096  # what the daemon wants, see `daemon.py`
# Programs that listen to the same microphone and type into the same windows, by their processes' names.
RIVALS: Final = frozenset(
    {
        "dictee",
        "dsnote",
        "handy",
        "hyprwhspr",
        "murmure",
        "nerd-dictation",
        "numen",
        "open-whispr",
        "speedofsound",
        "vocalinux",
        "voxtype",
        "whisrs",
    }
)
_INTERPRETERS: Final = ("python", "bash", "sh", "node", "electron")
_PEER: Final = struct.Struct("=3i")  # struct ucred: pid, uid, gid
_CURES: Final = {  # of what the daemon says is degraded
    "storage": "df -h ~",
    "history": RESTART,
    "config": "v2m config reload",
    "microphone": "v2m devices",
}


async def daemon(facts: Facts) -> Finding:
    """A daemon answers."""
    match facts.daemon.manner:
        case "answers":
            return ok(f"toakd answers (pid {facts.daemon.status.get('pid')}, {facts.daemon.ping.get('state')}).")
        case "asleep":
            return ok(facts.daemon.problem)
        case "silent":
            return fail(f"{facts.daemon.problem} It hangs or is stopped.", await _end_hung(facts.daemon.path))
        case "refuses":
            return fail(f"What listens at {facts.daemon.path} is no v2m: {facts.daemon.problem}", RESTART)
        case _:
            return fail(facts.daemon.problem, START, safe=True)


async def _end_hung(path: Path | None) -> str:
    """Return the command that replaces a daemon that listens and does not answer; its audio is kept."""
    pid = _listener(path) if path else 0
    if systemd.is_there() and (await systemd.standing()).pid:
        return f"systemctl --user kill --signal=KILL {SERVICE}"  # it is started again at once
    return f"kill -9 {pid}; {START}" if pid and _name_of(pid) == "toakd" else RESTART


def _listener(path: Path) -> int:
    """Return the process that began to listen, 0 where it cannot be told."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(str(path))
            return int(_PEER.unpack(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))[0])
        except OSError:
            return 0


def version(facts: Facts) -> Finding:
    """Daemon and client are of one version."""
    if not facts.daemon.answers:
        return skip("No daemon answers.")
    ping = facts.daemon.ping
    if ping.get("protocol") != PROTOCOL_VERSION:
        return fail(f"The daemon speaks protocol {ping.get('protocol')}, this v2m {PROTOCOL_VERSION}.", RESTART)
    if ping.get("version") != __version__:
        return warn(f"The daemon is v2m {ping.get('version')}, this one {__version__}.", RESTART)
    return ok(f"v2m {__version__}, protocol {PROTOCOL_VERSION}, on both sides.")


def degraded(facts: Facts) -> Finding:
    """The daemon keeps all of its promises."""
    if not facts.daemon.answers:
        return skip("No daemon answers.")
    told: dict[str, str] = facts.daemon.status.get("degraded") or {}
    if not told:
        return ok("Nothing is degraded.")
    what = next(iter(told))
    return warn(" ".join(f"{name}: {why}" for name, why in told.items()), _CURES.get(what, RESTART))


def settings_in_use(facts: Facts) -> Finding:
    """The daemon runs on the settings that stand in the files, not on the last good ones."""
    if not facts.daemon.answers:
        return skip("No daemon answers.")
    if why := (facts.daemon.status.get("degraded") or {}).get("config"):
        return warn(f"The daemon goes on with the last good settings: {why}", cure(facts))
    return ok("The daemon uses your settings.")


def descriptors(facts: Facts) -> Finding:
    """The daemon may open as many files as it wants to."""
    own = _limit(os.getpid())
    pid = facts.daemon.status.get("pid")
    if pid is None:
        return ok(f"A daemon that is started here may open {own} files.") if own >= DESCRIPTORS else _few(own)
    theirs = _limit(int(pid))
    if theirs >= DESCRIPTORS:
        return ok(f"toakd may open {theirs} files.")
    return warn(f"toakd may open {theirs} files only; it wants {DESCRIPTORS}.", RESTART) if own > theirs else _few(own)


def _few(own: int) -> Finding:
    raise_it = f"sudo prlimit --pid $$ --nofile={DESCRIPTORS}:{DESCRIPTORS} && {RESTART}"
    return warn(f"Programs that are started here may open {own} files only; toakd wants {DESCRIPTORS}.", raise_it)


def _limit(pid: int) -> int:
    """Return how many files a process may let itself open."""
    rows = Path(f"/proc/{pid}/limits").read_text(encoding="ascii").splitlines()
    hard = next(row.split()[4] for row in rows if row.startswith("Max open files"))
    return int(hard) if hard.isdecimal() else DESCRIPTORS


def rivals(_: Facts) -> Finding:
    """No other dictation program runs."""
    found = {name: pid for pid, name in _processes() if name.lower() in RIVALS}
    if not found:
        return ok("No other dictation program runs.")
    pids = " ".join(map(str, found.values()))
    return warn(f"{', '.join(found)} would hear and type the same words (pid {pids}).", f"kill {pids}")


def second_daemon(facts: Facts) -> Finding:
    """No other daemon of v2m runs in this home, on another socket."""
    answering = facts.daemon.status.get("pid")
    others = [pid for pid, name in _processes() if name == "toakd" and pid != answering and _is_at_home(pid)]
    if not others:
        return ok("There is no other toakd.")
    pids = " ".join(map(str, others))
    if facts.daemon.answers:
        return warn(f"Another toakd runs, on another socket (pid {pids}).", f"kill {pids}")
    theirs = _variable_of(others[0], "XDG_RUNTIME_DIR")
    if theirs and theirs != str(runtime_base()):
        evidence = f"toakd runs (pid {pids}) with XDG_RUNTIME_DIR={theirs}, and not at {facts.daemon.path}."
        return warn(evidence, f"export XDG_RUNTIME_DIR={shlex.quote(theirs)}")
    return warn(f"toakd runs (pid {pids}), and does not answer at {facts.daemon.path}.", f"kill {pids}")


def _is_at_home(pid: int) -> bool:
    """Tell whether a process has our home: one in a sandbox is none of our business."""
    return _variable_of(pid, "HOME") == str(Path.home())


def _variable_of(pid: int, name: str) -> str:
    """Return a variable that a process was started with; empty where it cannot be told."""
    with suppress(OSError):
        for word in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            if word.startswith(name.encode() + b"="):
                return word.partition(b"=")[2].decode("utf-8", "replace")
    return ""


def _processes() -> Iterator[tuple[int, str]]:
    """Yield this user's processes by name."""
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdecimal() and entry.stat().st_uid == os.getuid():
                yield int(entry.name), _name_of(int(entry.name))


def _name_of(pid: int) -> str:
    """Return the name of the program, or of the script that an interpreter runs; empty where it has ended."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")[:-1]
    except OSError:
        return ""
    return _program(words) if words else ""


def _program(words: list[str]) -> str:
    names = [Path(word).name for word in words]
    if not names[0].startswith(_INTERPRETERS):
        return names[0]
    if any(word in ("v2m.daemon", "v2m.main") for word in words) and "--daemon" in words:
        return "toakd"
    return next((name for name, word in zip(names[1:], words[1:], strict=True) if not word.startswith("-")), names[0])
