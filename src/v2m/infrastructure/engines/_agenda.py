"""What the model thread is to do next: live dictations before files, certain work before guesses.

The listening thread fills it, the model thread empties it. One task is worked on at a time; it is dropped when
something more important comes, and a dropped segment is put back.
"""

import threading
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto

from v2m.domain.ports import SpeechStream
from v2m.domain.transcript import Segment
from v2m.infrastructure.engines._listener import Listener


class Kind(Enum):
    """What a task is."""

    SEGMENT = auto()  # decode a closed segment
    GUESS = auto()  # decode the open stretch, in case it has ended
    FEED = auto()  # hand new audio to a streaming engine
    END = auto()  # the recording is over: answer


@dataclass(slots=True, eq=False)
class Task:
    """One piece of work for one recording."""

    kind: Kind
    listener: Listener
    segment: Segment | None = None
    stream: SpeechStream | None = None  # while it is decoded
    dropped: bool = False
    kept: bool = False  # its outcome counts: too late to drop it

    def drop(self) -> None:
        """Have it end soon, its outcome unused."""
        if not self.kept and self.kind in (Kind.SEGMENT, Kind.GUESS):
            self.dropped = True
            if self.stream is not None:
                self.stream.abandon()


class Agenda:
    """A queue in two ranks, and room for one guess while there is nothing else to do."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._live: deque[Task] = deque()
        self._others: deque[Task] = deque()
        self._guess: Task | None = None
        self._current: Task | None = None
        self._idle = False  # the model thread waits in `take`

    # --- the listening thread -------------------------------------------------------------------------

    def put(self, task: Task) -> None:
        """Queue work; a guess at something else and, for a live dictation, the decode of a file make way for it."""
        with self._changed:
            self._queue(task).append(task)
            if self._guess is not None:
                self._forget_guess(self._guess)
            if self._current is not None and _makes_way(self._current, task):
                self._current.drop()
            self._changed.notify()

    def offer(self, guess: Task) -> bool:
        """Have a guess decoded if there is nothing else to do; tell whether it is."""
        with self._changed:
            if not self._idle or self._guess is not None or self._live or self._others:
                return False
            self._guess = guess
            self._changed.notify()
            return True

    def retract(self, listener: Listener) -> None:
        """Drop a guess of this recording that is not decoded yet: its speech goes on."""
        with self._changed:
            for task in (self._guess, self._current):
                if task is not None and task.kind is Kind.GUESS and task.listener is listener:
                    task.drop()

    def withdraw(self, listener: Listener) -> None:
        """Forget all work for a recording that is abandoned, but for its end: somebody must let go of its audio."""
        with self._changed:
            for tasks in (self._live, self._others):
                for task in [task for task in tasks if task.listener is listener and task.kind is not Kind.END]:
                    tasks.remove(task)
            for each in (self._guess, self._current):
                if each is not None and each.listener is listener:
                    each.drop()

    def is_settled(self, listener: Listener) -> bool:
        """Tell whether no work for a recording is queued or going on."""
        with self._changed:
            return all(
                task is None or task.listener is not listener
                for task in (self._guess, self._current, *self._live, *self._others)
            )

    # --- the model thread -----------------------------------------------------------------------------

    def take(self) -> Task:
        """Wait for work and return the most important; it is `done` before the next is taken."""
        with self._changed:
            self._idle = True
            while (task := self._next()) is None:
                self._changed.wait()
            self._idle = False
            self._current = task
            return task

    def begin(self, task: Task, stream: SpeechStream) -> bool:
        """Note what a decode can be stopped by; False when it is not wanted any more."""
        with self._changed:
            task.stream = stream
            return not task.dropped

    def keep(self, task: Task) -> bool:
        """Tell whether the outcome counts. A segment that was dropped is put back, a guess can be made again."""
        with self._changed:
            task.kept = not task.dropped
            if task.dropped and task.kind is Kind.GUESS:
                self._forget_guess(task)
            elif task.dropped and not task.listener.abandoned:
                self._queue(task).appendleft(Task(task.kind, task.listener, task.segment))
            return task.kept

    def done(self) -> None:
        """End the task that was taken."""
        with self._changed:
            self._current = None

    def _next(self) -> Task | None:
        if self._live:
            return self._live.popleft()
        if self._others:
            return self._others.popleft()
        guess, self._guess = self._guess, None
        return guess

    def _queue(self, task: Task) -> deque[Task]:
        return self._live if task.listener.live else self._others

    def _forget_guess(self, guess: Task) -> None:
        self._guess = None
        guess.listener.guessed_at = None


def _makes_way(current: Task, new: Task) -> bool:
    """Whether a task that is worked on makes way for a new one."""
    if current.kind is Kind.GUESS:
        if new.listener is not current.listener:
            return True
        assert current.segment is not None
        return new.segment is not None and new.segment.key != current.segment.key
    return new.listener.live and not current.listener.live
