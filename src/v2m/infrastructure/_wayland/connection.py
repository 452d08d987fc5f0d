"""A Wayland client connection on the event loop: no library, no thread, a deadline on every wait."""

import array
import asyncio
import os
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Final, Self

from v2m.infrastructure._wayland.wire import (
    FIRST_SERVER_ID,
    Arguments,
    message,
    string,
    take_message,
    uints,
)

ROUNDTRIP_S: Final = 1.0  # a compositor answers within a millisecond; one that needs a second hangs
RECEIVE_BYTES: Final = 65536
MAX_FDS: Final = 28  # what libwayland puts into one message at most
DISPLAY_ID: Final = 1

Handler = Callable[[int, bytes], None]  # opcode, body


class WaylandError(Exception):
    """The compositor refused a request, hangs, or is gone."""


class Connection:
    """One connection: object ids (reused once the compositor says so), globals, requests, events.

    Lives on the loop that opened it. After an error every further wait raises it.
    """

    def __init__(self, connected: socket.socket, path: str) -> None:
        self.path = path
        self.globals: dict[str, tuple[int, int]] = {}  # interface → (name, version)
        self._socket = connected
        self._loop = asyncio.get_running_loop()
        self._handlers: dict[int, Handler] = {DISPLAY_ID: self._display_event}
        self._free: list[int] = []
        self._next = DISPLAY_ID + 1
        self._received = bytearray()
        self._received_fds: deque[int] = deque()
        self._unsent = bytearray()
        self._unsent_fds: list[int] = []
        self._progress = asyncio.Event()
        self.on_lost: Callable[[], None] | None = None  # called once, when the compositor is gone or we disconnect
        self._error: WaylandError | None = None
        self._loop.add_reader(connected, self._readable)

    @classmethod
    async def open(cls, path: str, *, timeout_s: float = ROUNDTRIP_S) -> Self:
        """Connect to a compositor's socket and read its globals.

        Raises:
            WaylandError: nobody answers there.
        """
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.get_running_loop().sock_connect(client, path)
        except (OSError, TimeoutError) as error:
            client.close()
            raise WaylandError(f"no compositor answers at {path}") from error
        connection = cls(client, path)
        try:
            connection._registry = connection.create(connection._registry_event)
            connection.request(DISPLAY_ID, 1, uints(connection._registry))
            await connection.roundtrip(timeout_s)
        except BaseException:
            connection.close()
            raise
        return connection

    _registry: int

    @property
    def alive(self) -> bool:
        """Whether the compositor is still there, as far as it has been heard."""
        return self._error is None

    @property
    def peer_pid(self) -> int:
        """The compositor's process, as it was when it began to listen; 0: not known."""
        try:
            credentials = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        except OSError:
            return 0
        return int(struct.unpack("3i", credentials)[0])

    def create(self, handler: Handler | None = None) -> int:
        """Return a fresh object id whose events go to `handler`."""
        if self._free:
            object_id = self._free.pop()
        else:
            object_id, self._next = self._next, self._next + 1
        self._handlers[object_id] = handler or _ignore
        return object_id

    def adopt(self, object_id: int, handler: Handler) -> None:
        """Take an object that the compositor made."""
        self._handlers[object_id] = handler

    def bind(self, interface: str, version: int, handler: Handler | None = None) -> int:
        """Bind a global at `version` or what the compositor has; return the object's id.

        Raises:
            WaylandError: the compositor does not offer it.
        """
        if interface not in self.globals:
            raise WaylandError(f"this compositor does not offer {interface}")
        name, offered = self.globals[interface]
        object_id = self.create(handler)
        body = uints(name) + string(interface) + uints(min(version, offered), object_id)
        self.request(self._registry, 0, body)
        return object_id

    def request(self, object_id: int, opcode: int, body: bytes = b"", *, fd: int | None = None) -> None:
        """Queue a request; `fd` is taken over and closed once sent."""
        self._unsent += message(object_id, opcode, body)
        if fd is not None:
            self._unsent_fds.append(fd)

    def flush(self) -> None:
        """Send what is queued as far as the socket takes it; the rest follows when there is room."""
        try:
            while self._unsent and self._error is None:
                fds, ancillary = self._unsent_fds[:MAX_FDS], []
                if fds:
                    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
                sent = self._socket.sendmsg([self._unsent[:RECEIVE_BYTES]], ancillary)
                del self._unsent[:sent]
                del self._unsent_fds[: len(fds)]
                for fd in fds:
                    os.close(fd)
        except BlockingIOError:
            self._loop.add_writer(self._socket, self._writable)
        except OSError as error:
            self._fail(f"the compositor closed the connection ({error.strerror})")

    async def until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Send what is queued, take events until the condition holds; False when it does not in time.

        Raises:
            WaylandError: the connection broke.
        """
        self.flush()
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    if self._error:
                        raise self._error
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            return False
        return True

    async def roundtrip(self, timeout_s: float = ROUNDTRIP_S, *, handled: Callable[[], None] | None = None) -> None:
        """Return once the compositor has handled everything sent so far; `handled` is called in order with its events.

        Raises:
            WaylandError: it is gone, or does not answer in time.
        """
        answered: list[int] = []

        def answer(opcode: int, _body: bytes) -> None:
            answered.append(opcode)
            if handled is not None:
                handled()

        callback = self.create(answer)
        self.request(DISPLAY_ID, 0, uints(callback))
        if not await self.until(lambda: bool(answered), timeout_s):
            raise WaylandError("the compositor does not answer")

    def take_fd(self) -> int:
        """Return the next descriptor that came with an event; the caller closes it."""
        return self._received_fds.popleft()

    def close(self) -> None:
        """Disconnect; twice is fine."""
        self._fail("the connection was closed")

    def _fail(self, reason: str) -> None:
        if self._error is not None:
            return
        self._error = WaylandError(reason)
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        for fd in (*self._received_fds, *self._unsent_fds):
            os.close(fd)
        self._received_fds.clear()
        self._unsent_fds.clear()
        self._progress.set()
        if self.on_lost is not None:
            self.on_lost()

    def _writable(self) -> None:
        self._loop.remove_writer(self._socket)
        self.flush()

    def _readable(self) -> None:
        try:
            data, fds, _, _ = socket.recv_fds(self._socket, RECEIVE_BYTES, MAX_FDS, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(f"the compositor closed the connection ({error.strerror})")
            return
        self._received_fds.extend(fds)
        if not data:
            self._fail("the compositor closed the connection")
            return
        self._received += data
        self._dispatch()
        self._progress.set()

    def _dispatch(self) -> None:
        try:
            while self._error is None and (event := take_message(self._received)):
                object_id, opcode, body = event
                self._handlers.get(object_id, _ignore)(opcode, body)
        except (ValueError, IndexError) as error:
            self._fail(f"the compositor sent something unintelligible ({error})")

    def _display_event(self, opcode: int, body: bytes) -> None:
        arguments = Arguments(body)
        if opcode == 0:
            culprit, code = arguments.uint(), arguments.uint()
            self._fail(f"the compositor reports error {code} of object {culprit}: {arguments.string()}")
        elif opcode == 1:
            self.release(arguments.uint())

    def release(self, object_id: int) -> None:
        """Forget an object that no longer exists; its id may be used again."""
        if self._handlers.pop(object_id, None) and object_id < FIRST_SERVER_ID:
            self._free.append(object_id)

    def _registry_event(self, opcode: int, body: bytes) -> None:
        arguments = Arguments(body)
        name = arguments.uint()
        if opcode == 0:
            interface = arguments.string()
            self.globals.setdefault(interface, (name, arguments.uint()))
        elif opcode == 1:
            gone = [interface for interface, (number, _) in self.globals.items() if number == name]
            for interface in gone:
                del self.globals[interface]


def _ignore(_opcode: int, _body: bytes) -> None:
    """Events that nobody asked for."""
