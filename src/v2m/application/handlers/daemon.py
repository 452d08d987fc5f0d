"""The daemon itself: what it does, and whether it goes on."""

from collections.abc import Callable

from v2m import __version__
from v2m.application import commands as c
from v2m.application.dictate import Dictations
from v2m.application.handlers._answers import Answer, Table
from v2m.application.status import Status
from v2m.core.ipc_protocol import PROTOCOL_VERSION


class DaemonHandlers:
    """What a client can ask of the daemon itself; every method is one command."""

    def __init__(self, *, dictations: Dictations, status: Status, shut_down: Callable[[bool], None]) -> None:
        self._dictations = dictations
        self._status = status
        self._shut_down = shut_down

    def table(self) -> Table:
        """Return the coroutine of each command."""
        return {
            c.Ping: self.ping,
            c.GetStatus: self.status,
            c.Subscribe: self.status,
            c.PauseDaemon: self.pause,
            c.ResumeDaemon: self.resume,
            c.Shutdown: self.shutdown,
        }

    async def ping(self, _: c.Ping) -> Answer:
        """Answer PONG."""
        return {"message": "PONG", "version": __version__, "protocol": PROTOCOL_VERSION}

    async def status(self, command: c.GetStatus | c.Subscribe) -> Answer:
        """Return the snapshot, with the figures of the process if they are asked for."""
        snapshot = await self._status.snapshot()
        if isinstance(command, c.GetStatus) and command.telemetry:
            snapshot["telemetry"] = await self._status.telemetry()
        return snapshot

    async def pause(self, _: c.PauseDaemon) -> Answer:
        """Refuse recordings."""
        await self._dictations.pause(on=True)
        return {}

    async def resume(self, _: c.ResumeDaemon) -> Answer:
        """Take recordings again."""
        await self._dictations.pause(on=False)
        return {}

    async def shutdown(self, command: c.Shutdown) -> Answer:
        """End the daemon after this answer."""
        self._shut_down(command.finish)
        return {"message": "SHUTTING_DOWN"}
