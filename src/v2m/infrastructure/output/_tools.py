"""Typing tools as children: the text on standard input, never on a command line and never through a shell."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from v2m.domain.delivery import Certainty, Delivery, Destination, Session
from v2m.domain.errors import OutputError, OutputReason
from v2m.infrastructure._run import Finished, find_tool, run
from v2m.infrastructure._wayland.backlog import UNREAD_LIMIT_BYTES, Backlog
from v2m.infrastructure._wayland.connection import Connection, WaylandError
from v2m.infrastructure._wayland.toplevels import FocusWatch
from v2m.infrastructure.output.failures import (
    FOCUS_MOVED,
    FOCUS_UNKNOWN,
    MOVED_BEFORE,
    NOT_READING,
    broken,
    no_display,
    refused,
)
from v2m.infrastructure.output.wayland.virtual_keyboard import STALLED_S, TOO_LONG, UNSEEN_LIMIT

LOOK_S: Final = 0.02  # between two looks at what the window has read: wtype presses four keys meanwhile

# Without it a tool started under LANG=C cannot read anything but ASCII.
_UTF8: Final = {"LC_ALL": "C.UTF-8"}
_INSTALL: Final[Mapping[str, str]] = {
    "wtype": "apt install wtype",
    "xdotool": "apt install xdotool",
    "ydotool": "apt install ydotoold, and start ydotoold",
    "dotool": "Install dotool: https://sr.ht/~geb/dotool/",
}


@dataclass(frozen=True, slots=True)
class Watched:
    """The window that keys go to, while they come from somewhere else."""

    connection: Connection
    focus: FocusWatch
    backlog: Backlog

    @asynccontextmanager
    async def while_there(self) -> AsyncIterator["Leash"]:
        """End what runs inside as soon as the window has lost the focus, does not read, or the compositor is gone.

        Raises:
            OutputError: it was ended, so how much was typed is unknown; or nothing was begun, for the focus had moved.
        """
        if self.focus.moved:
            raise refused(MOVED_BEFORE)
        wall = asyncio.timeout(None)
        leash = Leash(self.backlog, wall)
        try:
            async with wall:
                self.focus.on_moved = lambda: leash.end("another window got the focus")
                self.connection.on_lost = lambda: leash.end("the compositor is gone")
                leash.look()
                try:
                    yield leash
                finally:
                    leash.stop_looking()
                    self.focus.on_moved = self.connection.on_lost = None
        except TimeoutError as error:
            raise broken(leash.why, delivered=None) from error


class Leash:
    """Pauses a tool while its window is behind with reading; ends it when it types for nobody."""

    def __init__(self, backlog: Backlog, wall: asyncio.Timeout) -> None:
        self.why = ""  # it was ended
        self._backlog = backlog
        self._wall = wall
        self._group = 0  # of processes
        self._paused = False
        self._least, self._deadline = 0, 0.0
        self._timer: asyncio.Handle | None = None

    def hold(self, group: int) -> None:
        """Take the process group of the tool."""
        self._group = group

    def end(self, why: str) -> None:
        """Have it ended."""
        if not self.why:
            self.why = why
            self._wall.reschedule(asyncio.get_running_loop().time())

    def look(self) -> None:
        """See what the window has left unread, now and again and again."""
        loop, unread = asyncio.get_running_loop(), self._backlog.unread_bytes()
        behind = unread > UNREAD_LIMIT_BYTES
        if behind and (not self._paused or unread < self._least):
            self._least, self._deadline = unread, loop.time() + STALLED_S
        if behind != self._paused and self._group:
            self._paused = behind
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._group, signal.SIGSTOP if behind else signal.SIGCONT)
        if self._paused and loop.time() > self._deadline:
            self.end("the window does not read what is typed into it")
        self._timer = loop.call_later(LOOK_S, self.look)

    def stop_looking(self) -> None:
        """Leave it alone."""
        if self._timer is not None:
            self._timer.cancel()


@asynccontextmanager
async def focused(
    to: Destination, characters: int, *, watch: Callable[[str], Backlog] = Backlog
) -> AsyncIterator[Watched]:
    """Connect to the compositor and watch the focused window while so many keys come from somewhere else.

    Raises:
        OutputError: nothing was typed: no compositor, no window has the focus, or not the one that is meant; or
            there are more keys than a window that has stopped survives, and nobody could see that it has.
    """
    if to.session.wayland is None:
        raise no_display("there is no Wayland compositor")
    try:
        connection = await Connection.open(to.session.wayland)
    except WaylandError as error:
        raise no_display(str(error)) from error
    backlog = watch(connection.path)
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
        if characters > UNSEEN_LIMIT and not backlog.available:
            raise refused(TOO_LONG)
        yield Watched(connection, focus, backlog)
    finally:
        backlog.close()
        connection.close()


async def judge(name: str, typed: int, window: Watched) -> Delivery:
    """Return how a text was delivered whose last key has been taken."""
    focus = window.focus
    try:
        await window.connection.roundtrip()
    except WaylandError:
        return Delivery(name, Certainty.UNCERTAIN, typed, focus.app, "The compositor is gone.")
    if not focus.available:
        return Delivery(name, Certainty.UNCERTAIN, typed, detail=FOCUS_UNKNOWN)
    if focus.moved:
        return Delivery(name, Certainty.UNCERTAIN, typed, focus.app, FOCUS_MOVED)
    if not await window.backlog.read(stalled_s=STALLED_S):
        return Delivery(name, Certainty.UNCERTAIN, typed, focus.app, NOT_READING)
    return Delivery(name, Certainty.SENT, typed, focus.app)


def utf8(text: str) -> bytes:
    """Return what a tool reads. Raises OutputError REFUSED for halves of characters, which have no such form."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise refused("The text has characters that no key stands for.") from error


async def type_with(
    argv: Sequence[str],
    stdin: bytes,
    session: Session,
    *,
    timeout_s: float,
    settle_s: float = 0.0,
    leash: Leash | None = None,
) -> Finished:
    """Run a tool with its input on standard input and the session's variables.

    `settle_s`: pause before the input, for a tool whose keyboard has to be noticed first. `leash`: pauses the tool.

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
            started=leash.hold if leash else None,
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
    if not finished.whole:
        raise broken(f"{tool} ended before it had the whole text", delivered=None)
    return finished


def missing(tool: str) -> OutputError:
    """Return the error for a tool that is not installed."""
    return OutputError(f"{tool} is not installed.", reason=OutputReason.TOOL_MISSING, hint=hint(tool))


def hint(tool: str) -> str:
    """Return the command that installs it."""
    return _INSTALL[tool]


def _ending(status: int) -> str:
    return f"exit status {status}" if status >= 0 else f"signal {-status}"
