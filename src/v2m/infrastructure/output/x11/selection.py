"""A thread with its own connection to the X server: serves selections, and does what it is asked between two events."""

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from v2m.domain.delivery import Session
from v2m.domain.errors import OutputError
from v2m.infrastructure._x11.display import ANSWER_S, X11Error, connect, cut, foreign_errors
from v2m.infrastructure.output.pasting import SECRET, SECRET_TYPE
from v2m.infrastructure.output.x11.selection_owner import Contents, SelectionOwner, Value
from v2m.infrastructure.output.x11.selection_reader import SelectionReader

if TYPE_CHECKING:
    from Xlib.display import Display

_UTF8_TARGETS: Final = ("UTF8_STRING", "text/plain;charset=utf-8", "text/plain")

T = TypeVar("T")


class SelectionThread:
    """Owner and reader of selections; with `while_owning` it ends once everything was taken over by others."""

    def __init__(self, display: "Display", *, while_owning: bool) -> None:
        self.display = display
        self.owner = SelectionOwner(display, self.pump)
        self.reader = SelectionReader(self.owner, self.pump)
        self._while_owning = while_owning
        self._owned = False
        self._jobs: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._lock = threading.Lock()
        self._ended = False
        self._closing = False
        self._timer: tuple[float, Callable[[], None]] | None = None
        self._woken, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._thread = threading.Thread(target=self._run, name="x11-clipboard", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, session: Session, *, while_owning: bool = False) -> Self:
        """Connect to the session's display; blocks for at most `ANSWER_S`. Raises X11Error."""
        display = connect(session)
        display.set_error_handler(lambda _error, _request: None)  # windows of others go at any time
        try:
            with foreign_errors(display):
                return cls(display, while_owning=while_owning)
        except X11Error:
            cut(display)
            raise

    def ask(self, work: Callable[[], T], timeout_s: float = ANSWER_S) -> T:
        """Have the thread do something and return what it gives; blocks.

        Raises:
            X11Error: the display is gone or did not answer in time.
            OutputError: the work did.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._ended:
                raise X11Error("the X display is gone or does not answer")
            self._jobs.append((future, work))
            os.write(self._wake, b"1")
        try:
            return future.result(timeout_s)
        except TimeoutError as error:
            cut(self.display)
            raise X11Error("the X display does not answer") from error

    def later(self, delay_s: float, work: Callable[[], None] | None) -> None:
        """Do this one thing later, in place of what was to be done later; for the thread itself."""
        self._timer = (time.monotonic() + delay_s, work) if work else None

    def close(self) -> None:
        """Give everything up; blocks until the thread has ended."""
        with suppress(X11Error):
            self.ask(self._begin_closing)
        self._thread.join(ANSWER_S)

    def pump(self, until: Callable[[], bool], timeout_s: float) -> bool:
        """Handle events until a condition holds; False when it does not in time; for the thread itself."""
        deadline = time.monotonic() + timeout_s
        while True:
            self._handle_events()
            if until():
                return True
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False
            select.select([self.display], [], [], left_s)

    def _begin_closing(self) -> None:
        self._closing = True

    def _run(self) -> None:
        try:
            with foreign_errors(self.display):
                while not self._closing and not self._is_done():
                    self._handle_events()
                    self._work()
                    self._wait()
        except X11Error:
            pass
        finally:
            self._end()

    def _is_done(self) -> bool:
        self._owned = self._owned or not self.owner.is_idle
        return self._while_owning and self._owned and self.owner.is_idle

    def _handle_events(self) -> None:
        while self.display.pending_events():
            event = self.display.next_event()
            self.owner.handle(event)
            self.reader.handle(event)

    def _work(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._woken, 64)
        while self._jobs:
            future, work = self._jobs[0]
            try:
                with foreign_errors(self.display):
                    result = work()
            except (X11Error, OutputError) as error:
                future.set_exception(error)
            else:
                future.set_result(result)
            self._jobs.popleft()
        if self._timer and self._timer[0] <= time.monotonic():
            work_later, self._timer = self._timer[1], None
            work_later()

    def _wait(self) -> None:
        """Sleep until there is an event, a job, or something to be done later."""
        if self._closing or self._jobs or self._is_done() or self.display.pending_events():
            return
        timeouts_s = [self.owner.expire()]
        if self._timer:
            timeouts_s.append(self._timer[0] - time.monotonic())
        known = [max(0.0, timeout_s) for timeout_s in timeouts_s if timeout_s is not None]
        select.select([self.display, self._woken], [], [], min(known, default=None))

    def _end(self) -> None:
        with self._lock:
            self._ended = True
            os.close(self._woken)
            os.close(self._wake)
        for future, _ in self._jobs:
            if not future.done():
                future.set_exception(X11Error("the X display is gone or does not answer"))
        with suppress(X11Error), foreign_errors(self.display):
            self.display.close()


def text_contents(owner: SelectionOwner, text: str, *, secret: bool) -> Contents:
    """Return a text as every target that readers ask for; `secret` asks clipboard managers to skip it."""
    utf8 = owner.atom("UTF8_STRING")
    contents = {owner.atom(name): Value(owner.atom(name), 8, text.encode()) for name in _UTF8_TARGETS}
    contents[owner.atom("TEXT")] = Value(utf8, 8, text.encode())
    if all(ord(character) < 256 for character in text):  # what ICCCM calls STRING is Latin-1
        contents[owner.atom("STRING")] = Value(owner.atom("STRING"), 8, text.encode("latin-1"))
    if secret:
        contents[owner.atom(SECRET_TYPE)] = Value(owner.atom(SECRET_TYPE), 8, SECRET)
    return contents


class X11Selection:
    """A text on the CLIPBOARD selection, served while this object is open and nobody else takes it."""

    def __init__(self, thread: SelectionThread) -> None:
        self._thread = thread

    @classmethod
    def open(cls, session: Session, text: str) -> Self:
        """Put a text on the display's clipboard, for no clipboard manager to record; blocks. Raises X11Error."""
        thread = SelectionThread.open(session, while_owning=True)
        owner = thread.owner
        try:
            thread.ask(lambda: owner.own(owner.atom("CLIPBOARD"), text_contents(owner, text, secret=True)))
        except X11Error:
            thread.close()
            raise
        return cls(thread)

    def close(self) -> None:
        """Give the clipboard up; blocks until the thread has ended."""
        self._thread.close()
