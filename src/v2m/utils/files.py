"""Small files that people write: reading one neither waits nor fills the memory."""

import errno
import os
import stat
from pathlib import Path
from typing import Final

MAX_BYTES: Final = 1 << 20  # as much as one message to or from the daemon holds


def read_plain(path: Path) -> bytes:
    """Return what a regular file of at most `MAX_BYTES` holds; a pipe or a device is not read.

    Raises:
        OSError: its `strerror` says why not.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no plain file")
        with os.fdopen(fd, "rb", closefd=False) as file:
            content = file.read(MAX_BYTES + 1)
    finally:
        os.close(fd)
    if len(content) > MAX_BYTES:
        raise OSError(errno.EFBIG, f"it is longer than {MAX_BYTES} bytes")
    return content
