"""The worker's end of the socket pair: blocking, written to by two threads, read by one."""

import select
import socket
import threading
from collections.abc import Iterator
from typing import Final

from v2m.infrastructure.engines._messages import Message, Open, Unpacker, pack

_CHUNK_BYTES: Final = 1 << 16
_DESCRIPTORS: Final = 8  # per read; the kernel hands over one message's at a time


class Channel:
    """Takes the daemon's messages and sends the worker's."""

    def __init__(self, fd: int) -> None:
        """Take over the descriptor of the worker's end."""
        self._socket = socket.socket(fileno=fd)
        self._unpacker = Unpacker()
        self._descriptors: list[int] = []
        self._sending = threading.Lock()

    def send(self, message: Message) -> None:
        """Send, whole; a daemon that has gone is noticed by the reader."""
        try:
            with self._sending:
                self._socket.sendall(pack(message))
        except (BrokenPipeError, ConnectionResetError):
            return

    def receive(self, timeout_s: float | None) -> Iterator[tuple[Message, list[int]]]:
        """Wait so long (None: for ever) and yield each message with the descriptors that came with it.

        Raises:
            EOFError: the daemon has gone.
        """
        readable, _, _ = select.select([self._socket], [], [], timeout_s)
        if not readable:
            return
        try:
            data, descriptors, _, _ = socket.recv_fds(self._socket, _CHUNK_BYTES, _DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            data, descriptors = b"", []
        if not data:
            raise EOFError
        self._descriptors += descriptors
        for message in self._unpacker.feed(data):
            count = message.descriptors if isinstance(message, Open) else 0
            yield message, [self._descriptors.pop(0) for _ in range(count)]
