"""`v2m doctor`: how long all of its checks take on a machine that works, and where nearly everything hangs."""

import os
import signal
import statistics
import time

from bench._rows import Row
from support.daemon import Home, new_home, running_daemon
from support.doctor import QUIET, findings
from support.pipewire import PipewireSession

WORST_S = 10.0  # what a user waits for a verdict, whatever hangs
SOUND = ("PIPEWIRE_RUNTIME_DIR", "PULSE_SERVER", "DBUS_SESSION_BUS_ADDRESS")


def measure(rounds: int = 5) -> list[Row]:
    """Time whole runs, from the process's start to its end."""
    with PipewireSession() as sound:
        heard = {name: sound.env[name] for name in SOUND}
        with new_home(**QUIET, **heard) as home, running_daemon(home):
            well = [_run(home)[0] for _ in range(rounds)]
        with new_home(**heard) as home:
            hung, told = _hung(home, sound)
    count = len(told)
    return [
        Row("doctor, everything works, median", statistics.median(well), "s", WORST_S, f"n = {rounds}, {count} checks"),
        Row("doctor, daemon, PipeWire and settings hang", hung, "s", WORST_S, "settings are a pipe without a writer"),
        Row("checks that then gave no verdict", sum(not check["evidence"] for check in told.values()), "", 0),
    ]


def _hung(home: Home, sound: PipewireSession) -> tuple[float, dict[str, dict[str, str]]]:
    with running_daemon(home) as daemon:
        folder = home.folder / "config" / "v2m"
        folder.mkdir(exist_ok=True)
        os.mkfifo(folder / "config.toml")
        stopped = (daemon.pid, sound.pid("pipewire"))
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            return _run(home)
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)


def _run(home: Home) -> tuple[float, dict[str, dict[str, str]]]:
    began = time.monotonic()
    done = home.v2m("doctor", "--json")
    return time.monotonic() - began, findings(done.stdout)
