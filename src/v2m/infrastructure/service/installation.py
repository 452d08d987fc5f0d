"""Puts the units where systemd's user manager finds them, and takes all of it away again."""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from v2m.domain.errors import PermissionDeniedError
from v2m.infrastructure.service import hardening, systemd
from v2m.infrastructure.service.units import ALIAS, SERVICE, SOCKET, toakd_command, unit_texts

# What `systemctl enable` makes of the [Install] sections, for when there is no manager to be asked.
_LINKS: Final = (ALIAS, f"default.target.wants/{SERVICE}", f"sockets.target.wants/{SOCKET}")
_MODE: Final = 0o644  # systemd warns about units that others may write to; there is nothing secret in them


@dataclass(frozen=True, slots=True)
class Installed:
    """What was done."""

    folder: Path
    written: tuple[str, ...]  # files that were new or different


def texts(*, harden: bool) -> Mapping[str, str]:
    """Return what is installed, by path below the folder of units. Raises ConfigError."""
    units = unit_texts(toakd_command())
    return {**units, hardening.DROP_IN: hardening.TEXT} if harden else units


async def install(folder: Path, *, harden: bool) -> Installed:
    """Write the units, have them start at login, start them now; the same again changes nothing.

    A daemon that runs under a unit whose text changed is started again. Raises V2mError.
    """
    if harden:  # what is missing when the unit starts cannot be made writable
        for place in hardening.WRITABLE:
            (Path.home() / place).mkdir(mode=0o700, parents=True, exist_ok=True)
    written = [name for name, text in texts(harden=harden).items() if _write(folder / name, text)]
    await systemd.order("daemon-reload")
    await systemd.order("--quiet", "enable", SOCKET, SERVICE)
    was_running = bool((await systemd.standing()).pid)
    if was_running and written:
        await systemd.stop()
    await systemd.start()
    return Installed(folder, tuple(written))


async def uninstall(folder: Path) -> list[Path]:
    """End the daemon and take away what `install` made; return the files that are gone. Raises V2mError."""
    if await systemd.is_installed():
        await systemd.stop()
        await systemd.ask("--quiet", "disable", SOCKET, SERVICE)
    gone = [folder / name for name in (*_LINKS, *texts(harden=True)) if _remove(folder / name)]
    for name in {Path(name).parent for name in (*_LINKS, hardening.DROP_IN)} - {Path()}:
        with contextlib.suppress(OSError):  # somebody else has something in it
            (folder / name).rmdir()
    if systemd.is_there():
        await systemd.ask("daemon-reload")
        await systemd.ask("reset-failed", SOCKET, SERVICE)
    return gone


def _write(path: Path, text: str) -> bool:
    """Write a file as a whole; False when it was there already."""
    with contextlib.suppress(FileNotFoundError):
        if path.read_text("utf-8") == text and not path.is_symlink():
            return False
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        temporary.write_text(text, "utf-8")
        temporary.chmod(_MODE)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise PermissionDeniedError(f"Cannot write {path}: {error.strerror}.", hint=f"ls -ld {path.parent}") from error
    return True


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise PermissionDeniedError(f"Cannot remove {path}: {error.strerror}.", hint=f"ls -ld {path.parent}") from error
    return True
