"""Which files a process may open from now on, by Landlock: a kernel's own means, for which nobody needs a privilege.

Descriptors that are open, or arrive later over a socket, are not asked about: that is how the speech process gets
recordings and nothing else. https://docs.kernel.org/userspace-api/landlock.html
"""

import contextlib
import os
import stat
import struct
from collections.abc import Iterable, Mapping
from enum import IntFlag
from pathlib import Path
from typing import Final

from v2m.infrastructure._confine_calls import SET_NO_NEW_PRIVS, prctl, system_call

# The same numbers on every architecture (asm-generic/unistd.h).
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION: Final = 1  # flag: tell the version instead of making a ruleset
_BELOW_PATH: Final = 1  # kind of rule


class Files(IntFlag):
    """Rights on files, as linux/landlock.h has them."""

    EXECUTE = 1 << 0
    WRITE = 1 << 1
    READ = 1 << 2
    LIST = 1 << 3
    CHANGE = sum(1 << bit for bit in range(4, 13))  # remove, and make every kind of entry
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL = 1 << 15  # of devices


LOOK: Final = Files.READ | Files.LIST
USE: Final = LOOK | Files.WRITE | Files.IOCTL
_OF_A_FILE: Final = Files.EXECUTE | Files.WRITE | Files.READ | Files.TRUNCATE | Files.IOCTL  # no others on plain files

# What each version of Landlock added; TCP and scopes are refused wholly.
_FILES_SINCE: Final = {1: Files(0x1FFF), 2: Files.REFER, 3: Files.TRUNCATE, 5: Files.IOCTL}
_TCP_SINCE, _TCP = 4, 0b11  # bind, connect
_SCOPES_SINCE, _SCOPES = 6, 0b11  # abstract sockets of others, signals to others


def landlock_version() -> int:
    """Return the kernel's version of Landlock, 0 where it has none or it is switched off."""
    try:
        return system_call(_CREATE_RULESET, None, 0, _VERSION)
    except OSError:
        return 0


def allow_only(rules: Mapping[Path, Files]) -> int:
    """Refuse every other file, TCP and signals, for this thread and all that it starts, for good.

    A folder stands for all below it; what is not there is passed over. Returns the version of Landlock that does it,
    0 when there is none.

    Raises:
        OSError: the kernel has it and refuses.
    """
    version = landlock_version()
    if version == 0:
        return 0
    files = Files(0)
    for since, added in _FILES_SINCE.items():
        files |= added if since <= version else Files(0)
    attributes = [int(files)]
    attributes += [_TCP] if version >= _TCP_SINCE else []
    attributes += [_SCOPES] if version >= _SCOPES_SINCE else []
    packed = struct.pack(f"={len(attributes)}Q", *attributes)
    ruleset = system_call(_CREATE_RULESET, packed, len(packed), 0)
    try:
        for path, rights in rules.items():
            _allow(ruleset, path, rights & files)
        prctl(SET_NO_NEW_PRIVS, 1)
        system_call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return version


def _allow(ruleset: int, path: Path, rights: Files) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # it is not there, or closed to this user anyhow
        return
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= _OF_A_FILE
        system_call(_ADD_RULE, ruleset, _BELOW_PATH, struct.pack("=Qi", rights, place), 0)
    finally:
        os.close(place)


def with_targets(folders: Iterable[Path], *, at_most: int = 1000) -> list[Path]:
    """Return the folders and the files that links in them point at: models of a shared cache are made of links.

    A link to a folder is not followed: whoever made the model could open the user's home by it.
    """
    found = list(folders)
    for folder in list(found):
        seen = 0
        for where, _, files in os.walk(folder):  # links to folders are not among the files
            for entry in (Path(where, name) for name in files):
                with contextlib.suppress(OSError):  # it is closed to this user anyhow
                    found += [entry.resolve()] if entry.is_symlink() and entry.is_file() else []
            seen += len(files)
            if seen >= at_most:
                break
    return found
