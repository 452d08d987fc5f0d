"""What the daemon takes of this machine, from /proc and /sys."""

import os
import time
from pathlib import Path
from typing import Any, Final

WORKER: Final = b"v2m.worker"
_TICKS: Final = os.sysconf("SC_CLK_TCK")  # of a processor's time in /proc/PID/stat
_PAGE: Final = os.sysconf("SC_PAGESIZE")
_UTIME, _STIME, _STARTED = 11, 12, 19  # fields of proc(5) after the name, which may hold spaces and brackets


class ProcGauges:
    """`Gauges` of this process and its workers; a figure that this machine does not give is null."""

    def __init__(self, *, root: Path = Path("/")) -> None:
        self._sys = root / "sys/class"

    def read(self) -> dict[str, Any]:
        """Return processor seconds, resident memory, threads, uptime, power and the graphics processor's load."""
        pid = os.getpid()
        workers = [child for child in _children(pid) if WORKER in _read(Path(f"/proc/{child}/cmdline"))]
        return {
            "daemon": _process(pid),
            "workers": [_process(child) for child in workers],
            "power": self._power(),
            "gpu_busy_percent": self._gpu(),
        }

    def _power(self) -> dict[str, Any]:
        """Return whether a power supply is plugged in, and the charge of the machine's own battery."""
        online: bool | None = None
        percent: int | None = None
        for supply in _listed(self._sys / "power_supply"):
            kind, scope = _text(supply / "type"), _text(supply / "scope")
            if kind in ("Mains", "USB") and (plugged := _number(supply / "online")) is not None:
                online = bool(online) or bool(plugged)
            elif kind == "Battery" and scope != "Device":  # not a mouse's
                percent = _number(supply / "capacity") if percent is None else percent
        return {"plugged_in": online, "battery_percent": percent}

    def _gpu(self) -> int | None:
        """Return the load that the driver shows in a file; a processor that is asleep is left asleep."""
        for card in _listed(self._sys / "drm"):
            if _text(card / "device/power/runtime_status") in ("active", "unsupported", ""):
                busy = _number(card / "device/gpu_busy_percent")
                if busy is not None:
                    return busy
        return None


def _process(pid: int) -> dict[str, Any]:
    """Return figures of a process; null where it has just ended."""
    fields = _read(Path(f"/proc/{pid}/stat")).rpartition(b")")[2].split()
    memory = _read(Path(f"/proc/{pid}/statm")).split()
    if len(fields) <= _STARTED or len(memory) < 2:
        return {"pid": pid, "cpu_s": None, "rss_bytes": None, "uptime_s": None}
    since_boot_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    return {
        "pid": pid,
        "cpu_s": round((int(fields[_UTIME]) + int(fields[_STIME])) / _TICKS, 2),
        "rss_bytes": int(memory[1]) * _PAGE,
        "uptime_s": round(since_boot_s - int(fields[_STARTED]) / _TICKS, 1),
    }


def _children(pid: int) -> list[int]:
    """Return the children that the main thread has started, as asyncio does."""
    return [int(child) for child in _read(Path(f"/proc/{pid}/task/{pid}/children")).split()]


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _text(path: Path) -> str:
    return _read(path).decode(errors="replace").strip()


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.lstrip("-").isdecimal() else None
