"""One daemon per socket: a lock that only one process can hold, then a socket that is never missing.

Measured: of twelve starters over a stale socket, only `flock` before any unlink left exactly one winner.
"""

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from v2m.domain.errors import ConfigError, PermissionDeniedError, StateError, StorageError
from v2m.infrastructure.service.lock import held_lock
from v2m.utils.paths import (
    TOAK_SOCKET_NAME,
    BadSocketPathError,
    UnsafeRuntimeDirError,
    get_secure_runtime_dir,
    socket_path,
)
from v2m.utils.presence import is_listened_at, lock_path

# asyncio tries `backlog` accepts per wake-up and logs each failure when descriptors run out: with 1024 it
# spins, with 16 it does not (measured).
BACKLOG = 16


@contextmanager
def listening_socket(path: Path, inherited: socket.socket | None = None) -> Iterator[socket.socket]:
    """Hold the lock and the listening socket at `path` (mode 0600); remove only what is ours at the end.

    One that was inherited stays: systemd goes on listening there.

    Raises:
        AlreadyRunningError: another daemon holds the lock; it is not disturbed.
        StateError: systemd listens there and was not the one who started us.
        PermissionDeniedError: something that is not our socket stands at the path.
        StorageError: the socket cannot be made.
    """
    with held_lock(lock_path(path)):
        alias = path.with_name(TOAK_SOCKET_NAME)
        if inherited is not None:
            if not alias.is_symlink():
                _link(alias, path)
            yield inherited
            return
        _refuse_foreign(path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as listener:
            try:
                inode = _publish(listener, path)
                _link(alias, path)
            except OSError as error:
                raise StorageError(
                    f"Cannot listen at {path}: {error.strerror}.", hint=f"df -h {path.parent}"
                ) from error
            try:
                yield listener
            finally:
                _remove(path, inode, alias)


def checked_socket_path() -> Path:
    """Return where to listen, in a directory that nobody else can change; made if missing.

    Raises:
        PermissionDeniedError, ConfigError: there is no such place.
    """
    try:
        get_secure_runtime_dir()
        return socket_path()
    except UnsafeRuntimeDirError as error:
        raise PermissionDeniedError(str(error)) from error
    except BadSocketPathError as error:
        raise ConfigError(str(error), hint="unset V2M_SOCKET") from error


def _refuse_foreign(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        found = path.lstat()
        if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.getuid():
            raise PermissionDeniedError(
                f"{path} is not a socket of yours; it is left alone.", hint=f"ls -l {path}, then move it away"
            )
        if is_listened_at(path):
            raise StateError(f"systemd listens on {path} and starts toakd by itself.", hint="v2m daemon start")


def _publish(listener: socket.socket, path: Path) -> int:
    """Bind under a name of our own and rename, so that the path is never missing; return its inode."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    listener.bind(str(temporary))
    temporary.chmod(0o600)
    listener.listen(BACKLOG)
    temporary.rename(path)
    return path.stat().st_ino


def _link(alias: Path, path: Path) -> None:
    """Let the Toak document's name reach the same socket."""
    if alias == path:
        return
    temporary = alias.with_name(f"{alias.name}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    temporary.symlink_to(path.name)
    temporary.rename(alias)


def _remove(path: Path, inode: int, alias: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_ino == inode:
            path.unlink()
            if alias.is_symlink():
                alias.unlink()
