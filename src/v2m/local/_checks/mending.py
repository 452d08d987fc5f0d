"""Runs one command that mends something."""

from typing import Final

from v2m.infrastructure._run import run

COMMAND_S: Final = 90.0  # a daemon that starts on a slow machine
NOT_ENDED: Final = 124  # as timeout(1)


async def run_command(command: str) -> int:
    """Run a line of shell as the user would; return its exit status."""
    try:
        return (await run(["sh", "-c", command], timeout_s=COMMAND_S)).status
    except TimeoutError:
        return NOT_ENDED
