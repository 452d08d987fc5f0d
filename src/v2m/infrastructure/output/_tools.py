"""Typing tools as children: the text on standard input, never on a command line and never through a shell."""

from collections.abc import Sequence
from typing import Final

from v2m.domain.delivery import Session
from v2m.domain.errors import OutputError, OutputReason
from v2m.infrastructure._run import find_tool, run
from v2m.infrastructure.output.failures import broken

# Without it a tool started under LANG=C cannot read anything but ASCII.
_UTF8: Final = {"LC_ALL": "C.UTF-8"}


async def type_with(argv: Sequence[str], text: str, session: Session, *, timeout_s: float) -> None:
    """Run a tool with the text on its standard input and the session's variables.

    Raises:
        OutputError: TOOL_MISSING with nothing typed; else how much was typed is unknown.
    """
    tool = argv[0]
    path = find_tool(tool)
    if path is None:
        raise missing(tool)
    try:
        finished = await run(
            [path, *argv[1:]], stdin=text.encode(), timeout_s=timeout_s, env={**session.variables, **_UTF8}
        )
    except TimeoutError as error:
        raise broken(f"{tool} hung and was ended", delivered=None) from error
    except OSError as error:
        raise OutputError(
            f"{tool} cannot be started: {error.strerror}.", reason=OutputReason.TOOL_MISSING, hint=hint(tool)
        ) from error
    if finished.status != 0:
        raise broken(f"{tool} ended with {_ending(finished.status)}", delivered=None)


def missing(tool: str) -> OutputError:
    """Return the error for a tool that is not installed."""
    return OutputError(f"{tool} is not installed.", reason=OutputReason.TOOL_MISSING, hint=hint(tool))


def hint(tool: str) -> str:
    """Return the command that installs it."""
    return f"apt install {tool}"


def _ending(status: int) -> str:
    return f"exit status {status}" if status > 0 else f"signal {-status}"
