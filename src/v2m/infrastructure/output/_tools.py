"""Typing tools as children: the text on standard input, never on a command line and never through a shell."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from v2m.domain.delivery import Certainty, Delivery, Destination, Session
from v2m.domain.errors import OutputError, OutputReason
from v2m.infrastructure._run import Finished, find_tool, run
from v2m.infrastructure._wayland.connection import Connection, WaylandError
from v2m.infrastructure._wayland.toplevels import FocusWatch
from v2m.infrastructure.output.failures import FOCUS_MOVED, FOCUS_UNKNOWN, broken, no_display, refused

# Without it a tool started under LANG=C cannot read anything but ASCII.
_UTF8: Final = {"LC_ALL": "C.UTF-8"}
_INSTALL: Final[Mapping[str, str]] = {
    "wtype": "apt install wtype",
    "xdotool": "apt install xdotool",
    "ydotool": "apt install ydotoold, and start ydotoold",
    "dotool": "Install dotool: https://sr.ht/~geb/dotool/",
}


@asynccontextmanager
async def focused(to: Destination) -> AsyncIterator[tuple[Connection, FocusWatch]]:
    """Connect to the compositor and watch the focus while keys come from somewhere else.

    Raises:
        OutputError: nothing was typed: no compositor, no window has the focus, or not the one that is meant.
    """
    if to.session.wayland is None:
        raise no_display("there is no Wayland compositor")
    try:
        connection = await Connection.open(to.session.wayland)
    except WaylandError as error:
        raise no_display(str(error)) from error
    try:
        focus = FocusWatch(connection)
        try:
            await focus.start(to)
        except WaylandError as error:
            raise no_display(str(error)) from error
        if focus.nothing_active:
            raise refused("No window has the focus.")
        if focus.moved:
            raise refused("Another window has the focus.")
        yield connection, focus
    finally:
        connection.close()


async def judge(name: str, typed: int, connection: Connection, focus: FocusWatch) -> Delivery:
    """Return how a text was delivered whose last key has been taken."""
    try:
        await connection.roundtrip()
    except WaylandError:
        return Delivery(name, Certainty.UNCERTAIN, typed, focus.app, "The compositor is gone.")
    if not focus.available:
        return Delivery(name, Certainty.UNCERTAIN, typed, detail=FOCUS_UNKNOWN)
    if focus.moved:
        return Delivery(name, Certainty.UNCERTAIN, typed, focus.app, FOCUS_MOVED)
    return Delivery(name, Certainty.SENT, typed, focus.app)


def utf8(text: str) -> bytes:
    """Return what a tool reads. Raises OutputError REFUSED for halves of characters, which have no such form."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise refused("The text has characters that no key stands for.") from error


async def type_with(
    argv: Sequence[str], stdin: bytes, session: Session, *, timeout_s: float, settle_s: float = 0.0
) -> Finished:
    """Run a tool with its input on standard input and the session's variables.

    `settle_s`: pause before the input, for a tool whose keyboard has to be noticed first.

    Raises:
        OutputError: nothing was typed when the tool is missing or ended before it got its input; else how
            much was typed is unknown.
    """
    tool = argv[0]
    path = find_tool(tool)
    if path is None:
        raise missing(tool)
    try:
        finished = await run(
            [path, *argv[1:]],
            stdin=stdin,
            timeout_s=timeout_s,
            env={**session.variables, **_UTF8},
            settle_s=settle_s,
        )
    except TimeoutError as error:
        raise broken(f"{tool} hung and was ended", delivered=None) from error
    except OSError as error:
        raise OutputError(
            f"{tool} cannot be started: {error.strerror}.", reason=OutputReason.TOOL_MISSING, hint=hint(tool)
        ) from error
    if not finished.fed:
        raise refused(f"{tool} ended before it was given the text, with {_ending(finished.status)}.")
    if finished.status != 0:
        raise broken(f"{tool} ended with {_ending(finished.status)}", delivered=None)
    return finished


def missing(tool: str) -> OutputError:
    """Return the error for a tool that is not installed."""
    return OutputError(f"{tool} is not installed.", reason=OutputReason.TOOL_MISSING, hint=hint(tool))


def hint(tool: str) -> str:
    """Return the command that installs it."""
    return _INSTALL[tool]


def _ending(status: int) -> str:
    return f"exit status {status}" if status >= 0 else f"signal {-status}"
