"""Child processes: argument list, text on standard input, a deadline, the whole group killed, always reaped."""

import asyncio
import contextlib
import errno
import os
import re
import shutil
import signal
from asyncio.subprocess import DEVNULL as DEVNULL
from asyncio.subprocess import PIPE as PIPE
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LOW_PRIORITY = 10  # nice: of a child whose work can wait for a dictation
MAX_OUTPUT_BYTES: Final = 1 << 24  # of a program that is asked for a line, a key or a text
# Variables with a secret, by their names; and addresses with a password in them, as proxies have.
_SECRET: Final = re.compile(
    r"(^|_)(\w*KEYS?|\w*TOKENS?|\w*SECRETS?|\w*PASS(WORD|WD|PHRASE)?|CREDENTIALS?|COOKIE)(_|$)", re.IGNORECASE
)
_WITH_PASSWORD: Final = re.compile(r"://[^/\s]*@")


@dataclass(frozen=True, slots=True)
class Finished:
    """A child that has ended."""

    status: int  # exit status, negative for a signal
    stdout: bytes
    stderr: bytes
    fed: bool = True  # False: it ended before it was given its input
    whole: bool = True  # False: it closed its input before it had all of it

    def complaint(self) -> str:
        """Return the last line it wrote to standard error, for a message."""
        lines = self.stderr.decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:200] if lines else f"exit status {self.status}"


def variables_without_secrets() -> dict[str, str]:
    """Return our environment for a child that reads what somebody else made: no keys, tokens and passwords."""
    return {
        name: value for name, value in os.environ.items() if not (_SECRET.search(name) or _WITH_PASSWORD.search(value))
    }


def find_tool(name: str) -> str | None:
    """Return the path of a program on PATH, None when it is missing."""
    return shutil.which(name)


async def run(
    argv: Sequence[str],
    *,
    stdin: bytes = b"",
    timeout_s: float,
    env: Mapping[str, str] | None = None,
    settle_s: float = 0.0,
    started: Callable[[int], None] | None = None,
) -> Finished:
    """Run a program to its end; no shell. `env` is added to this process's environment.

    `settle_s`: pause before it is given its input. `started` gets its process group, which lasts until this returns.

    Cancelling kills the child's process group and reaps it.

    Raises:
        TimeoutError: it was still running at the deadline and has been killed.
        OSError: it could not be started, or says more than MAX_OUTPUT_BYTES.
    """
    child = await asyncio.create_subprocess_exec(
        *argv,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, **(env or {})},
        start_new_session=True,
    )
    try:
        if started is not None:
            started(child.pid)
        async with asyncio.timeout(timeout_s):
            (fed, whole), out, err = await _talk(child, stdin, settle_s)
    finally:
        await end_group(child)
    if len(out) > MAX_OUTPUT_BYTES:
        raise OSError(errno.EMSGSIZE, f"it says more than {MAX_OUTPUT_BYTES >> 20} MiB")
    return Finished(child.returncode or 0, out, err, fed, whole)


async def _talk(
    child: asyncio.subprocess.Process, stdin: bytes, settle_s: float
) -> tuple[tuple[bool, bool], bytes, bytes]:
    """Feed a child and take what it says until it ends, or says too much."""
    assert child.stdout is not None
    assert child.stderr is not None
    async with asyncio.TaskGroup() as group:
        fed = group.create_task(_feed(child, stdin, settle_s))
        out, err = (group.create_task(_take(stream, child)) for stream in (child.stdout, child.stderr))
    await child.wait()
    return fed.result(), out.result(), err.result()


async def _feed(child: asyncio.subprocess.Process, data: bytes, settle_s: float) -> tuple[bool, bool]:
    """Give a child its input, then the end of it; tell whether it was there for it, and whether it took all."""
    stream = child.stdin
    assert stream is not None
    if settle_s and await _ends_within(child, settle_s):
        stream.close()
        return False, False
    try:
        stream.write(data)
        await stream.drain()
        stream.close()
        await stream.wait_closed()  # what did not fit into the pipe has gone then
    except (BrokenPipeError, ConnectionResetError):
        stream.close()
        return True, False
    return True, True


async def _ends_within(child: asyncio.subprocess.Process, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await child.wait()
            return True
    return False


async def _take(stream: asyncio.StreamReader, child: asyncio.subprocess.Process) -> bytes:
    """Return what comes; a child that goes on past the limit is killed."""
    taken = bytearray()
    while len(taken) <= MAX_OUTPUT_BYTES and (chunk := await stream.read(1 << 16)):
        taken += chunk
    if len(taken) > MAX_OUTPUT_BYTES:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    return bytes(taken)


@dataclass(frozen=True, slots=True)
class Streaming:
    """A child that runs, and the read end of its standard error, non-blocking; `streaming` closes it."""

    child: asyncio.subprocess.Process
    stderr: int


@contextlib.asynccontextmanager
async def streaming(argv: Sequence[str], *, stdout: int, pass_fds: Sequence[int] = ()) -> AsyncIterator[Streaming]:
    """Run a program that writes to the caller's descriptor `stdout`; no shell, no standard input, low priority.

    Leaving kills its process group and reaps it.

    Raises:
        OSError: it could not be started.
    """
    # Not asyncio's pipe: a child with one is left behind when its start is cancelled.
    stderr, child_stderr = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(stderr, False)
    try:
        try:
            child = await asyncio.create_subprocess_exec(
                *argv, stdin=DEVNULL, stdout=stdout, stderr=child_stderr, pass_fds=pass_fds, start_new_session=True
            )
        finally:
            os.close(child_stderr)
        try:
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, child.pid, LOW_PRIORITY)
            yield Streaming(child, stderr)
        finally:
            await end_group(child)
    finally:
        os.close(stderr)


@contextlib.asynccontextmanager
async def companion(
    argv: Sequence[str],
    *,
    stdin: int = DEVNULL,
    stderr: int = DEVNULL,
    env: Mapping[str, str] | None = None,
    grace_s: float = 0.0,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program as long as the caller needs it; no shell, what it prints is dropped.

    `env` is added to this process's environment. Leaving ends its process group and reaps it; `grace_s` is the time
    between SIGTERM and SIGKILL.

    Raises:
        OSError: it could not be started.
    """
    child = await asyncio.create_subprocess_exec(
        *argv, stdin=stdin, stdout=DEVNULL, stderr=stderr, env={**os.environ, **(env or {})}, start_new_session=True
    )
    try:
        yield child
    finally:
        await end_group(child, grace_s=grace_s)


def run_in_terminal(argv: Sequence[str]) -> int:
    """Run a program in the terminal that is ours and wait for it; return its exit status. Raises OSError."""
    pid = os.posix_spawnp(argv[0], list(argv), os.environ)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def spawn_detached(argv: Sequence[str], *, output: int) -> int:
    """Start a program that outlives us, in a session of its own, with nothing to read; return its pid.

    It starts in the home directory, wherever we are. What it prints goes to the descriptor `output`. Raises OSError.
    """
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, output, 1),
        (os.POSIX_SPAWN_DUP2, output, 2),
    ]
    here = os.open(".", os.O_PATH | os.O_CLOEXEC)  # works where the folder has been deleted, too
    try:
        os.chdir(home if (home := Path.home()).is_dir() else "/")
        return os.posix_spawn(argv[0], list(argv), os.environ, file_actions=actions, setsid=True)
    finally:
        os.fchdir(here)
        os.close(here)


async def read_some(fd: int) -> bytes:
    """Wait until a non-blocking pipe has something to read and return it; empty at its end."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(fd, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(fd)
    return os.read(fd, 1 << 16)


async def end_group(child: asyncio.subprocess.Process, *, grace_s: float = 0.0) -> None:
    """End a child and its descendants and reap it; `grace_s` is the time between SIGTERM and SIGKILL."""
    if child.returncode is not None:
        return
    if grace_s > 0:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await child.wait()
                return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    await asyncio.shield(child.wait())
