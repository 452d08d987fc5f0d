"""Who is at a daemon's socket, told by what the kernel shows: connecting would start one where systemd listens.

Standard library only, as `paths`.
"""

import contextlib
import os
from pathlib import Path
from typing import Final

from v2m.utils.paths import SOCKET_NAME

_SOCKETS: Final = Path("/proc/net/unix")  # proc_net(5)
_LOCKS: Final = Path("/proc/locks")  # proc_locks(5)
_ACCEPTS: Final = 0x10000  # __SO_ACCEPTCON, among the flags of /proc/net/unix


def lock_path(path: Path) -> Path:
    """Return the lock file of the daemon whose socket is at `path`; touches no file."""
    return path.with_name("lock") if path.name == SOCKET_NAME else path.with_name(path.name + ".lock")


def is_listened_at(path: Path) -> bool:
    """Tell whether a process listens on a socket that was bound at `path`; nobody is disturbed by the question.

    Our own daemons bind elsewhere and rename, so it is systemd.
    """
    with contextlib.suppress(OSError), _SOCKETS.open("rb") as sockets:
        name = os.fsencode(path)
        for line in sockets:  # address, references, protocol, flags, type, state, inode, path
            words = line.rstrip(b"\n").split(None, 7)
            if len(words) == 8 and words[7] == name and int(words[3], 16) & _ACCEPTS:
                return True
    return False


def daemon_at(path: Path) -> int | None:
    """Return the pid of the daemon that holds the lock beside `path`, 0 without one; None: it cannot be told."""
    try:
        inode = lock_path(path).stat().st_ino
    except OSError:
        return 0
    try:
        rows = [row.split() for row in _LOCKS.read_text(encoding="ascii").splitlines()]
    except OSError:
        return None
    # number, kind, manner, access, pid, device:device:inode, …; who waits for a lock has "->" behind the number
    held = (row for row in rows if len(row) > 5 and row[1] == "FLOCK" and row[5].endswith(f":{inode}"))
    return next((int(row[4]) for row in held), 0)


def is_asleep(path: Path) -> bool:
    """Tell whether systemd listens at `path` and no daemon runs: whoever connects starts it."""
    return is_listened_at(path) and daemon_at(path) == 0
