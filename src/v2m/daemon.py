"""`toakd`: listens first, loads everything else behind the socket, and answers until it is told to end.

Importing this module loads neither pydantic nor an adapter, so that a key pressed while the daemon
starts is accepted within a few dozen milliseconds of `exec` and obeyed as soon as the microphone is there.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import resource
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from v2m.client import exit_code
from v2m.core.ipc_protocol import SLOT_BYTES, ControlByte, Request, failure, parse_request, success
from v2m.domain.errors import ConfigError, PermissionDeniedError, StateError, V2mError
from v2m.infrastructure.service.connection import Connection
from v2m.infrastructure.service.listener import listening_socket
from v2m.utils.paths import BadSocketPathError, UnsafeRuntimeDirError, get_secure_runtime_dir, socket_path

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

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
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
        return self._ready.result().dictations.state.value if self._ready.done() else "warming"

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
            data = await self._unless_gone(container.dispatch(command), connection)
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
        await connection.send(payload)

    async def _unless_gone(self, work: Any, connection: Connection) -> dict[str, Any]:  # noqa: ANN401
        """Run a handler; a client that closes the connection abandons what only it waits for."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(_outcome(work))
            gone = group.create_task(connection.gone.wait())
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
            gone.cancel()
            if not task.done():
                task.cancel()
        if task.cancelled():
            raise StateError("The client went away.")
        value: dict[str, Any] | Exception = task.result()
        if isinstance(value, Exception):
            raise value
        return value

    async def _stream(
        self, container: Container, payload: dict[str, Any], request: Request, connection: Connection
    ) -> None:
        """Turn the connection into events, the first of them a full snapshot."""
        connection.subscribed = True
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
        async with self._group:
            server = await loop.create_unix_server(lambda: Connection(self), sock=self._listener)
            root = await asyncio.to_thread(_composition_root)
            opening = root.build_container(arguments["set"], config_file=arguments["config"], shut_down=self.end)
            async with server, opening as container:
                await self._serve(container)
                server.close()
                await self._drain(container)
                self._part()

    async def _serve(self, container: Container) -> None:
        """Apply what was pressed while everything was loaded, then wait for the end."""
        self._max_connections = container.max_connections
        self._jobs = [self._group.create_task(job()) for job in container.jobs]
        self._ready.set_result(container)
        log.info("ready")
        for byte, asked_ns, connection in self._early:
            self._apply(byte, asked_ns, connection)
        await self._ending.wait()

    def _part(self) -> None:
        """Let every client have its answer, and wait for none that does not read."""
        for connection in list(self._connections):
            connection.finish()

        def insist() -> None:
            for connection in list(self._connections):
                connection.abort()

        asyncio.get_running_loop().call_later(PARTING_S, insist)

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


async def _outcome(work: Any) -> Any:  # noqa: ANN401 - a handler's answer
    """Return a handler's error as a value, so that it cannot cancel its siblings."""
    try:
        return await work
    except Exception as error:  # noqa: BLE001 - raised again by the caller
        return error


async def _close_when(gone: asyncio.Event, subscription: Any) -> None:  # noqa: ANN401 - Subscription
    await gone.wait()
    subscription.close()


def _composition_root() -> Any:  # noqa: ANN401 - the module
    """Import the composition root, in a thread, while the socket already accepts."""
    from v2m.core.di import container

    return container


def parse_arguments(arguments: Sequence[str]) -> dict[str, Any]:
    """Read `toakd [--config FILE] [--set KEY=VALUE]…`."""
    parser = argparse.ArgumentParser(prog="toakd", description="The dictation daemon, in the foreground.")
    parser.add_argument("--daemon", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument(
        "--config", metavar="FILE", type=Path, help="settings file in place of ~/.config/v2m/config.toml"
    )
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], type=_setting, help="one setting")
    options = vars(parser.parse_args(arguments))
    return {**options, "set": dict(options["set"])}


def _setting(word: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{word!r} is not KEY=VALUE")
    return key, value


def run(arguments: Sequence[str]) -> int:
    """Run the daemon to its end; return the exit status."""
    try:
        options = parse_arguments(arguments)
    except SystemExit as stop:  # argparse: 0 for --help, 2 for bad usage
        return 64 if stop.code else 0
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(DESCRIPTORS, hard), hard))
    status = 0
    try:
        path = _socket_path()
        with listening_socket(path) as listener:
            print(f"toakd listens on {path}", flush=True)  # noqa: T201 - the document's promise
            asyncio.run(_serve(listener, options))
    except* V2mError as problems:
        status = _explain(problems)
    return status


def _explain(problems: BaseExceptionGroup[V2mError]) -> int:
    """Write the first problem for the user; return the exit status."""
    error: BaseException = problems
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, V2mError)
    sys.stderr.write(f"toakd: {error}\n" + (f"  → {error.hint}\n" if error.hint else ""))
    return exit_code(error.code)


async def _serve(listener: socket.socket, options: dict[str, Any]) -> None:
    await Daemon(listener).run(options)


def _socket_path() -> Path:
    try:
        get_secure_runtime_dir()
        return socket_path()
    except UnsafeRuntimeDirError as error:
        raise PermissionDeniedError(str(error)) from error
    except BadSocketPathError as error:
        raise ConfigError(str(error), hint="unset V2M_SOCKET") from error
