"""One HTTP client per service, for the daemon's life: what makes a request cheap is that nothing is set up for it."""

import asyncio
import logging
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any, Final, Protocol

import httpx2

from v2m.domain.errors import EngineReason, EngineUnavailableError
from v2m.infrastructure._http_faults import fault
from v2m.infrastructure._http_setup import build_context, is_loopback, parse_address, proxy_for

log = logging.getLogger(__name__)

KEEPALIVE_S: Final = 600.0  # httpx2's 5 s would cost a handshake per dictation; services keep 60 s to 400 s
CONNECT_S: Final = 5.0  # one connection: three round trips; 5 s covers a lost packet or two
MAX_ANSWER_BYTES: Final = 4 << 20  # an hour of text with times for each word is about 1 MiB
PIECE_BYTES: Final = 1 << 16  # of a body, written at once: how exactly an upload that is cut off is counted
MAX_CONNECTIONS: Final = 5  # three for whoever speaks, two for files
_SOCKET_OPTIONS: Final = (
    # What is cancelled is cut off: without this the kernel goes on sending what it has buffered.
    (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)),
    # The kernel keeps routers from forgetting an idle connection, and wakes nobody for it.
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    # A way through the network that is gone is noticed while there is time for another try.
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 8000),
)


OnBody = Callable[[int, int], None]  # requests, bytes of their bodies


class CountedBody(httpx2.AsyncByteStream):
    """A request's body that is told before its first byte leaves, and taken back as far as it did not.

    Told first, so that no crash can make it less than what left; a connection that is never made tells nothing.
    """

    def __init__(self, body: httpx2.AsyncByteStream, size: int, tell: OnBody) -> None:
        self._body = body
        self._size = size
        self._tell = tell
        self._left = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield it in pieces; each counts as sent when it is handed out."""
        self._left = self._size
        self._tell(1, self._size)
        async for chunk in self._body:
            for start in range(0, len(chunk), PIECE_BYTES):
                piece = chunk[start : start + PIECE_BYTES]
                self._left -= len(piece)
                yield piece

    def settle(self) -> None:
        """Take back what did not leave. Twice is fine."""
        if self._left:
            self._tell(0, -self._left)
            self._left = 0


class _Stream(Protocol):
    def get_extra_info(self, info: str) -> Any: ...  # noqa: ANN401 - httpcore2's


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer; its headers can be asked for in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class _Exchange:
    """What is known of one request on the wire."""

    fresh: bool = False  # a connection was made for it
    answered: bool = False


class HttpPool:
    """Kept connections to one service; HTTP/1.1, no redirects, no cookies, answers of bounded size.

    Called from the loop. Deadlines are the caller's (`asyncio.timeout`): cancelling closes the
    connection at once, with whatever has not left this machine yet.
    """

    def __init__(
        self,
        base_url: str,
        *,
        user_agent: str,
        ca_file: Path | None = None,
        keepalive_s: float = KEEPALIVE_S,
    ) -> None:
        """Take the address of the service; `ca_file` replaces the system's authorities. Connects to nothing."""
        self._url = base_url.rstrip("/")
        address = parse_address(self._url)
        self.host = address.netloc.decode() if address else self._url
        self.private = address is not None and (address.scheme == "https" or is_loopback(address.host))
        self._ca_file = ca_file
        self._user_agent = user_agent
        self._keepalive_s = keepalive_s
        self._slept_s = suspended_s()
        self._client: httpx2.AsyncClient | None = None
        self._opening = asyncio.Lock()
        self._streams: list[_Stream] = []
        self._closed = False
        self.handshakes = 0  # of TLS, so far
        self.busy = 0  # requests under way
        self.used_at = 0.0  # CLOCK_MONOTONIC of the last answer

    @property
    def connected(self) -> bool:
        """Whether a connection is kept that the other side has not closed, as far as this machine can know."""
        return any(not stream.get_extra_info("is_readable") for stream in self._streams)

    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        fields: Mapping[str, str | Sequence[str]] | None = None,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
        on_body: OnBody | None = None,
    ) -> Reply:
        """Send a request and return the whole answer, whatever its status.

        A kept connection that turns out to be dead before any byte of an answer is replaced, once. `on_body` is told
        what leaves this machine, corrections included.

        Raises:
            EngineUnavailableError: NETWORK, TIMEOUT for a connection that is not made in time, GARBLED.
        """
        self.notice_sleep()
        client = await self._ready()
        request = client.build_request(method, self._url + path, headers=headers, data=fields, files=files)
        if on_body is not None and isinstance(request.stream, httpx2.AsyncByteStream):
            request.stream = CountedBody(request.stream, int(request.headers["content-length"]), on_body)
        self.busy += 1
        try:
            return await self._sent(client, request)
        finally:
            self.busy -= 1

    def notice_sleep(self) -> None:
        """Cut every connection if the machine has slept since the last one was made: nobody kept the other end."""
        slept_s = suspended_s()
        if slept_s - self._slept_s > 1.0:  # the two clocks are not read at the same time
            self.drop()
        self._slept_s = slept_s

    def drop(self) -> None:
        """Cut every connection; the next request opens a new one."""
        for stream in self._streams:
            with suppress(OSError):
                stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        self._streams.clear()

    async def aclose(self) -> None:
        """Close every connection; later requests raise EngineUnavailableError. Twice is fine."""
        self._closed = True
        self._streams.clear()
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    async def _ready(self) -> httpx2.AsyncClient:
        async with self._opening:
            if self._closed:
                raise EngineUnavailableError("The speech service was closed.", reason=EngineReason.NETWORK)
            if self._client is None:
                self._client = await self._build_client()
            return self._client

    async def _build_client(self) -> httpx2.AsyncClient:
        proxy = proxy_for(self._url)
        context = await asyncio.to_thread(build_context, self._ca_file)  # reads 140 certificates: 15 ms
        limits = httpx2.Limits(
            max_connections=MAX_CONNECTIONS, max_keepalive_connections=1, keepalive_expiry=self._keepalive_s
        )
        return httpx2.AsyncClient(
            transport=httpx2.AsyncHTTPTransport(verify=context, limits=limits, proxy=proxy),
            headers={"User-Agent": self._user_agent, "Accept": "application/json", "Accept-Encoding": "identity"},
            timeout=httpx2.Timeout(None, connect=CONNECT_S),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            trust_env=False,  # the proxy is chosen above, .netrc and the like are none of our business
        )

    async def _sent(self, client: httpx2.AsyncClient, request: httpx2.Request) -> Reply:
        exchange = _Exchange()
        try:
            return await self._exchange(client, request, exchange)
        except (httpx2.HTTPError, httpx2.StreamError, OSError, ssl.SSLError) as error:
            stale = not exchange.fresh and not exchange.answered and isinstance(error, httpx2.TransportError)
            if not stale:
                raise fault(error, self.host) from error
            log.debug("a kept connection was dead: %s", type(error).__name__)
        try:
            return await self._exchange(client, request, exchange)
        except (httpx2.HTTPError, httpx2.StreamError, OSError, ssl.SSLError) as error:
            raise fault(error, self.host) from error

    async def _exchange(self, client: httpx2.AsyncClient, request: httpx2.Request, exchange: _Exchange) -> Reply:
        async def trace(event: str, details: dict[str, Any]) -> None:
            if event.endswith("connect_tcp.started"):
                exchange.fresh = True
            elif event.endswith("connect_tcp.complete"):
                self._connected(details["return_value"])
            elif event.endswith("start_tls.complete"):
                self.handshakes += 1
            elif event.endswith("receive_response_headers.complete"):
                exchange.answered = True

        request.extensions = {**request.extensions, "trace": trace}
        try:
            response = await client.send(request, stream=True)
        finally:
            if isinstance(request.stream, CountedBody):
                request.stream.settle()
        try:
            body = await self._body(response)
        finally:
            await response.aclose()
        self.used_at = time.monotonic()
        return Reply(response.status_code, response.headers, body)

    def _connected(self, stream: _Stream) -> None:
        """Take note of a connection; the library would set no options on one to a proxy."""
        self._streams = [*filter(is_open, self._streams), stream]
        for option in _SOCKET_OPTIONS:
            stream.get_extra_info("socket").setsockopt(*option)

    async def _body(self, response: httpx2.Response) -> bytes:
        if response.headers.get("content-encoding", "identity").lower() not in ("identity", ""):
            raise self._garbled("sends a compressed answer that nobody asked for")
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise self._garbled(f"sends an answer of more than {MAX_ANSWER_BYTES >> 20} MiB")
        return bytes(body)

    def _garbled(self, what: str) -> EngineUnavailableError:
        return EngineUnavailableError(
            f"{self.host} {what}.",
            reason=EngineReason.GARBLED,
            hint="Is transcription.openai.base_url the address of a speech service?",
        )


def is_open(stream: _Stream) -> bool:
    """Tell whether this machine has not closed a connection yet."""
    return bool(stream.get_extra_info("socket").fileno() >= 0)


def suspended_s() -> float:
    """Return how long this machine has slept since it was started; connections do not survive that."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
