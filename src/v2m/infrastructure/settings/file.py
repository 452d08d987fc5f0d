"""Files that are replaced whole: a reader, or a crash at any moment, finds the old one or the new one."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from v2m.domain.errors import BusyError, StorageError
from v2m.utils.files import read_plain

LOCK_S: Final = 5.0  # whoever holds the lock writes one small file
_LOOK_S: Final = 0.02


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Make the folder (0700) if it is missing, and keep other programs of ours from writing in it; blocks.

    Raises:
        StorageError: it cannot be made or opened.
        BusyError: somebody held it for `LOCK_S`.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _refused(folder, error) from error
    try:
        _lock(fd, folder)
        yield
    finally:
        os.close(fd)


def replace_file(path: Path, text: str) -> None:
    """Write a file of mode 0600 through a temporary one beside it; where `path` is a link, what it leads to.

    Blocks until it is on the disk; one writer at a time, see `locked_folder`.

    Raises:
        StorageError: the file that was there is untouched.
    """
    try:
        target = path.resolve()
        temporary = target.with_name(f".{target.name}.new")  # of a fixed name, so that no kill leaves more than one
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(fd, "wb") as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        _sync(target.parent)
    except OSError as error:
        raise _refused(path, error) from error


def read_text(path: Path) -> str:
    """Return what a file holds, a byte order mark included; empty where there is none.

    Raises:
        StorageError: it cannot be read, is no plain file, too long, or no UTF-8.
    """
    try:
        return read_plain(path).decode()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}.", hint=f"ls -l {path}") from error
    except UnicodeDecodeError as error:
        raise StorageError(f"{path} is not UTF-8 text.", hint=f"file {path}") from error


def _lock(fd: int, folder: Path) -> None:
    end = time.monotonic() + LOCK_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > end:
                raise BusyError(f"Another program is writing to {folder}.", hint="Try again.") from error
            time.sleep(_LOOK_S)
        else:
            return


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _refused(path: Path, error: OSError) -> StorageError:
    return StorageError(f"{path} cannot be written: {error.strerror}.", hint=f"ls -ld {path.parent}")
