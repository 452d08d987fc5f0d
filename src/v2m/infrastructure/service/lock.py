"""A lock that only one process can hold, and that ends with it."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from v2m.domain.errors import AlreadyRunningError, PermissionDeniedError


@contextmanager
def held_lock(path: Path) -> Iterator[None]:
    """Hold the lock file at `path`, with our pid in it for the loser's message; only its holder may unlink it.

    Raises:
        AlreadyRunningError: another process holds it; it is not disturbed.
        PermissionDeniedError: the file cannot be opened.
    """
    while os.fstat(fd := _taken(path)).st_nlink == 0:  # its last holder unlinked it after we had opened it
        os.close(fd)
    try:
        with contextlib.suppress(OSError):  # a full disk costs the loser's message its pid, and us nothing
            os.ftruncate(fd, 0)
            os.pwrite(fd, b"%d\n" % os.getpid(), 0)
        yield
    finally:
        os.close(fd)


def _taken(path: Path) -> int:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        raise PermissionDeniedError(f"Cannot open {path}: {error.strerror}.", hint=f"ls -l {path.parent}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        text = os.pread(fd, 20, 0).strip()
        os.close(fd)
        raise AlreadyRunningError(int(text) if text.isdigit() else None) from error
    return fd
