"""Reads a pipe to its end on the event loop, for a paste that nobody waits for."""

import asyncio
import os
from collections.abc import Callable
from typing import Final

GIVE_UP_S: Final = 2.0  # a living owner of a clipboard answers within a millisecond
MAX_BYTES: Final = 1 << 20  # more than that is no probe of ours
_CHUNK_BYTES: Final = 1 << 16


def read_pipe(fd: int, on_end: Callable[[bytes], None]) -> None:
    """Take over a non-blocking descriptor; `on_end` gets all of it, unless it takes too long or is too much."""
    loop, received = asyncio.get_running_loop(), bytearray()

    def close() -> None:
        give_up.cancel()
        loop.remove_reader(fd)
        os.close(fd)

    def readable() -> None:
        try:
            chunk = os.read(fd, _CHUNK_BYTES)
        except BlockingIOError:
            return
        received.extend(chunk)
        if not chunk or len(received) > MAX_BYTES:
            close()
        if not chunk:
            on_end(bytes(received))

    give_up = loop.call_later(GIVE_UP_S, close)
    loop.add_reader(fd, readable)
