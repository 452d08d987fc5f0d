"""One question and one answer over a Unix socket, as compositors take them."""

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Final

MAX_ANSWER_BYTES: Final = 1 << 24  # a window tree has about 1 kB per window


async def exchange(path: str, question: bytes, *, is_complete: Callable[[bytearray], bool] = lambda _: False) -> bytes:
    """Send a question; return what comes until it is complete or the other side hangs up. Has no deadline of its own.

    Raises:
        OSError: nobody listens there, the connection broke, or the answer never ends.
    """
    loop = asyncio.get_running_loop()
    received = bytearray()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as client:
        try:
            await loop.sock_connect(client, path)
            await loop.sock_sendall(client, question)
            while not is_complete(received) and (data := await loop.sock_recv(client, 1 << 16)):
                received += data
                if len(received) > MAX_ANSWER_BYTES:
                    raise OSError(errno.EMSGSIZE, "the answer never ends")
        finally:
            await asyncio.sleep(0)  # after cancelling, the loop forgets the descriptor one turn later
    return bytes(received)
