"""Finds the desktop that is live now: a service started before it, or before its restart, has stale variables."""

import asyncio
import os
import re
import socket
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from v2m.domain.delivery import Session

ANSWER_S: Final = 0.1  # a listening socket accepts at once; only a full backlog takes longer
USER_MANAGER_S: Final = 0.3
X11_DIR: Final = Path("/tmp/.X11-unix")  # noqa: S108 - where X servers have to put their sockets

_KEPT: Final = (
    "XAUTHORITY",
    "XDG_CURRENT_DESKTOP",
    "XDG_SESSION_TYPE",
    "HYPRLAND_INSTANCE_SIGNATURE",
)
_LOCAL_DISPLAY: Final = re.compile(r"(?:unix)?:(\d+)(?:\.\d+)?")
_WAYLAND_SOCKET: Final = re.compile(r"wayland-\d+")
_PEER_CREDENTIALS: Final = struct.Struct("=3i")  # struct ucred: pid, uid, gid


class LiveSession:
    """Looks for a session each time it is asked; nothing is remembered.

    A candidate counts when its Wayland compositor or its X server accepts a connection. A display of
    another machine (`host:10`, as ssh makes) is none: typing there would use the network.
    """

    def __init__(self, *, runtime_dir: Path, own: Mapping[str, str], x11_dir: Path = X11_DIR) -> None:
        """`own` are this process's variables; sockets are looked for in `runtime_dir` and `x11_dir`."""
        self._runtime_dir = runtime_dir
        self._own = own
        self._x11_dir = x11_dir

    async def current(self, hint: Mapping[str, str]) -> Session:
        """Return the first candidate that answers: hint, user manager, own variables, sockets. Never raises."""
        if found := await self._live(hint):
            return Session(found, "client")
        if found := await self._live(await self._user_manager()):
            return Session(found, "user manager")
        if found := await self._live(self._own):
            return Session(found, "daemon")
        if found := await self._from_sockets():
            return Session(found, "runtime directory")
        return Session()

    async def _live(self, candidate: Mapping[str, str]) -> dict[str, str]:
        """Return the variables of a candidate's live displays; empty when none answers."""
        wayland = await self._live_wayland(candidate)
        display = candidate.get("DISPLAY", "")
        if wayland:
            # Connecting would start an XWayland that nobody needs yet, so its socket is only looked for.
            display = display if self._x11_socket(display) else ""
        elif not await self._answers_x11(display):
            display = ""
        if not wayland and not display:
            return {}
        found = {key: candidate[key] for key in _KEPT if candidate.get(key)}
        if wayland:
            found |= wayland
        if display:
            found["DISPLAY"] = display
        else:
            found.pop("XAUTHORITY", None)
        return found

    async def _live_wayland(self, candidate: Mapping[str, str]) -> dict[str, str]:
        name = candidate.get("WAYLAND_DISPLAY", "")
        if not name:
            return {}
        path = Path(candidate.get("XDG_RUNTIME_DIR") or self._runtime_dir) / name
        compositor = await _answers(str(path))
        if compositor is None:
            return {}
        found = {"WAYLAND_DISPLAY": str(path)}
        sway = await _sway_socket(candidate.get("SWAYSOCK", ""), path.parent, compositor)
        return found | ({"SWAYSOCK": sway} if sway else {})

    async def _from_sockets(self) -> dict[str, str]:
        """Try the newest Wayland socket first, then X servers of this user or of root."""
        for path in _newest(self._runtime_dir, _WAYLAND_SOCKET):
            if found := await self._live({"WAYLAND_DISPLAY": str(path)}):
                return found
        for path in _newest(self._x11_dir, re.compile(r"X\d+")):
            if path.stat().st_uid not in (os.getuid(), 0):
                continue
            if found := await self._live({"DISPLAY": f":{path.name[1:]}"}):
                return found
        return {}

    async def _user_manager(self) -> Mapping[str, str]:
        """Return the environment that systemd gives to new services; empty without one."""
        address = self._bus_address()
        if not address:
            return {}
        try:
            async with asyncio.timeout(USER_MANAGER_S):
                return await _manager_environment(address)
        except Exception:  # noqa: BLE001 - a broken bus must not keep the other candidates from being tried
            return {}

    def _bus_address(self) -> str:
        """Return the address of the session bus; empty when its socket is not there."""
        address = self._own.get("DBUS_SESSION_BUS_ADDRESS") or f"unix:path={self._runtime_dir / 'bus'}"
        path = re.match(r"unix:path=([^,;]+)", address)
        return "" if path and not Path(path[1]).is_socket() else address

    def _x11_socket(self, display: str) -> str:
        """Return the socket of a local display; empty when there is none."""
        match = _LOCAL_DISPLAY.fullmatch(display)
        path = self._x11_dir / f"X{match[1]}" if match else None
        return str(path) if path and path.is_socket() else ""

    async def _answers_x11(self, display: str) -> bool:
        path = self._x11_socket(display)
        return bool(path) and await _answers(path) is not None


async def _answers(path: str) -> int | None:
    """Connect to a socket and hang up; return the pid of who listens, None when nobody does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            async with asyncio.timeout(ANSWER_S):
                await asyncio.get_running_loop().sock_connect(probe, path)
            credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
        except (OSError, ValueError, TimeoutError):
            return None
    pid: int = _PEER_CREDENTIALS.unpack(credentials)[0]
    return pid


async def _sway_socket(named: str, directory: Path, compositor: int) -> str:
    """Return the IPC socket of this very compositor; a stale variable names one that is gone or another's."""
    of_this_one = re.compile(rf"sway-ipc\.\d+\.{compositor}\.sock")
    for path in (named, *map(str, _newest(directory, of_this_one))):
        if path and await _answers(path) == compositor:
            return path
    return ""


def _newest(directory: Path, name: re.Pattern[str]) -> list[Path]:
    """Return the sockets with such names, the newest first."""
    try:
        sockets = [path for path in directory.iterdir() if name.fullmatch(path.name) and path.is_socket()]
        return sorted(sockets, key=lambda path: path.stat().st_mtime_ns, reverse=True)
    except OSError:
        return []


async def _manager_environment(address: str) -> Mapping[str, str]:
    """Ask the user's service manager for its environment, without starting it."""
    from dbus_fast import Message, MessageFlag
    from dbus_fast.aio import MessageBus

    bus = MessageBus(bus_address=address)
    try:
        await bus.connect()
        reply = await bus.call(
            Message(
                destination="org.freedesktop.systemd1",
                path="/org/freedesktop/systemd1",
                interface="org.freedesktop.DBus.Properties",
                member="Get",
                signature="ss",
                body=["org.freedesktop.systemd1.Manager", "Environment"],
                flags=MessageFlag.NO_AUTOSTART,
            )
        )
        if reply.signature != "v":
            return {}
        values: list[str] = reply.body[0].value
        return dict(line.split("=", 1) for line in values if "=" in line)
    finally:
        bus.disconnect()
