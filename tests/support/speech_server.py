"""A speech service on loopback with real sockets and real TLS, and a script of faults.

It counts what a service sees: connections, handshakes, requests, bytes of bodies, and when they came.
"""

import asyncio
import email.parser
import email.policy
import json
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from support.certificates import issue


@dataclass
class Request:
    """One request as it arrived; `body` grows while it does."""

    method: str
    path: str
    headers: dict[str, str]
    connection: int  # from 1
    first_byte_at: float = 0.0  # CLOCK_MONOTONIC of the first byte of the body
    body: bytearray = field(default_factory=bytearray)
    broken_off: bool = False  # the client went away before it had an answer

    @property
    def length(self) -> int:
        return int(self.headers.get("content-length", 0))

    def fields(self) -> dict[str, bytes]:
        """Return the parts of a multipart body by name."""
        head = f"Content-Type: {self.headers['content-type']}\r\n\r\n".encode()
        message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + bytes(self.body))
        parts = [(part.get_param("name", header="content-disposition"), part) for part in message.iter_parts()]
        return {str(name): part.get_payload(decode=True) for name, part in parts}


class Exchange:
    """What a behaviour may do with a request."""

    def __init__(self, server: "SpeechServer", request: Request, reader, writer) -> None:
        self.server = server
        self.request = request
        self.reader: asyncio.StreamReader = reader
        self.writer: asyncio.StreamWriter = writer

    async def read_body(self, at_most: int | None = None) -> None:
        """Read the body, or a part of it; ConnectionError when the client goes away meanwhile."""
        request = self.request
        wanted = request.length if at_most is None else min(at_most, request.length)
        while len(request.body) < wanted:
            chunk = await self.reader.read(min(65536, wanted - len(request.body)))
            if not chunk:
                raise ConnectionResetError
            request.first_byte_at = request.first_byte_at or time.monotonic()
            request.body += chunk

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()
        await asyncio.sleep(0)  # drain does not wait on a lost TLS connection, which is then never noticed

    async def answer(self, status: int, body: bytes, kind: str = "application/json", **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        head = "\r\n".join([*lines, "", ""]).encode()
        await self.send(head if self.request.method == "HEAD" else head + body)


Behaviour = Callable[[Exchange], Awaitable[None]]


def says(text: str = "Hello there.", **more) -> Behaviour:
    """Answer with a text, as `verbose_json` does."""
    return answers(200, json.dumps({"task": "transcribe", "language": "english", "text": text, **more}).encode())


def answers(status: int, body: bytes = b"{}", kind: str = "application/json", **headers: str) -> Behaviour:
    """Answer with a status."""

    async def behave(exchange: Exchange) -> None:
        await exchange.read_body()
        await exchange.answer(status, body, kind, **headers)

    return behave


def slow(seconds: float, then: Behaviour) -> Behaviour:
    """Answer after a while, unless the client goes away meanwhile."""

    async def behave(exchange: Exchange) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await silent(exchange)
        await then(exchange)

    return behave


async def silent(exchange: Exchange) -> None:
    """Take the request and never answer, until the client goes away."""
    await exchange.read_body()
    if not await exchange.reader.read(1):
        raise ConnectionResetError


async def held(exchange: Exchange) -> None:
    """Take a little of the body, wait for `server.go_on`, then take all that comes."""
    await exchange.read_body(1)
    exchange.server.holding.set()
    await exchange.server.go_on.wait()
    await exchange.read_body()
    await exchange.answer(200, b'{"text": "Late."}')


async def hang_up(exchange: Exchange) -> None:
    """Close without an answer."""
    await exchange.read_body()
    raise ConnectionAbortedError


async def reset(exchange: Exchange) -> None:
    """Break the connection off, as a router does."""
    await exchange.read_body()
    raw = exchange.writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise ConnectionAbortedError


async def half(exchange: Exchange) -> None:
    """Announce 1,000 bytes, send 10, close."""
    await exchange.read_body()
    await exchange.send(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"text": "')
    raise ConnectionAbortedError


async def dribble(exchange: Exchange) -> None:
    """Send a byte now and then, and never the last."""
    await exchange.read_body()
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        await exchange.send(b" ")
        await asyncio.sleep(0.02)


async def endless(exchange: Exchange) -> None:
    """Send a body that has no end, as fast as it goes."""
    await exchange.read_body()
    await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await exchange.send(b"10000\r\n" + b" " * 0x10000 + b"\r\n")


HTML = answers(200, b"<!DOCTYPE html><title>Log in to the Wi-Fi</title>", "text/html")


class SpeechServer:
    """The service; `script` gives the behaviour of the next requests, `default` that of the rest.

    `idle_s` closes a connection on which no request comes for so long. After `mute()` the connections
    that exist are answered no more, as behind a router that has forgotten them.
    """

    def __init__(self, *, certificate: str = "", tls: bool = True, idle_s: float | None = None) -> None:
        self.connections = 0
        self.handshakes = 0
        self.open = 0  # connections
        self.requests: list[Request] = []  # without the probes
        self.probes: list[Request] = []
        self.script: list[Behaviour] = []
        self.default: Behaviour = says()
        self.on_probe: Behaviour = answers(200)
        self.holding = asyncio.Event()
        self.go_on = asyncio.Event()
        self._idle_s = idle_s
        self._muted: set[int] = set()
        self._context: ssl.SSLContext | None = None
        if tls:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            issue(certificate).configure_cert(self._context)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]

    @property
    def base_url(self) -> str:
        return f"http{'s' if self._context else ''}://localhost:{self.port}/v1"

    def mute(self) -> None:
        self._muted.update(range(1, self.connections + 1))

    async def serve(self) -> None:
        """Accept connections until cancelled."""
        loop = asyncio.get_running_loop()
        with self._listener:
            async with asyncio.TaskGroup() as group:
                while True:
                    accepted, _ = await loop.sock_accept(self._listener)
                    self.connections += 1
                    group.create_task(self._connected(accepted, self.connections))

    async def _connected(self, accepted: socket.socket, number: int) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=65536)
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, accepted, ssl=self._context)
        except (OSError, ssl.SSLError):
            accepted.close()
            return
        self.handshakes += self._context is not None
        self.open += 1
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        try:
            with suppress(ConnectionError, TimeoutError, ssl.SSLError, asyncio.IncompleteReadError):
                while await self._one_request(reader, writer, number):
                    pass
        finally:
            self.open -= 1
            writer.transport.abort()

    async def _one_request(self, reader, writer, number: int) -> bool:
        async with asyncio.timeout(self._idle_s):
            first = await reader.readline()
        if not first:
            return False
        if not first.endswith(b" HTTP/1.1\r\n"):
            return False
        method, path, _ = first.decode().split()
        headers = {}
        while line := (await reader.readline()).decode().strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        request = Request(method, path, headers, number)
        (self.probes if method == "HEAD" else self.requests).append(request)
        exchange = Exchange(self, request, reader, writer)
        try:
            await self._behaviour(request)(exchange)
        except ConnectionAbortedError:
            return False
        except (ConnectionError, ssl.SSLError):
            request.broken_off = True
            return False
        return True

    def _behaviour(self, request: Request) -> Behaviour:
        if request.connection in self._muted:
            return silent
        if request.method == "HEAD":
            return self.on_probe
        return self.script.pop(0) if self.script else self.default


@asynccontextmanager
async def serving(**options) -> AsyncIterator[SpeechServer]:
    """Run a service beside the test."""
    server = SpeechServer(**options)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(server.serve())
        try:
            yield server
        finally:
            task.cancel()


def closed_port() -> int:
    """Return a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
