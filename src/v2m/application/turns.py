"""Work that must never overlap: one after the other, in the order in which it was asked for."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from v2m.domain.errors import StateError, V2mError

log = logging.getLogger(__name__)
T = TypeVar("T")
Work = Callable[[], Awaitable[T]]
Answer = Callable[[V2mError | None], None]


class Turns:
    """A queue of work and the one task that does it."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Work[None] | None] = asyncio.Queue()
        self._closed = False

    async def take(self, work: Work[T]) -> T:
        """Wait for this work's turn and return its result; its error is raised here.

        Cancelling stops the waiting, not the work. Raises StateError after `close`.
        """
        if self._closed:
            raise _ending()
        result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(lambda: settle(result, work))
        return await result

    def post(self, work: Work[None], answer: Answer) -> None:
        """Queue work nobody waits for; `answer` is called with its error, or None. Returns at once."""
        if self._closed:
            answer(_ending())
            return

        async def turn() -> None:
            error: V2mError | None = None
            try:
                await work()
            except V2mError as problem:
                error = problem
            except Exception:  # the wall of a key press: it fails, the daemon lives
                log.exception("a key press failed")
                error = V2mError("Something broke inside v2m.", hint="The log of toakd says what.")
            answer(error)

        self._queue.put_nowait(turn)

    def close(self) -> None:
        """Let `run` return after what has been queued."""
        self._closed = True
        self._queue.put_nowait(None)

    async def run(self) -> None:
        """Do the work until `close`."""
        while (work := await self._queue.get()) is not None:
            await work()


def _ending() -> StateError:
    return StateError("The daemon is ending.", hint="v2m daemon start")


async def settle(result: asyncio.Future[T], work: Work[T]) -> None:
    """Do the work and put its result or error into the future; a future that was cancelled is left alone."""
    try:
        value = await work()
    except Exception as error:  # noqa: BLE001 - raised again where the future is awaited
        if not result.done():
            result.set_exception(error)
    else:
        if not result.done():
            result.set_result(value)
