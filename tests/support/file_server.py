"""A server of files on loopback, with real TLS and ranges, and a script of faults; for tests that block.

It counts what a server of models sees: requests, their ranges, and the bytes of bodies that went out.
"""

import asyncio
import hashlib
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from support.speech_server import Behaviour, Exchange, Request, SpeechServer, serving

CHUNK = 16384


class FileServer:
    """Gives `files` (path → bytes); the next requests get what `script` says instead."""

    def __init__(self, files: Mapping[str, bytes], server: SpeechServer) -> None:
        self.files = dict(files)
        self.sent = 0  # bytes of files
        self.version = 1  # part of every entity tag
        self.fault = threading.Event()  # a scripted fault has happened
        self.script: list[Behaviour] = server.script
        self._server = server
        server.default = self.whole

    @property
    def url(self) -> str:
        return self._server.base_url.removesuffix("/v1")

    @property
    def requests(self) -> list[Request]:
        return self._server.requests

    @property
    def ranges(self) -> list[str | None]:
        """What part each request asked for."""
        return [request.headers.get("range") for request in self.requests]

    async def whole(self, exchange: Exchange) -> None:
        """Give the file, or the part that is asked for."""
        await self._give(exchange, None)

    def cut_after(self, count: int) -> Behaviour:
        """Close the connection after so many bytes."""

        async def behave(exchange: Exchange) -> None:
            await self._give(exchange, count)
            exchange.writer.close()
            await exchange.writer.wait_closed()  # what was sent arrives first
            self.fault.set()
            raise ConnectionAbortedError

        return behave

    def stalled_after(self, count: int) -> Behaviour:
        """Send so many bytes and no more, until the client goes away."""

        async def behave(exchange: Exchange) -> None:
            await self._give(exchange, count)
            self.fault.set()
            if not await exchange.reader.read(1):
                raise ConnectionResetError

        return behave

    def tag(self, body: bytes) -> str:
        return f'"{self.version}-{hashlib.sha256(body).hexdigest()[:16]}"'

    async def _give(self, exchange: Exchange, at_most: int | None) -> None:
        body = self.files.get(exchange.request.path)
        if body is None:
            await exchange.answer(404, b"Entry not found", "text/plain")
            return
        start = self._start(exchange.request, body)
        status = "206 Partial Content" if start else "200 OK"
        lines = [f"HTTP/1.1 {status}", "Content-Type: application/octet-stream", f"ETag: {self.tag(body)}"]
        lines += [f"Content-Length: {len(body) - start}"]
        lines += [f"Content-Range: bytes {start}-{len(body) - 1}/{len(body)}"] if start else []
        await exchange.send("\r\n".join([*lines, "", ""]).encode())
        end = len(body) if at_most is None else start + at_most
        for place in range(start, end, CHUNK):
            chunk = body[place : min(place + CHUNK, end)]
            await exchange.send(chunk)
            self.sent += len(chunk)

    def _start(self, request: Request, body: bytes) -> int:
        """Return where to begin: at the front unless the client has the beginning of this very version."""
        wanted = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
        if wanted is None or request.headers.get("if-range", self.tag(body)) != self.tag(body):
            return 0
        return int(wanted[1])


@contextmanager
def file_server(files: Mapping[str, bytes], *, tls: bool = True) -> Iterator[FileServer]:
    """Run a server beside a test that blocks."""
    ready, found = threading.Event(), []

    async def serve() -> None:
        async with serving(tls=tls) as server:
            done = asyncio.Event()
            found.extend([FileServer(files, server), asyncio.get_running_loop(), done])
            ready.set()
            await done.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    ready.wait(20)
    server, loop, done = found
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(20)
