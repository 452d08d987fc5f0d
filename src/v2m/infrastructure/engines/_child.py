"""One life of the speech process: the process itself, and our end of the socket to it."""

import asyncio
import contextlib
import os
import socket
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Iterator, Sequence

from v2m.infrastructure._run import end_group, variables_without_secrets
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
async def spawned(argv: Sequence[str], brief: bytes) -> AsyncIterator[Child]:
    """Start a process that takes `--channel` and reads `--brief`; leaving ends it at once. Raises OSError."""
    ours, theirs = socket.socketpair()
    ours.settimeout(0)
    process = None
    try:
        with theirs, _readable(brief) as briefing:
            process = await asyncio.create_subprocess_exec(
                *argv,
                f"--channel={theirs.fileno()}",
                f"--brief={briefing}",
                pass_fds=[theirs.fileno(), briefing],
                stdin=DEVNULL,
                stdout=DEVNULL,
                env=variables_without_secrets(),
                start_new_session=True,
            )
        yield Child(process, ours)
    finally:
        ours.close()
        if process is not None:
            await end_group(process)


@contextlib.contextmanager
def _readable(content: bytes) -> Iterator[int]:
    """Yield a descriptor from which the content can be read once."""
    fd = os.memfd_create("v2m-brief", os.MFD_CLOEXEC)
    try:
        os.pwrite(fd, content, 0)
        yield fd
    finally:
        os.close(fd)
