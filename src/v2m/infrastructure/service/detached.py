"""A daemon without systemd: started in a session of its own, its log beside its history."""

import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from v2m.infrastructure._run import spawn_detached
from v2m.utils.paths import state_dir

LOG_NAME: Final = "toakd.log"


def log_path() -> Path:
    """Return the log of daemons that were started without systemd."""
    return state_dir() / LOG_NAME


class Detached:
    """A daemon that outlives us."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        """Start it. Raises OSError: the log cannot be written, or the program not be started."""
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            self.said_before = os.fstat(fd).st_size  # what it says begins here
            self.pid = spawn_detached([*command, "--log-file", str(log)], output=fd)
        finally:
            os.close(fd)
        self._ended = False

    def has_ended(self) -> bool:
        """Tell whether it has ended already; it is reaped then."""
        with contextlib.suppress(ChildProcessError):
            self._ended = self._ended or os.waitpid(self.pid, os.WNOHANG)[0] == self.pid
        return self._ended

    def kill(self) -> None:
        """End one that never answered."""
        if not self.has_ended():
            os.kill(self.pid, signal.SIGKILL)
