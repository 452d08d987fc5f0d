"""The socket that systemd listens on for us (sd_listen_fds(3)), and an answer for who waits there in vain."""

import contextlib
import os
import socket
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from v2m.core.ipc_protocol import encode_frame, failure
from v2m.domain.errors import ConfigError, V2mError

FIRST_FD: Final = 3  # SD_LISTEN_FDS_START
_MOST_FDS: Final = 64  # far more than any unit of ours has; a number that lies costs no time
_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred


def inherited_socket(variables: Mapping[str, str]) -> socket.socket | None:
    """Return the listening socket that systemd handed to this very process, None without one."""
    if variables.get("LISTEN_PID") != str(os.getpid()):
        return None
    count = variables.get("LISTEN_FDS", "")
    handed = int(count) if count.isascii() and count.isdigit() else 0
    found = None
    for fd in range(FIRST_FD, FIRST_FD + min(handed, _MOST_FDS)):
        with contextlib.suppress(OSError):  # no socket, or nothing there
            given = socket.socket(fileno=fd)
            if found is None and _listens(given):
                given.set_inheritable(False)
                found = given
            else:
                given.close()
    return found


def require_at(listener: socket.socket, path: Path) -> None:
    """Raise ConfigError unless it is the socket that clients talk to."""
    name = listener.getsockname()
    if not isinstance(name, str) or os.path.realpath(name) != os.path.realpath(path):
        raise ConfigError(
            f"systemd listens on {name!r}, and clients talk to {path}.",
            hint="systemctl --user unset-environment V2M_SOCKET",
        )


def turn_away(listener: socket.socket, error: V2mError) -> None:
    """Answer all who wait with the error; else systemd would start us again for them, again in vain."""
    answer = encode_frame(failure(error, "warming"))
    listener.settimeout(0)
    with contextlib.suppress(OSError):  # nobody waits any more
        while True:
            client, _ = listener.accept()
            with client, contextlib.suppress(OSError):
                credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
                if _CREDENTIALS.unpack(credentials)[1] == os.getuid():
                    client.settimeout(0)
                    client.send(answer)


def _listens(given: socket.socket) -> bool:
    return (
        given.family == socket.AF_UNIX
        and given.type == socket.SOCK_STREAM
        and given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
    )
