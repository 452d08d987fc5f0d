"""One life of the speech process: the process itself, and our end of the socket to it."""

import asyncio
import contextlib
import socket
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Sequence

from v2m.infrastructure._run import end_group
from v2m.infrastructure.engines._messages import Message, Unpacker, send_now


class Child:
    """A speech process that runs; made by `spawned`."""

    def __init__(self, process: asyncio.subprocess.Process, connection: socket.socket) -> None:
        self._process = process
        self._connection = connection

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Its exit status, once it was reaped."""
        return self._process.returncode

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> bool:
        """Send without waiting; False when it has not read for long."""
        return send_now(self._connection, message, descriptors)

    async def messages(self) -> AsyncIterator[Message]:
        """Yield what it says, until it is gone or was hung up on."""
        loop, unpacker = asyncio.get_running_loop(), Unpacker()
        with contextlib.suppress(ConnectionResetError):
            while data := await loop.sock_recv(self._connection, 1 << 16):
                for message in unpacker.feed(data):
                    yield message

    def hang_up(self) -> None:
        """Close the connection: it says nothing more, and ends. Twice is fine."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)


@contextlib.asynccontextmanager
async def spawned(argv: Sequence[str]) -> AsyncIterator[Child]:
    """Start a process that takes `--channel`; leaving ends it at once. Raises OSError."""
    ours, theirs = socket.socketpair()
    ours.settimeout(0)
    process = None
    try:
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *argv,
                f"--channel={theirs.fileno()}",
                pass_fds=[theirs.fileno()],
                stdin=DEVNULL,
                stdout=DEVNULL,
                start_new_session=True,
            )
        yield Child(process, ours)
    finally:
        ours.close()
        if process is not None:
            await end_group(process)
