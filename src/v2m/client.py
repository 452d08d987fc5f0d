"""Talks to the daemon; standard library only, and importing it loads little.

`Client` blocks, `AsyncClient` is for asyncio; both raise `ClientError`. A client connects at its first
call and again by itself when the daemon has closed an idle connection. It is used by one thread.
"""

import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from v2m import _calls
from v2m._calls import (
    MAX_PAYLOAD_SIZE,
    PATIENT,
    PROTOCOL_VERSION,
    ClientError,
    CommandError,
    DaemonNotRunningError,
    DaemonTimeoutError,
    OtherProtocolError,
)

if TYPE_CHECKING:
    from socket import socket

__all__ = [
    "EXIT_CODES",
    "MAX_PAYLOAD_SIZE",
    "PATIENT",
    "PROTOCOL_VERSION",
    "AsyncClient",
    "Client",
    "ClientError",
    "CommandError",
    "DaemonNotRunningError",
    "DaemonTimeoutError",
    "OtherProtocolError",
    "exit_code",
    "send_command",
]

EXIT_CODES: Final[dict[str, int]] = {
    "usage": 64,
    "bad_request": 64,
    "unknown_command": 64,
    "not_running": 69,
    "capture_failed": 70,
    "engine_failed": 70,
    "output_failed": 70,
    "refine_failed": 70,
    "storage_failed": 70,
    "history_failed": 70,
    "no_speech": 70,
    "download_failed": 70,
    "internal": 70,
    "busy": 75,
    "timeout": 75,
    "state_conflict": 75,
    "already_running": 75,
    "permission": 77,
    "bad_config": 78,
    "model_missing": 78,
}


def exit_code(code: str) -> int:
    """Return the exit status for an error code; one this client does not know is 70."""
    return EXIT_CODES.get(code, 70)


class Client:
    """A blocking client, for one thread.

    `path`: the daemon's socket, default as everywhere (`V2M_SOCKET`, else the runtime directory).
    `timeout_s`: for each call; default 5 s, none for the commands in `PATIENT`, which wait for speech.
    """

    def __init__(self, path: str | Path | None = None, timeout_s: float | None = None) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._socket: socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; twice is fine, and a later call connects again."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def call(self, cmd: str, /, **data: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """Ask for a command and return `data` of the answer.

        Raises:
            CommandError: the daemon refused.
            ClientError: no answer; DaemonNotRunningError and DaemonTimeoutError say why.
        """
        return _calls.result(self.request(cmd, data))

    def request(self, cmd: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """Ask for a command and return the whole answer, a refusal too.

        Raises:
            ClientError: without one; OtherProtocolError when the daemon is of another version.
        """
        reply = self._exchange(cmd, data)
        if cmd == "PING":
            _calls.check_protocol(reply)
        elif _calls.is_misunderstood(reply):
            with _calls.unanswered():
                _calls.check_protocol(self._exchange("PING", {}))
        return reply

    def _exchange(self, cmd: str, data: Mapping[str, Any]) -> dict[str, Any]:
        frame = _calls.encode(cmd, data)
        deadline = _calls.deadline_in(_calls.patience(cmd, data, self._timeout_s))
        if self._socket is not None and _calls.has_ended(self._socket):
            self.close()
        connection = self._socket = self._socket or _calls.connect(self._path)
        try:
            _calls.send(connection, frame, deadline)
            return _calls.receive(connection, deadline)
        except BaseException:  # an answer that comes later must not meet the next call
            self.close()
            raise

    def events(self, names: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
        """Yield `{"event", "data", "seq"}`, first a snapshot, until the daemon ends; on its own connection.

        `names`: the wanted events, default all. A hole in `seq` means events were lost. Raises ClientError.
        """
        with _calls.connect(self._path) as connection:
            deadline = _calls.deadline_in(_calls.ANSWER_S)
            _calls.send(connection, _calls.encode("SUBSCRIBE", {"events": list(names)}), deadline)
            yield _calls.event(_calls.receive(connection, deadline))
            while _calls.wait_for_more(connection):
                yield _calls.event(_calls.receive(connection, _calls.deadline_in(_calls.ANSWER_S)))


class AsyncClient:
    """The same for asyncio: `await client.call(…)`, `async for event in client.events()`.

    Calls of several tasks are made one after the other. Cancelling a call closes the connection; what
    was asked may still happen.
    """

    def __init__(self, path: str | Path | None = None, timeout_s: float | None = None) -> None:
        from asyncio import Lock

        self._path = path
        self._timeout_s = timeout_s
        self._one_at_a_time = Lock()
        self._socket: socket | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; twice is fine, and a later call connects again."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    async def call(self, cmd: str, /, **data: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """As `Client.call`."""
        return _calls.result(await self.request(cmd, data))

    async def request(self, cmd: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """As `Client.request`."""
        reply = await self._exchange(cmd, data)
        if cmd == "PING":
            _calls.check_protocol(reply)
        elif _calls.is_misunderstood(reply):
            with _calls.unanswered():
                _calls.check_protocol(await self._exchange("PING", {}))
        return reply

    async def _exchange(self, cmd: str, data: Mapping[str, Any]) -> dict[str, Any]:
        frame = _calls.encode(cmd, data)
        async with self._one_at_a_time:
            if self._socket is not None and _calls.has_ended(self._socket):
                self.close()
            connection = self._socket = self._socket or await _connect(self._path)
            try:
                return await _exchange(connection, frame, _calls.patience(cmd, data, self._timeout_s))
            except BaseException:
                self.close()
                raise

    async def events(self, names: Sequence[str] = ()) -> AsyncIterator[dict[str, Any]]:
        """As `Client.events`."""
        with await _connect(self._path) as connection:
            subscribe = _calls.encode("SUBSCRIBE", {"events": list(names)})
            yield _calls.event(await _exchange(connection, subscribe, _calls.ANSWER_S))
            while start := await _read(connection, 1):
                yield _calls.event(await _receive(connection, start))


def send_command(cmd: str, /, **data: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Make one call on a connection of its own; as `Client.call`."""
    with Client() as client:
        return client.call(cmd, **data)


# --- asyncio ------------------------------------------------------------------------------------------


async def _connect(path: str | Path | None) -> "socket":
    import asyncio

    deadline = time.monotonic() + _calls.CONNECT_S
    while (connection := _calls.connect_now(path)) is None:
        if time.monotonic() > deadline:
            raise DaemonTimeoutError
        await asyncio.sleep(_calls.CONNECT_PAUSE_S)
    return connection


async def _exchange(connection: "socket", frame: bytes, patience_s: float | None) -> dict[str, Any]:
    import asyncio

    try:
        async with asyncio.timeout(patience_s):
            with _calls.refused_early():
                await asyncio.get_running_loop().sock_sendall(connection, frame)
            return await _receive(connection)
    except TimeoutError as error:
        raise DaemonTimeoutError from error


async def _receive(connection: "socket", start: bytes = b"") -> dict[str, Any]:
    header = start
    while len(header) < _calls.HEADER_BYTES:
        header += await _read_some(connection, _calls.HEADER_BYTES - len(header))
    size, body = _calls.body_bytes(header), bytearray()
    while len(body) < size:
        body += await _read_some(connection, size - len(body))
    return _calls.decode(bytes(body))


async def _read_some(connection: "socket", at_most: int) -> bytes:
    if chunk := await _read(connection, at_most):
        return chunk
    raise _calls.closed()


async def _read(connection: "socket", at_most: int) -> bytes:
    """Read what is there, nothing when the daemon has ended."""
    from asyncio import get_running_loop

    try:
        return await get_running_loop().sock_recv(connection, at_most)
    except ConnectionResetError:
        return b""
