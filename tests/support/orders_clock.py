"""An event loop whose clock jumps to whatever comes next, and whose threads are a queue of work with a delay."""

import asyncio
import selectors
from collections import deque
from collections.abc import Callable


class _Instant(selectors.SelectSelector):
    """Waits for nothing: time passes instead. No file is ever ready, since no port in here has one."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout=None):
        if timeout is None:
            raise RuntimeError("nothing would ever happen again")
        self.now_s += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Driven from outside: `advance` and `spin` let it run, in between it stands still."""

    def __init__(self) -> None:
        self._instant = _Instant()
        super().__init__(self._instant)
        self.disk_s = 0.0  # how long a piece of work in another thread takes
        self._work: deque[tuple[asyncio.Future, Callable, tuple]] = deque()
        self._free_at = 0.0

    def time(self):
        return self._instant.now_s

    def run_in_executor(self, executor, func, *args):
        """Do the work in its order, after the disk's time; all threads are one."""
        del executor
        future = self.create_future()
        self._work.append((future, func, args))
        self._free_at = max(self._free_at, self.time()) + self.disk_s
        self.call_at(self._free_at, self._do_one)
        return future

    def _do_one(self) -> None:
        if not self._work:  # a crash came first
            return
        future, func, args = self._work.popleft()
        try:
            value = func(*args)
        except Exception as error:
            if not future.cancelled():
                future.set_exception(error)
        else:
            if not future.cancelled():
                future.set_result(value)

    def forget_work(self) -> None:
        """Leave undone what a thread has not begun, as a crash does."""
        self._work.clear()

    def advance(self, seconds: float) -> None:
        """Let so much time pass."""
        self.call_at(self.time() + seconds, self.stop)
        self.run_forever()

    def spin(self, rounds: int) -> None:
        """Let only what is ready run, so many times round; no time passes."""

        def again(left: int) -> None:
            if left:
                self.call_soon(again, left - 1)
            else:
                self.stop()

        self.call_soon(again, rounds)
        self.run_forever()

    def until(self, done: Callable[[], bool], limit_s: float, step_s: float = 0.25) -> bool:
        """Let time pass until it is done; False when it is not within the limit."""
        end = self.time() + limit_s
        while not done():
            if self.time() >= end:
                return False
            self.advance(step_s)
        return True
