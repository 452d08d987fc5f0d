"""Lock screens that are programs of their own: no protocol tells whether one is up, so their processes are looked for.

That is what their users do as well (`pgrep -x swaylock`). Only Hyprland can be asked, and has the last word there:
its locker has been seen to live on after it unlocked the screen.
"""

import asyncio
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from v2m.domain.delivery import Session, Window
from v2m.infrastructure.desktop._hyprland import ask

ANSWER_S: Final = 0.1
PROC: Final = Path("/proc")

# Those that live only while the screen is locked or blank. Not: daemons that lock later (xss-lock, swayidle,
# light-locker, xscreensaver, xfce4-screensaver …), nor slock, which becomes the user `nobody`.
LOCKERS: Final = (
    "gtklock",
    "hyprlock",
    "i3lock",
    "kscreenlocker_greet",
    "swaylock",
    "swaylock-plugin",
    "sxlock",
    "waylock",
    "xlock",
    "xscreensaver-auth",
    "xscreensaver-gfx",
    "xsecurelock",
    "xtrlock",
)
LOCKED: Final = "The screen is locked ({})."

_COMM_BYTES: Final = 15  # TASK_COMM_LEN without its NUL: what the kernel keeps of a program's name
_KNOWN: Final = {name.encode()[:_COMM_BYTES]: name for name in LOCKERS}
_DISPLAY: Final = re.compile(r"(?:unix)?:(\d+)(?:\.\d+)?")


class LockerGuard:
    """Tells a locker of this user that shows itself on this desktop."""

    def __init__(self, *, uid: int) -> None:
        self._uid = uid

    async def secret(self, session: Session, window: Window | None) -> str:
        """Return which locker is up; processes are read in a thread."""
        del window
        if session.wayland is None and session.x11 is None:
            return ""
        try:
            async with asyncio.timeout(ANSWER_S):
                locked = (await ask(session, "locked")).get("locked")
                if isinstance(locked, bool):
                    return LOCKED.format("Hyprland") if locked else ""
                name = await asyncio.to_thread(_locker, session, self._uid)
        except TimeoutError:
            return ""
        return LOCKED.format(name) if name else ""


def _locker(session: Session, uid: int) -> str:
    """Return the name of a live locker of this session; empty without one."""
    for process, name in _by_name():
        with suppress(OSError, ValueError):  # it ends while it is looked at
            if _belongs(process, uid) and _shows_on(process, session):
                return name
    return ""


def _by_name() -> Iterator[tuple[Path, str]]:
    """Yield the processes with a locker's name. One pass over all of them: 5 µs each."""
    try:
        with os.scandir(PROC) as entries:
            numbers = [entry.name for entry in entries if entry.name.isdecimal()]
    except OSError:
        return
    for number in numbers:
        try:
            fd = os.open(f"{PROC}/{number}/comm", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            comm = os.read(fd, 64).rstrip(b"\n")
        except OSError:
            continue
        finally:
            os.close(fd)
        if name := _KNOWN.get(comm):
            yield PROC / number, name


def _belongs(process: Path, uid: int) -> bool:
    """Tell whether a process runs as this user and has not ended."""
    status = dict(line.partition(":")[::2] for line in (process / "status").read_text("utf-8", "replace").splitlines())
    return int(status["Uid"].split()[0]) == uid and status["State"].split()[0] not in ("Z", "X")


def _shows_on(process: Path, session: Session) -> bool:
    """Tell whether a process was started for this session's display; one that hides its variables counts as well."""
    try:
        lines = (process / "environ").read_bytes().split(b"\0")
    except PermissionError:  # lockers that keep others from reading their memory keep this as well
        return True
    variables = dict(os.fsdecode(line).partition("=")[::2] for line in lines if line)
    if session.wayland is None:
        return _same_display(variables.get("DISPLAY", ""), session.x11 or "")
    if not variables.get("WAYLAND_DISPLAY") and variables.get("DISPLAY"):
        return False  # of another session, an X11 one
    path = Path(variables.get("XDG_RUNTIME_DIR", "")) / (variables.get("WAYLAND_DISPLAY") or "wayland-0")
    return path == Path(session.wayland)


def _same_display(one: str, other: str) -> bool:
    """Compare `:0`, `:0.0` and `unix:0`."""
    matches = _DISPLAY.fullmatch(one), _DISPLAY.fullmatch(other)
    return all(matches) and len({match[1] for match in matches if match}) == 1
