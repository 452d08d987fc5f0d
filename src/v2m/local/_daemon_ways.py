"""The two ways in which a daemon lives: under systemd's user manager, or by itself. Both do the same four things."""

from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

from v2m.client import AsyncClient, ClientError, CommandError, DaemonNotRunningError
from v2m.infrastructure.service import systemd
from v2m.infrastructure.service.detached import Detached, log_path
from v2m.infrastructure.service.units import toakd_command
from v2m.local._private_daemon import ended
from v2m.local._waiting import until
from v2m.utils.paths import socket_path
from v2m.utils.presence import daemon_at

START_S: Final = 10.0  # it listens within 0.1 s, also while it loads
END_S: Final = 15.0  # 5 s for dictations on their way, and what closing takes


@dataclass(frozen=True, slots=True)
class Found:
    """What there is of a daemon."""

    running: bool
    manager: str  # "systemd" or "none"
    pid: int | None = None
    state: str | None = None
    version: str | None = None
    listening: bool = False  # a key starts it
    restarts: int = 0
    trouble: str = ""  # why it is not running although it should

    def as_data(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


class Way(Protocol):
    """A way for the daemon to live."""

    async def start(self) -> None:
        """Start it; return once it obeys keys."""

    async def stop(self) -> None:
        """End it; what was heard is finished first."""

    async def restart(self) -> None:
        """End it and start it again."""

    async def found(self) -> Found:
        """Tell how it is, without starting it."""


class UnderSystemd:
    """Units that `v2m install` made."""

    async def start(self) -> None:
        """As the protocol says; one that was started by hand makes room first."""
        await make_room()
        await systemd.start()

    async def stop(self) -> None:
        """As the protocol says; from now on no key starts it either."""
        await systemd.stop()
        await shut_down()

    async def restart(self) -> None:
        """As the protocol says."""
        await make_room()
        await systemd.restart()

    async def found(self) -> Found:
        """As the protocol says."""
        how = await systemd.standing()
        if how.active not in ("active", "activating", "reloading", "deactivating") or not how.pid:
            if how.listening:  # whoever connected would start it
                return Found(running=False, manager="systemd", listening=True, restarts=how.restarts)
            alone = await asked("none")
            trouble = how.why
            return (
                alone if alone.running else Found(running=False, manager="systemd", trouble=_told(how.active, trouble))
            )
        return await asked("systemd", listening=how.listening, restarts=how.restarts)


class Alone:
    """A process of its own, without systemd."""

    async def start(self) -> None:
        """As the protocol says. Raises ClientError."""
        if (await asked("none")).running:
            return
        log = log_path()
        try:
            daemon = Detached(toakd_command(), log)
        except OSError as error:
            raise ClientError("internal", f"{log}: {error.strerror}", f"ls -ld {log.parent}") from error

        async def answers() -> bool:
            if daemon.has_ended() and not daemon_at(socket_path()):
                return True
            return (await asked("none")).running  # ours, or the one that somebody else started at the same time

        if not await until(answers, START_S):
            daemon.kill()
            raise ClientError("timeout", "The daemon does not answer.", "v2m daemon logs")
        if daemon.has_ended() and not (await asked("none")).running:
            raise ended(log, daemon.said_before)

    async def stop(self) -> None:
        """As the protocol says."""
        await shut_down()

    async def restart(self) -> None:
        """As the protocol says."""
        await self.stop()
        await self.start()

    async def found(self) -> Found:
        """As the protocol says."""
        return await asked("none")


async def way_of_life() -> Way:
    """Return systemd's way where our units are installed, else the other."""
    return UnderSystemd() if await systemd.is_installed() else Alone()


async def asked(manager: str, *, listening: bool = False, restarts: int = 0) -> Found:
    """Ask the daemon itself; where systemd listens for it, this would start it."""
    async with AsyncClient() as client:
        try:
            status = await client.call("GET_STATUS")
        except DaemonNotRunningError:
            return Found(running=False, manager=manager)
        except CommandError as error:  # it is there, and says why it serves nobody
            return Found(running=False, manager=manager, listening=listening, trouble=error.message)
    return Found(
        running=True,
        manager=manager,
        pid=status.get("pid"),
        state=status.get("state"),
        version=status.get("version"),
        listening=listening,
        restarts=restarts,
    )


async def make_room() -> None:
    """End a daemon that was started by hand. Raises V2mError, ClientError.

    Where systemd listens there is none, and whoever asked would start the one that is about to be started.
    """
    how = await systemd.standing()
    if not how.pid and not how.listening:
        await shut_down()


async def shut_down() -> bool:
    """End a daemon over its socket; tell whether there was one. Raises ClientError: it does not end."""
    async with AsyncClient() as client:
        try:
            await client.call("SHUTDOWN")
        except DaemonNotRunningError:
            return False

    async def gone() -> bool:
        async with AsyncClient() as again:
            try:
                await again.call("PING")
            except DaemonNotRunningError:
                return True
            except ClientError:
                return False
        return False

    if not await until(gone, END_S):
        raise ClientError("timeout", "The daemon does not end.", "v2m daemon logs")
    return True


def _told(active: str, trouble: str) -> str:
    return trouble if active == "failed" else ""
