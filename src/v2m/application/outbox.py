"""The queue of captured recordings: one consumer takes them through the pipeline in spoken order."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from v2m.application.job import Job, Outcome
from v2m.application.pipeline import Pipeline
from v2m.core.logging import about_dictation
from v2m.domain.dictation import DaemonState
from v2m.domain.errors import StateError, V2mError

log = logging.getLogger(__name__)

QUEUE_LIMIT = 8  # dictations on their way; more would mean minutes of text arriving later


class Ticket:
    """A job, and the outcome that somebody may wait for."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.work: asyncio.Task[Outcome] | None = None

    @property
    def abortable(self) -> bool:
        """Whether the engine has not answered yet: afterwards the text is on its way to the window."""
        return not self.job.settled and not self.outcome.done()


class Outbox:
    """First in, first out; one at a time."""

    def __init__(self, pipeline: Pipeline, changed: Callable[[], None]) -> None:
        self._pipeline = pipeline
        self._changed = changed
        self._tickets: deque[Ticket] = deque()
        self._arrived = asyncio.Event()
        self._closing = False

    def __len__(self) -> int:
        return len(self._tickets)

    def __contains__(self, dictation: int) -> bool:
        return any(ticket.job.dictation == dictation for ticket in self._tickets)

    @property
    def full(self) -> bool:
        """Whether another dictation would have to wait too long."""
        return len(self._tickets) >= QUEUE_LIMIT

    @property
    def stage(self) -> DaemonState | None:
        """What the oldest dictation is doing."""
        return self._tickets[0].job.stage if self._tickets else None

    def put(self, job: Job) -> Ticket:
        """Queue a job."""
        ticket = Ticket(job)
        self._tickets.append(ticket)
        self._arrived.set()
        return ticket

    def abortable(self, dictation: int | None = None) -> Ticket | None:
        """Return the newest ticket that can still be thrown away, or the named one if it can."""
        for ticket in reversed(self._tickets):
            if ticket.abortable and dictation in (None, ticket.job.dictation):
                return ticket
        return None

    async def abort(self, ticket: Ticket, error: V2mError) -> None:
        """Drop a ticket; whoever waits for it gets `error`. The row and the audio are the caller's."""
        self._drop(ticket, error)
        await ticket.job.utterance.abandon()

    def _drop(self, ticket: Ticket, error: V2mError) -> None:
        ticket.outcome.set_result(Outcome(ticket.job.dictation, error=error))
        if ticket.work is not None:
            ticket.work.cancel()
        else:
            self._tickets.remove(ticket)
            self._changed()

    def close(self, *, finish: bool) -> None:
        """Let `run` return once the queue is empty; without `finish`, what is not being typed is dropped."""
        self._closing = True
        self._arrived.set()
        if not finish:
            for ticket in [ticket for ticket in self._tickets if ticket.abortable]:
                self._drop(ticket, StateError("The daemon is ending.", hint="The audio is kept: v2m history"))

    async def run(self) -> None:
        """Work until closed and empty."""
        async with asyncio.TaskGroup() as group:
            while await self._wait():
                ticket = self._tickets[0]
                ticket.work = group.create_task(self._guarded(ticket.job))
                await asyncio.wait({ticket.work})
                if not ticket.outcome.done() and not ticket.work.cancelled():
                    ticket.outcome.set_result(ticket.work.result())
                self._tickets.popleft()
                self._changed()

    async def _wait(self) -> bool:
        """Wait for a ticket; False when there will be none."""
        while not self._tickets and not self._closing:
            self._arrived.clear()
            await self._arrived.wait()
        return bool(self._tickets)

    async def _guarded(self, job: Job) -> Outcome:
        """The dictation's wall: a programming error fails this dictation and no other."""
        with about_dictation(job.dictation):
            try:
                return await self._pipeline.carry(job, self._changed)
            except Exception as error:  # the wall
                log.exception("a dictation failed")
                return await self._pipeline.broken(job, error)
            finally:
                await job.utterance.abandon()
