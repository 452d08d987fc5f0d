"""What is known about who has taken a pasted text."""

import asyncio
import os
import time
from collections.abc import Callable
from typing import Final

from v2m.infrastructure.output.pasting import SECRET_TYPE
from v2m.infrastructure.output.wayland.pipes import reads_pipe

_POLL_S: Final = 0.001  # there is no event for "the reader has closed its end"


class Receipt:
    """Who reads the clipboard, from the paste key on.

    The protocol does not name a reader, but it reads through a pipe that it made itself, and the kernel tells which
    process has that open. So a receipt proves one of two things. `confirmed`: the process of the focused window has
    begun to read the text after the key was sent, and was given all of it before it closed the pipe. `taken` alone:
    somebody has begun to, after the compositor had handled the key. That is the window, read for by the compositor
    because it is one of X11 (`complete`); or, where the kernel or the desktop do not tell the window's process, it
    may as well be a clipboard manager. Whoever read before the key counts for nothing, nor does another process where
    the window's can be seen.
    """

    def __init__(self, window_pid: int, compositor_pid: int) -> None:
        """Process 0 is one that is not known."""
        self.pressed = False  # the key is on its way
        self.taken = False
        self.confirmed = False
        self.by_window = False  # it is the window that reads
        self._for_window = False  # the compositor has read for an X11 window
        self._acknowledged = False  # the compositor has handled the key
        self._written = False
        self._pipe = 0
        self._window = window_pid
        self._compositor = compositor_pid

    @property
    def complete(self) -> bool:
        """Whether nothing more is to be expected."""
        return self.confirmed if self.by_window else self._for_window

    def acknowledge(self) -> None:
        """Take down that the compositor has handled the key; called in order with its other events."""
        self._acknowledged = True

    def note(self, kind: str, fd: int) -> Callable[[bool], None] | None:
        """Take down that somebody reads one type through the pipe that `fd` is our end of."""
        if not self.pressed or self.by_window or kind == SECRET_TYPE:
            return None
        pipe = os.fstat(fd).st_ino
        by_window = reads_pipe(self._window, pipe) if self._window else None
        if by_window:
            self.taken = self.by_window = True
            self._pipe = pipe
            return self._end
        if self._acknowledged:
            self._for_window = self._for_window or (by_window is False and self._for_x11(pipe))
            self.taken = self.taken or self._for_window or by_window is None
        return None

    async def read_to_the_end(self, timeout_s: float) -> None:
        """Wait until the window has read all of it: an application that is interrupted drops what it has."""
        deadline = time.monotonic() + timeout_s
        while not (self._written and reads_pipe(self._window, self._pipe) is False):
            if time.monotonic() > deadline:
                return
            await asyncio.sleep(_POLL_S)
        self.confirmed = True

    def _end(self, complete: bool) -> None:  # noqa: FBT001 - what `write_all` tells
        self._written = complete

    def _for_x11(self, pipe: int) -> bool:
        """Tell whether the compositor itself reads: it does so on behalf of X11 windows."""
        return bool(self._compositor and reads_pipe(self._compositor, pipe))
