"""A spool whose header does not tell the truth: kept under a dated name, its audio saved by what the file holds."""

import contextlib
import os
import re
import struct
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from v2m.domain.audio import (
    OFFSET_CONTINUED_AT,
    OFFSET_FLAGS,
    OFFSET_HEAD,
    OFFSET_MAGIC,
    OFFSET_OVERRUN,
    OFFSET_PREROLL,
    OFFSET_STARTED_WALL_NS,
    SAMPLE_BYTES,
    SAMPLE_RATE_HZ,
    SPOOL_HEADER_BYTES,
    SPOOL_MAGIC,
    SPOOL_VERSION,
    SpoolFlag,
)
from v2m.infrastructure._overwrite import written
from v2m.infrastructure._spool_leftover import remove
from v2m.infrastructure._spool_reader import checked_size

CORRUPT: Final = ".corrupt-"  # then when it was found
_MENDING: Final = ".mending"
_UNTOLD_SAMPLES: Final = SAMPLE_RATE_HZ // 5  # a kill between audio and `head` leaves less: PipeWire's largest quantum
_STEP_BYTES: Final = 1 << 20
_NANOSECONDS: Final = re.compile(r"-(\d{18,19})\.")
_IDENTITY: Final = struct.Struct("=8sII")


def mend_all(paths: Iterable[Path]) -> list[Path]:
    """Mend each; return where the broken ones are as they were found. One that cannot be mended stays as it is."""
    found = []
    for path in paths:
        with contextlib.suppress(OSError):
            found += [aside] if (aside := mend(path)) else []
    return found


def mend(path: Path) -> Path | None:
    """Write a header anew where it is broken; return where the file is as it was found, None: all is well.

    The audio is then at `path`, unless there is none.

    Raises:
        OSError: no room, or no right; the file is as it was.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if is_told_truly(fd):
            return None
        samples = max(0, _end_of_audio(fd, SPOOL_HEADER_BYTES) - SPOOL_HEADER_BYTES + 1) // SAMPLE_BYTES
        aside = _free_name(path)
        if samples == 0:
            path.rename(aside)
            return aside
        mended = path.with_name(path.name + _MENDING)
        mended.unlink(missing_ok=True)
        _write_anew(fd, mended, samples, _started_ns(fd, path))
    finally:
        os.close(fd)
    aside.hardlink_to(path)  # then the exchange is one step: there is audio at `path` at every moment
    mended.rename(path)
    return aside


def expire(folder: Path, until_s: float) -> None:
    """Remove the oldest file that was found broken, if that was up to this time. Raises StorageError."""
    broken = sorted((path.lstat().st_ctime, path) for path in folder.glob(f"*{CORRUPT}*"))
    if broken and broken[0][0] <= until_s:
        remove(broken[0][1])


def is_told_truly(fd: int) -> bool:
    """Tell whether the header is one of ours and knows all the audio behind it."""
    try:
        checked_size(fd)
    except ValueError:
        return False
    told = [int.from_bytes(os.pread(fd, 8, at), "little") for at in (OFFSET_HEAD, OFFSET_CONTINUED_AT)]
    samples = min(filter(None, told), default=0)  # a part that was in memory died with its process
    end = SPOOL_HEADER_BYTES + (samples + _UNTOLD_SAMPLES) * SAMPLE_BYTES
    return end >= os.fstat(fd).st_size or _end_of_audio(fd, end) == end


def _end_of_audio(fd: int, start: int) -> int:
    """Return where the last byte that is not zero ends, at least `start`."""
    last = start
    for first, end in written(fd, start):
        for at in range(first, end, _STEP_BYTES):
            sound = os.pread(fd, min(_STEP_BYTES, end - at), at).rstrip(b"\0")
            last = at + len(sound) if sound else last
    return last


def _started_ns(fd: int, path: Path) -> int:
    """Return when it was begun: by its header, if that can be, else by its name, else by its last change."""
    changed_ns = os.fstat(fd).st_mtime_ns
    told = int.from_bytes(os.pread(fd, 8, OFFSET_STARTED_WALL_NS), "little", signed=True)
    named = _NANOSECONDS.search(path.name)
    for each in (told, int(named[1]) if named else 0):
        if abs(each - changed_ns) < 86_400_000_000_000:  # a day, longer than any recording
            return each
    return changed_ns


def _write_anew(source: int, target: Path, samples: int, started_ns: int) -> None:
    header = bytearray(os.pread(source, SPOOL_HEADER_BYTES, 0).ljust(SPOOL_HEADER_BYTES, b"\0"))
    preroll = int.from_bytes(header[OFFSET_PREROLL : OFFSET_PREROLL + 8], "little")
    _IDENTITY.pack_into(header, OFFSET_MAGIC, SPOOL_MAGIC, SPOOL_VERSION, SAMPLE_RATE_HZ)
    struct.pack_into("=q", header, OFFSET_STARTED_WALL_NS, started_ns)
    struct.pack_into("=I", header, OFFSET_FLAGS, SpoolFlag.CLOSED | SpoolFlag.GAP)
    told = {OFFSET_HEAD: samples, OFFSET_CONTINUED_AT: 0, OFFSET_OVERRUN: 0}
    for offset, value in {**told, OFFSET_PREROLL: preroll if preroll <= samples else 0}.items():
        struct.pack_into("=Q", header, offset, value)
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, header)
        at, end = SPOOL_HEADER_BYTES, SPOOL_HEADER_BYTES + samples * SAMPLE_BYTES
        while at < end:
            part = os.pread(source, min(_STEP_BYTES, end - at), at)
            if not part:
                break
            at += os.pwrite(fd, part, at)
        os.ftruncate(fd, end)
        os.fsync(fd)
    except OSError:
        target.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)


def _free_name(path: Path) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    names = (path.with_name(f"{path.name}{CORRUPT}{stamp}{more}") for more in ("", *(f"-{n}" for n in range(1, 100))))
    return next(name for name in names if not name.exists())
