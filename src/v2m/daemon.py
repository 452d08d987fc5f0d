"""`toakd`: listens first, loads everything else behind the socket, and answers until it is told to end.

Importing this module loads neither pydantic nor an adapter, so that a key pressed while the daemon
starts is accepted within a few dozen milliseconds of `exec` and obeyed as soon as the microphone is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import signal
import socket
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from v2m.client import exit_code
from v2m.core.ipc_protocol import SLOT_BYTES, ControlByte, Request, failure, parse_request, success
from v2m.domain.errors import BusyError, V2mError
from v2m.infrastructure.service.arguments import parse_arguments
from v2m.infrastructure.service.connection import MAKE_ROOM, Connection
from v2m.infrastructure.service.hanging import Threads, leave_hanging_threads
from v2m.infrastructure.service.listener import checked_socket_path, listening_socket
from v2m.infrastructure.service.log_file import log_to
from v2m.infrastructure.service.sd_notify import SdNotify
from v2m.infrastructure.service.systemd_socket import inherited_socket, require_at, turn_away
from v2m.utils.paths import take_service_variables

if TYPE_CHECKING:
    from v2m.core.di.container import Container

log = logging.getLogger(__name__)

DRAIN_S = 5.0  # how long SIGTERM and Ctrl-C wait for dictations on their way
PARTING_S = 1.0  # how long a client may take to read its last answer
DESCRIPTORS = 4096  # connections, spools, children: far below any hard limit in use
_ACTIONS = {
    ControlByte.START: "start",
    ControlByte.STOP: "stop",
    ControlByte.ABORT: "abort",
    ControlByte.TOGGLE: "toggle",
    **dict.fromkeys(SLOT_BYTES, "start"),
}


class Daemon:
    """The socket's side of the program: who may talk, in which order, and what they hear back."""

    def __init__(self, listener: socket.socket, systemd: SdNotify) -> None:
        self._listener = listener
        self._systemd = systemd
        self._connections: set[Connection] = set()
        self._group = asyncio.TaskGroup()
        self._ready: asyncio.Future[Container] = asyncio.get_running_loop().create_future()
        self._early: list[tuple[int, int, Connection]] = []  # keys pressed before the microphone was there
        self._ending = asyncio.Event()
        self._finish = True
        self._jobs: list[asyncio.Task[None]] = []
        self._max_connections = 64  # until the settings are read; the settings' default is the same

    # --- Hub: what a connection asks for ---

    @property
    def state(self) -> str:
        """The state every answer carries."""
        if not self._ready.done() or self._ready.exception():
            return "warming"
        return self._ready.result().dictations.state.value

    def joined(self, connection: Connection) -> bool:
        """Take a newcomer; over the cap, the longest-idle client that is no subscriber makes room for the next."""
        crowded = len(self._connections) >= self._max_connections
        if crowded:
            idle = [other for other in self._connections if not (other.subscribed or other.answering)]
            if idle:
                min(idle, key=lambda other: other.last_active).abort()
        self._connections.add(connection)
        return not crowded

    def left(self, connection: Connection) -> None:
        """Forget a client."""
        self._connections.discard(connection)

    def press(self, byte: int, connection: Connection) -> None:
        """Apply a control byte after those before it."""
        asked_ns = time.monotonic_ns()
        if self._ready.done():
            self._apply(byte, asked_ns, connection)
        else:
            self._early.append((byte, asked_ns, connection))

    def serve(self, connection: Connection) -> None:
        """Answer a client that speaks frames."""
        self._group.create_task(self.handle_client(connection))

    # --- one client ---

    async def handle_client(self, connection: Connection) -> None:
        """Answer requests one after the other; the connection's wall stands here."""
        try:
            async for body in connection.requests():
                connection.answering = True
                await self._answer(body, connection)
                connection.answering = False
        except Exception:  # the wall
            log.exception("a connection failed")
        finally:
            connection.close()

    async def _answer(self, body: bytes, connection: Connection) -> None:
        request: Request | None = None
        try:
            request = parse_request(body)
            container = await asyncio.shield(self._ready)
            command = container.parse(request)
            if request.cmd == "SUBSCRIBE":
                self._seat(connection)
            data = await connection.unless_gone(container.dispatch(command))
            payload = success({"state": self.state, **data}, request.id)
        except V2mError as error:
            payload = failure(error, self.state, request.id if request else None)
        except Exception:  # the wall: the client gets an answer, the log the traceback
            log.exception("a command failed")
            problem = V2mError("Something broke inside v2m.", hint="The log of toakd says what.")
            payload = failure(problem, self.state, request.id if request else None)
        else:
            if request.cmd == "SUBSCRIBE":
                await self._stream(container, payload, request, connection)
                return
        connection.subscribed = False
        await connection.send(payload)

    def _seat(self, connection: Connection) -> None:
        """Leave half of the room to those who ask and go. Raises BusyError."""
        if sum(other.subscribed for other in self._connections) >= self._max_connections // 2:
            raise BusyError("Too many clients follow the events.", hint=MAKE_ROOM)
        connection.subscribed = True

    async def _stream(
        self, container: Container, payload: dict[str, Any], request: Request, connection: Connection
    ) -> None:
        """Turn the connection into events, the first of them a full snapshot."""
        with container.events.subscribe(frozenset(request.data.get("events", ()))) as subscription:
            snapshot = {"event": "snapshot", "data": payload["data"], "seq": container.events.seq}
            await connection.send(snapshot)
            async with asyncio.TaskGroup() as group:
                closer = group.create_task(_close_when(connection.gone, subscription))
                async for frame in subscription:
                    await connection.send(frame)
                closer.cancel()

    def _apply(self, byte: int, asked_ns: int, connection: Connection) -> None:
        if byte == ControlByte.STATUS:
            self._group.create_task(self._status(connection))
            return

        def answer(error: V2mError | None) -> None:
            connection.post(failure(error, self.state) if error else success({"state": self.state}))
            connection.close()

        profile = SLOT_BYTES.index(byte) + 1 if byte in SLOT_BYTES else None
        self._ready.result().hotkey.press(_ACTIONS[byte], asked_ns, answer, profile=profile)

    async def _status(self, connection: Connection) -> None:
        data = await self._ready.result().snapshot()
        connection.post(success({"state": self.state, **data}))
        connection.close()

    # --- life ---

    async def run(self, arguments: dict[str, Any]) -> None:
        """Serve until SHUTDOWN or a signal."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.end)
        if not (sys.stdin and sys.stdin.isatty()):  # else it means that the terminal was closed
            loop.add_signal_handler(signal.SIGHUP, self.reload)
        async with self._group:
            server = await loop.create_unix_server(lambda: Connection(self), sock=self._listener)
            root = await asyncio.to_thread(_composition_root)
            opening = root.build_container(arguments["set"], config_file=arguments["config"], shut_down=self.end)
            async with server:
                try:
                    async with opening as container:
                        await self._serve(container)
                        self._systemd.tell(STOPPING="1", STATUS="Ending")
                        server.close()
                        await self._drain(container)
                        self._part()
                except V2mError as error:
                    server.close()
                    await self._refuse_all(error)
                    raise

    async def _serve(self, container: Container) -> None:
        """Apply what was pressed while everything was loaded, then wait for the end."""
        self._max_connections = container.max_connections
        self._jobs = [self._group.create_task(job()) for job in container.jobs]
        self._ready.set_result(container)
        log.info("ready")
        for byte, asked_ns, connection in self._early:
            self._apply(byte, asked_ns, connection)
        self._systemd.tell(READY="1", STATUS="Ready")
        self._systemd.beat()
        await self._ending.wait()

    async def _refuse_all(self, error: V2mError) -> None:
        """Tell everybody who came already why nothing will be served."""
        if not self._ready.done():
            self._ready.set_exception(error)
            self._ready.exception()  # perhaps nobody asked
            for _, _, connection in self._early:
                connection.post(failure(error, self.state))
        self._part()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PARTING_S):
                for connection in list(self._connections):
                    await connection.gone.wait()

    def _part(self) -> None:
        """Let every client have its answer, and wait for none that does not read."""
        for connection in list(self._connections):
            connection.finish()

        def insist() -> None:
            for connection in list(self._connections):
                connection.abort()

        asyncio.get_running_loop().call_later(PARTING_S, insist)

    def reload(self) -> None:
        """Have the settings read again; also a signal handler."""
        if self._ready.done() and not self._ready.exception():
            self._ready.result().configuration.ask_reload()

    def end(self, finish: bool = True) -> None:  # noqa: FBT001, FBT002 - also a signal handler
        """Begin to end; what was heard is finished first unless `finish` is false."""
        self._finish = self._finish and finish
        self._ending.set()

    async def _drain(self, container: Container) -> None:
        """Release the microphone at once, then give dictations on their way a few seconds."""
        try:
            async with asyncio.timeout(DRAIN_S):
                await container.drain(self._finish)
        except TimeoutError:
            log.warning("ending with dictations on their way; their audio is kept")
        for job in self._jobs:
            job.cancel()


async def _close_when(gone: asyncio.Event, subscription: Any) -> None:  # noqa: ANN401 - Subscription
    await gone.wait()
    subscription.close()


def _composition_root() -> Any:  # noqa: ANN401 - the module
    """Import the composition root, in a thread, while the socket already accepts; secrets are read from here on."""
    from v2m.core.di import container
    from v2m.infrastructure._confine_memory import close_memory

    close_memory()
    return container


def run(arguments: Sequence[str]) -> int:
    """Run the daemon to its end; return the exit status."""
    try:
        options = parse_arguments(arguments)
    except SystemExit as stop:  # argparse: 0 for --help, 2 for bad usage
        return 64 if stop.code else 0
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(DESCRIPTORS, hard), hard))
    variables = take_service_variables()
    systemd = SdNotify(variables)
    status, inherited = 0, None
    try:
        if options["log_file"]:
            log_to(options["log_file"])
        inherited = inherited_socket(variables)
        path = checked_socket_path()
        if inherited is not None:
            require_at(inherited, path)
        with listening_socket(path, inherited.dup() if inherited else None) as listener:
            print(f"toakd listens on {path}", flush=True)  # noqa: T201 - the document's promise
            asyncio.run(_serve(listener, systemd, options))
        leave_hanging_threads(0)
    except* V2mError as problems:
        error = _first(problems)
        systemd.tell(STATUS=f"{error.code}: {error}")
        if inherited is not None:
            turn_away(inherited, error)
        status = _explain(error)
    return status


def _first(problems: BaseExceptionGroup[V2mError]) -> V2mError:
    error: BaseException = problems
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, V2mError)
    return error


def _explain(error: V2mError) -> int:
    """Write a problem for the user; return the exit status."""
    sys.stderr.write(f"toakd: {error}\n" + (f"  → {error.hint}\n" if error.hint else ""))
    return exit_code(error.code)


async def _serve(listener: socket.socket, systemd: SdNotify, options: dict[str, Any]) -> None:
    asyncio.get_running_loop().set_default_executor(Threads(thread_name_prefix="asyncio"))
    await Daemon(listener, systemd).run(options)
