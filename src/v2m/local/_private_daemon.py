"""A daemon of our own beside the user's: own socket, own state, the user's settings otherwise."""

import shutil
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from v2m.client import AsyncClient, ClientError, DaemonNotRunningError
from v2m.infrastructure._run import companion
from v2m.local._waiting import until
from v2m.utils.paths import runtime_base

START_S: Final = 10.0  # it listens within 0.1 s, also while it loads
END_S: Final = 5.0
_SAYS: Final = "toakd: "


@asynccontextmanager
async def private_folder() -> AsyncIterator[Path]:
    """Yield an empty folder for this run, closed to others; it is deleted at the end."""
    base = runtime_base()
    folder = Path(tempfile.mkdtemp(prefix="v2m-loop-", dir=base if base.is_dir() else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def private_daemon(folder: Path, settings: Mapping[str, str]) -> AsyncIterator[AsyncClient]:
    """Run a daemon whose socket and state are in `folder`, and yield a client of it; leaving ends it.

    Raises:
        ClientError: it does not start; the message is what it said itself.
    """
    socket, log = folder / "v2m.sock", folder / "toakd.log"
    own = {"paths.state_dir": str(folder / "state"), "paths.spool_dir": str(folder / "state" / "spool"), **settings}
    words = [word for key, value in own.items() for word in ("--set", f"{key}={value}")]
    argv = [sys.executable, "-P", "-m", "v2m.main", "--daemon", *words]
    with log.open("wb") as said:
        async with (
            companion(argv, stderr=said.fileno(), env={"V2M_SOCKET": str(socket)}, grace_s=END_S) as daemon,
            AsyncClient(socket) as client,
        ):
            await _answers(client, daemon, log)
            yield client


async def _answers(client: AsyncClient, daemon: Process, log: Path) -> None:
    """Return once it answers. Raises ClientError."""

    async def answers() -> bool:
        try:
            await client.call("PING")
        except DaemonNotRunningError:
            if daemon.returncode is not None:
                raise ended(log) from None
            return False
        return True

    if not await until(answers, START_S):
        raise DaemonNotRunningError


def ended(log: Path, said_before: int = 0) -> ClientError:
    """Return what a daemon said that ended at once, behind so many bytes: its sentence, and the hint below it."""
    with log.open("rb") as file:
        file.seek(said_before)
        text = file.read().decode("utf-8", "replace")
    lines = text.strip().splitlines() or ["It ended at once."]
    said = next((number for number, line in enumerate(lines) if line.startswith(_SAYS)), len(lines) - 1)
    hint = lines[said + 1].strip().removeprefix("→ ") if len(lines) > said + 1 else "toakd"
    return ClientError("internal", lines[said].removeprefix(_SAYS), hint)
