"""What stands in for the daemon when its stronger confinement is tried; the exit status says what it could not do.

The statuses are those of `infrastructure.service.hardening`.
"""

import socket
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from v2m.config import load_settings
from v2m.domain.errors import ConfigError
from v2m.infrastructure.service.hardening import WRITABLE
from v2m.utils.paths import config_dir, data_dir, runtime_base

COMMAND: Final = (sys.executable, "-P", "-m", "v2m.local._confinement_probe")
NOT_CONFINED, OWN_FOLDERS, UNREACHABLE, ELSEWHERE, NO_SETTINGS = range(3, 8)
_FORGOTTEN: Final = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - a unit with PrivateTmp has its own, and loses it


def verdict() -> int:
    """Return the exit status, 0 where all is as the daemon needs it."""
    home, run = Path.home(), runtime_base()
    if _is_writable(home):
        return NOT_CONFINED
    ours = [home / place for place in WRITABLE]
    if not all(_is_writable(place) for place in (*ours, run / "v2m") if place.is_dir()):
        return OWN_FOLDERS
    if not all(_is_reachable(run / name) for name in ("pipewire-0", "bus") if (run / name).is_socket()):
        return UNREACHABLE
    try:
        paths = load_settings().paths
    except ConfigError:
        return NO_SETTINGS
    kept = (paths.state(), paths.spool(), config_dir(), data_dir())
    return ELSEWHERE if any(_is_lost(place, ours) for place in kept) else 0


def _is_lost(place: Path, ours: Iterable[Path]) -> bool:
    """Tell whether what is written at `place` would not be there afterwards; the installer makes our own folders."""
    ways = (place, *place.parents)
    if any(one in ways for one in ours):
        return False
    return any(one in ways for one in _FORGOTTEN) or not _is_writable(next(way for way in ways if way.is_dir()))


def _is_writable(folder: Path) -> bool:
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def _is_reachable(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(str(path)) == 0


if __name__ == "__main__":
    sys.exit(verdict())
