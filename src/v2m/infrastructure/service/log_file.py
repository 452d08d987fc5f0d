"""Standard error as a file that is closed to others and does not grow for ever, where no journal reads it."""

import contextlib
import logging
import os
from pathlib import Path
from typing import Final

from v2m.domain.errors import PermissionDeniedError

LIMIT_BYTES: Final = 1 << 20  # about 5,000 dictations; with the former file at most twice that is kept
_STDERR: Final = 2


class LogFile(logging.Handler):
    """Sends standard error, our children's too, to `path`; each record that finds it full begins a new file."""

    def __init__(self, path: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        """Raises OSError: the file cannot be opened."""
        super().__init__()
        self._path = path
        self._limit_bytes = limit_bytes
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._take()

    def emit(self, record: logging.LogRecord) -> None:
        """Make room for the record, which other handlers write."""
        del record
        with contextlib.suppress(OSError):
            if os.fstat(_STDERR).st_size > self._limit_bytes:
                self._path.replace(former(self._path))
                self._take()

    def _take(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self._path, flags, 0o600)
        try:
            os.fchmod(fd, 0o600)
            os.dup2(fd, _STDERR)
        finally:
            os.close(fd)


def log_to(path: Path) -> None:
    """Have everything said in `path` from now on. Raises PermissionDeniedError."""
    try:
        logging.getLogger().addHandler(LogFile(path))
    except OSError as error:
        raise PermissionDeniedError(f"Cannot write to {path}: {error.strerror}.", hint=f"ls -ld {path}*") from error


def former(path: Path) -> Path:
    """Return where the file before this one is."""
    return path.with_name(path.name + ".1")
