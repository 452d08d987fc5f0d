"""Appends each text to a file: one line per dictation."""

import asyncio
import os
import stat
from pathlib import Path
from typing import Final

from v2m.domain.delivery import Certainty, Delivery, Destination, Session
from v2m.domain.errors import OutputError, OutputReason
from v2m.domain.ports import AtBest, Availability
from v2m.infrastructure.output.failures import broken, refused

WRITE_S: Final = 5.0  # a local disk takes milliseconds; a network's folder may hang

# A link is refused: whoever can change it would choose what we write to. Neither does a pipe hang us.
_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NO_FILE: Final = "The setting output.file names no file."


class FileOutput:
    """The file of the setting `output.file`; types nothing and needs no desktop."""

    name = "file"
    at_best = AtBest()

    def __init__(self, path: str) -> None:
        self._path = path

    async def probe(self, session: Session) -> Availability:
        """Say whether the file, or its folder while there is none, can be written to; makes nothing."""
        del session
        reason = _NO_FILE if not self._path else await asyncio.to_thread(_obstacle, Path(self._path))
        return Availability(usable=not reason, reason=reason or f"Texts are appended to {self._path}.")

    async def deliver(self, text: str, to: Destination) -> Delivery:
        """Append the text and a line break, and read them back."""
        del to
        if not self._path:
            raise refused(_NO_FILE)
        try:
            data = f"{text}\n".encode()
        except UnicodeEncodeError as error:
            raise refused("The text has characters that no file can hold.") from error
        try:
            async with asyncio.timeout(WRITE_S):
                same = await asyncio.to_thread(_append, self._path, data)
        except TimeoutError as error:
            raise broken(f"writing to {self._path} hangs", delivered=None) from error
        if not same:
            return Delivery(self.name, Certainty.UNCERTAIN, len(text), self._path, f"{self._path} reads differently.")
        return Delivery(self.name, Certainty.CONFIRMED, len(text), self._path)

    async def aclose(self) -> None:
        """Nothing stays open."""


def _obstacle(path: Path) -> str:
    """Return why a file cannot be appended to; empty when nothing speaks against it."""
    try:
        if not _is_plain(path.lstat().st_mode):
            return f"{path} is not a plain file."
        may = os.access(path, os.W_OK | os.R_OK)
    except FileNotFoundError:
        may = os.access(path.parent, os.W_OK | os.X_OK)
    except OSError as error:
        return f"{path} cannot be written to: {error.strerror}."
    return "" if may else f"{path} cannot be written to."


def _is_plain(mode: int) -> bool:
    return stat.S_ISREG(mode)


def _append(path: str, data: bytes) -> bool:
    """Append all of it or nothing; tell whether it can be read back.

    Raises:
        OutputError: with 0 delivered; with None where a part of it may stay.
    """
    try:
        fd = os.open(path, _FLAGS, 0o600)
    except OSError as error:
        raise _failed(path, error, delivered=0) from error
    try:
        if not _is_plain(os.fstat(fd).st_mode):
            raise refused(f"{path} is not a plain file.")
        start = os.lseek(fd, 0, os.SEEK_END)
        try:
            start = _write(fd, data)
            os.fdatasync(fd)  # some disks are only now full
        except OSError as error:
            raise _failed(path, error, delivered=_take_back(fd, start, data)) from error
        return os.pread(fd, len(data), start) == data
    finally:
        os.close(fd)


def _write(fd: int, data: bytes) -> int:
    """Write all of it; return where it begins. Raises OSError."""
    written = os.write(fd, data)
    start = os.lseek(fd, 0, os.SEEK_CUR) - written
    while written < len(data):
        written += os.write(fd, data[written:])
    return start


def _take_back(fd: int, start: int, data: bytes) -> int | None:
    """Cut off what was written of it, unless another program has written since; return what stays."""
    try:
        end = os.fstat(fd).st_size
        if os.pread(fd, end - start, start) != data[: end - start]:
            return None
        os.ftruncate(fd, start)
    except OSError:
        return None
    return 0


def _failed(path: str, error: OSError, *, delivered: int | None) -> OutputError:
    return OutputError(
        f"{path} cannot be written to: {error.strerror}.",
        reason=OutputReason.REFUSED,
        delivered=delivered,
        hint="v2m last shows the text.",
    )
