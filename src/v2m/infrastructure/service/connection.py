"""One accepted client: bytes in, control byte or request bodies out; judged before a byte is read.

The rules (who may connect, how long a frame may take, what happens when there are too many) live here;
what a request means lives in `v2m.daemon`.
"""

import asyncio
import logging
import os
import select
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Awaitable
from typing import Any, Protocol

from v2m.core.ipc_protocol import SLOT_BYTES, ControlByte, FrameDecoder, encode_frame, failure
from v2m.domain.errors import BusyError, FrameTooLargeError, ProtocolError, StateError, V2mError

log = logging.getLogger(__name__)

FRAME_DEADLINE_S = 2.0  # from the first byte to a complete frame
CROWDED_PATIENCE_S = 0.050  # how long a newcomer over the cap has for its control byte
MAKE_ROOM = "Close some, or raise daemon.max_connections."
UNREAD_BODIES = 8  # requests that wait before the client is no longer read
_CONTROL = frozenset({*ControlByte, *SLOT_BYTES})
_CREDENTIALS = struct.Struct("3i")


class Hub(Protocol):
    """What a connection needs from the daemon."""

    @property
    def state(self) -> str:
        """The state every answer carries."""

    def joined(self, connection: "Connection") -> bool:
        """Take a newcomer; False when there are too many."""

    def press(self, byte: int, connection: "Connection") -> None:
        """Apply a control byte; the connection gets one frame as answer."""

    def serve(self, connection: "Connection") -> None:
        """Begin to answer the requests of a client that speaks frames."""

    def left(self, connection: "Connection") -> None:
        """Forget a client."""


class Connection(asyncio.Protocol):
    """A client of this user."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._decoder = FrameDecoder()
        self._bodies: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._mode = "new"  # new → control | frames → closed
        self._crowded = False
        self.gone = asyncio.Event()
        self.last_active = 0.0
        self.subscribed = False
        self.answering = False

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Refuse other users before a byte is read."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._touch()
        peer = transport.get_extra_info("socket")
        uid = _CREDENTIALS.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[1]
        if uid != os.getuid():
            log.warning("refused a connection of uid %d", uid)
            self._mode = "closed"
            transport.abort()
            return
        if not self._hub.joined(self):
            self._crowded = True
            self._set_timer(CROWDED_PATIENCE_S, self._too_many)

    def data_received(self, data: bytes) -> None:
        """Sort control bytes from frames by the very first read."""
        self._touch()
        match self._mode:
            case "new" if len(data) == 1 and data[0] in _CONTROL:
                self._mode = "control"
                self._stop_timer()
                self._hub.press(data[0], self)
            case "new" if self._crowded:
                self._too_many()
            case "new":
                self._mode = "frames"
                self._hub.serve(self)
                self._feed(data)
            case "frames":
                self._feed(data)
            case "control":
                self.refuse(ProtocolError("A control byte stands alone on its connection."))
            case _:
                pass

    def eof_received(self) -> bool:
        """Keep the way back open for a client that only closed its sending half."""
        if self._mode in ("new", "closed") or self._hung_up():
            return False
        if self._decoder.pending:
            self.refuse(ProtocolError("The connection ended inside a frame."))
        if self._mode == "frames":
            self._mode = "draining"
            self._arrived.set()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client; a reply to one that has gone is no error."""
        self._mode = "closed"
        self._stop_timer()
        self.gone.set()
        self._arrived.set()
        self._writable.set()
        self._hub.left(self)

    def pause_writing(self) -> None:
        """Stop answering (and reading) a client that does not read."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Go on."""
        self._writable.set()

    # --- for the daemon ---

    async def requests(self) -> AsyncIterator[bytes]:
        """Yield request bodies in order, until the client is done."""
        while True:
            while self._bodies:
                body = self._bodies.popleft()
                if len(self._bodies) < UNREAD_BODIES and self._transport and not self._transport.is_closing():
                    self._transport.resume_reading()
                    self._time_frame()
                yield body
            if self._mode != "frames":
                return
            self._arrived.clear()
            await self._arrived.wait()

    async def unless_gone(self, work: Awaitable[dict[str, Any]]) -> dict[str, Any]:
        """Do what the client asked for; one that closes the connection abandons what only it waits for.

        Raises:
            StateError: the client went away; or what the work raises.
        """
        async with asyncio.TaskGroup() as group:
            task = group.create_task(_outcome(work))
            gone = group.create_task(self.gone.wait())
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
            gone.cancel()
            if not task.done():
                task.cancel()
        if task.cancelled():
            raise StateError("The client went away.")
        value = task.result()
        if isinstance(value, Exception):
            raise value
        return value

    async def send(self, payload: dict[str, Any]) -> None:
        """Write a frame and wait while the client is slow to read; one that has gone is no error."""
        self.post(payload)
        await self._writable.wait()

    def post(self, payload: dict[str, Any]) -> None:
        """Write a frame without waiting."""
        if self._transport is None or self._transport.is_closing():
            return
        try:
            frame = encode_frame(payload)
        except FrameTooLargeError as error:
            frame = encode_frame(failure(error, self._hub.state, payload.get("id")))
        self._transport.write(frame)
        self._touch()

    def refuse(self, error: V2mError) -> None:
        """Say why and close."""
        self.post(failure(error, self._hub.state))
        self.close()

    def close(self) -> None:
        """Close after what has been written."""
        self._mode = "closed"
        self._stop_timer()
        self._arrived.set()
        if self._transport is not None:
            self._transport.close()

    def finish(self) -> None:
        """Answer what has been asked, then close; a subscriber and a client that said nothing are closed at once."""
        if self._mode == "frames" and not self.subscribed:
            self._mode = "draining"
            self._arrived.set()
        elif self._mode != "draining":
            self.close()

    def abort(self) -> None:
        """Close at once, whatever has not been read."""
        if self._transport is not None:
            self._transport.abort()

    # --- inside ---

    def _feed(self, data: bytes) -> None:
        self._decoder.feed(data)
        before = len(self._bodies)
        try:
            while (body := self._decoder.next_body()) is not None:
                self._bodies.append(body)
        except ProtocolError as error:
            self._bodies.clear()
            self.refuse(error)
            return
        if len(self._bodies) > before:  # a frame was completed: the next one has its own time
            self._stop_timer()
            self._arrived.set()
        if len(self._bodies) >= UNREAD_BODIES and self._transport is not None:
            self._transport.pause_reading()
            self._stop_timer()  # it is we who do not read
        else:
            self._time_frame()

    def _time_frame(self) -> None:
        """Give a frame that has begun its time."""
        if self._decoder.pending and self._timer is None:
            self._set_timer(FRAME_DEADLINE_S, self._too_slow)

    def _hung_up(self) -> bool:
        """Tell a client that closed from one that only ended its requests."""
        assert self._transport is not None
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), 0)
        return any(events & (select.POLLHUP | select.POLLERR) for _, events in poll.poll(0))

    def _too_slow(self) -> None:
        self.refuse(ProtocolError(f"A frame took longer than {FRAME_DEADLINE_S:.0f} s."))

    def _too_many(self) -> None:
        self.refuse(BusyError("Too many clients are connected.", hint=MAKE_ROOM))

    def _set_timer(self, delay_s: float, action: Any) -> None:  # noqa: ANN401 - any callable
        self._timer = asyncio.get_running_loop().call_later(delay_s, action)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _touch(self) -> None:
        self.last_active = asyncio.get_running_loop().time()


async def _outcome(work: Awaitable[dict[str, Any]]) -> dict[str, Any] | Exception:
    """Return an error as a value, so that it cannot cancel its siblings."""
    try:
        return await work
    except Exception as error:  # noqa: BLE001 - raised again by the caller
        return error
