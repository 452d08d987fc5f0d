"""Pipes to whoever reads or owns the clipboard: never waited for on the loop, never longer than a deadline."""

import asyncio
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

SERVE_S: Final = 30.0  # a reader that has not taken the text by then has gone to sleep
_CHUNK_BYTES: Final = 1 << 16


def write_all(fd: int, data: bytes, ended: Callable[[bool], None] | None = None) -> None:
    """Write the data as the reader takes it, then close the descriptor; returns at once.

    `ended` gets whether all was written.
    """
    loop = asyncio.get_running_loop()
    os.set_blocking(fd, False)
    rest = memoryview(data)

    def finish() -> None:
        give_up.cancel()
        loop.remove_writer(fd)
        os.close(fd)
        if ended is not None:
            ended(not rest)

    def writable() -> None:
        nonlocal rest
        try:
            while rest:
                rest = rest[os.write(fd, rest[:_CHUNK_BYTES]) :]
        except BlockingIOError:
            loop.add_writer(fd, writable)
            return
        except OSError:  # the reader has gone
            pass
        finish()

    give_up = loop.call_later(SERVE_S, finish)
    writable()


async def read_pipes(fds: Mapping[str, int], *, limit_bytes: int, timeout_s: float) -> dict[str, bytes] | None:
    """Read non-blocking pipes to their ends and close them; None when that takes too long or is too much in all."""
    loop = asyncio.get_running_loop()
    received = {name: bytearray() for name in fds}
    running = set(fds)
    left_bytes = limit_bytes
    ended: asyncio.Future[bool] = loop.create_future()  # whether everything came

    def readable(name: str) -> None:
        nonlocal left_bytes
        try:
            chunk = os.read(fds[name], _CHUNK_BYTES)
        except BlockingIOError:
            return
        received[name] += chunk
        left_bytes -= len(chunk)
        if not chunk:
            loop.remove_reader(fds[name])
            running.discard(name)
        if (left_bytes < 0 or not running) and not ended.done():
            ended.set_result(left_bytes >= 0)

    for name, fd in fds.items():
        loop.add_reader(fd, readable, name)
    try:
        async with asyncio.timeout(timeout_s):
            complete = not fds or await ended
    except TimeoutError:
        complete = False
    finally:
        for fd in fds.values():
            loop.remove_reader(fd)
            os.close(fd)
    return {name: bytes(data) for name, data in received.items()} if complete else None


def reads_pipe(pid: int, pipe: int) -> bool | None:
    """Tell whether a process has the reading end of a pipe (by its inode); None: the kernel does not let us look."""
    name = f"pipe:[{pipe}]"
    try:
        entries = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return None
    return any(_is_read(entry, name) for entry in entries)


def _is_read(entry: Path, name: str) -> bool:
    """Tell whether a descriptor is the reading end of a pipe: the link's own mode says how it was opened."""
    try:
        return str(entry.readlink()) == name and bool(entry.lstat().st_mode & stat.S_IRUSR)
    except OSError:  # closed meanwhile
        return False
