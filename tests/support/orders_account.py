"""Where every word is that was spoken in an order of events, and what must hold after each of them."""

import asyncio
import logging
import shutil
from collections import defaultdict
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.orders import REST_S, TAP_WORDS, Life, Makers
from support.orders_clock import VirtualLoop
from support.orders_disk import CAPACITY, Disk
from support.orders_ports import WORD_SAMPLES, BreachError, Desk, PlannedBugError, block, letter
from v2m.application.ledger import AGAIN_S
from v2m.application.outbox import QUEUE_LIMIT
from v2m.daemon import DRAIN_S, PARTING_S
from v2m.domain.delivery import Deliver
from v2m.domain.dictation import FINAL, DaemonState, HistoryEntry
from v2m.domain.errors import V2mError

CEASED_S = 5.0  # how long what was cancelled may take to clean up


class Account:
    """The lives of one order, and where every word of them is."""

    def __init__(self, folder: Path, *, sqlite: bool = False, makers: Makers | None = None) -> None:
        self.loop = VirtualLoop()
        self.desk = Desk()
        self._folder = folder
        (folder / "state").mkdir(mode=0o700)
        self.disk = Disk(folder / "state", sqlite=sqlite)
        self._makers = makers or Makers()
        self._spoken: dict[int, list[int]] = {}  # of this life, by dictation
        self.words = 0
        self.lives = 0
        self._excused: set[int] = set()  # thrown away on purpose, or lost with the memory that they were in
        self._fragile: set[int] = set()  # in memory only
        self._requests: list[tuple[str, asyncio.Future]] = []
        self._retried: set[int] = set()
        self._begin()

    def close(self) -> None:
        """Leave nothing behind."""
        if self.life.tasks:
            self.life.end()
            self._cease()
        self.loop.close()
        shutil.rmtree(self._folder / "state", ignore_errors=True)

    def _look(self) -> None:
        """Check what holds at any time."""
        if self.desk.breaches:
            raise BreachError(self.desk.breaches[0])
        self.life.check()
        dictations = self.life.dictations
        if dictations.queue > QUEUE_LIMIT + 1:  # the one that was open when the queue was one short of full
            raise BreachError(f"{dictations.queue} dictations are on their way")
        if (dictations.state is DaemonState.RECORDING) != (dictations.recording is not None):
            raise BreachError(f"the state is {dictations.state}")
        for name, request in self._requests:
            if request.done() and not request.cancelled():
                error = request.exception()
                if error is not None and not isinstance(error, (V2mError, PlannedBugError)):
                    raise BreachError(f"{name} was answered by {error!r}") from error
        while self.life.events.discarded:
            event = self.life.events.discarded.pop()
            if event.dictation is not None and event.dictation not in self._retried:
                self._thrown_away(event.dictation, event.reason)

    def _thrown_away(self, dictation: int, reason: str) -> None:
        words = self._spoken.get(dictation, [])
        if reason == "tap" and len(words) >= TAP_WORDS:
            raise BreachError(f"{len(words)} words were taken for a tap")
        self._excused.update(words)
        for word in words:  # whoever types one now is wrong
            self.desk.asked[letter(word)] = self.desk.typed[letter(word)]

    def _rest(self) -> None:
        """Come to rest and check what holds there."""
        dictations = self.life.dictations
        if not self.loop.until(self._at_rest, REST_S, 2.0):
            waiting = [name for name, request in self._requests if not request.done()]
            raise BreachError(f"still {dictations.state} after hours; {waiting} without an answer")
        self._look()
        self._requests.clear()
        self._retried.clear()
        if self.life.microphone.recording is not None or self.life.engine.open_readers:
            raise BreachError("a microphone or audio is still open")
        if not self.desk.disk_full:
            self.loop.advance(2 * AGAIN_S)
            self._account()

    def _at_rest(self) -> bool:
        dictations = self.life.dictations
        if dictations.recording is not None:
            self.life.dictations.post(self._let_go, lambda error: None)
            self.loop.advance(0.1)
        return (
            dictations.recording is None
            and dictations.queue == 0
            and not self.life.engine.open_readers
            and all(request.done() for _, request in self._requests)
        )

    async def _let_go(self) -> None:
        if self.life.dictations.recording is not None:
            await self.life.dictations.end({}, Deliver.TYPE)

    def _account(self) -> None:
        """Find every word that was spoken."""
        rows = self._rows()
        if moving := [row for row in rows if row.phase not in FINAL]:
            raise BreachError(f"at rest, and dictation {moving[0].dictation} is {moving[0].phase}")
        found = {*self.desk.screen, *"".join(row.text + row.raw for row in rows)}
        missing = {word for word in range(1, self.words + 1) if letter(word) not in found} - self._excused
        missing -= self._fragile & self.desk.unheard  # the disk was full and the engine failed
        if missing:
            missing -= {word for row in rows for word in self.disk.words(row.spool)}
        if missing:
            raise BreachError(f"words {sorted(missing)} are nowhere")

    # --- parts ---

    def _hear(self, blocks: int, *, speech: bool) -> None:
        recording = self.life.microphone.recording
        if recording is None or recording.lost:
            return
        spool = recording.spool
        room = (CAPACITY - spool.head) // WORD_SAMPLES - 4
        words = [0] * min(blocks, room)
        if speech:
            words = list(range(self.words + 1, self.words + 1 + len(words)))
            self.words += len(words)
            self._spoken[spool.dictation] += words
            self._fragile.update(words if spool.path is None else ())
            self.desk.asked.update(map(letter, words))
        if words:
            recording.hear(b"".join(map(block, words)))
        if speech:
            self.life.engine.spoken_until = spool.head

    def _want(self, word: int) -> None:
        self.desk.asked[letter(word)] += 1

    def _press(self, action: str) -> None:
        answered = self.loop.create_future()

        def answer(error: V2mError | None) -> None:
            if answered.done():
                raise self.desk.broken(f"{action} was answered twice")
            answered.set_result(error)

        self._requests.append((action, answered))
        self.life.hotkey.press(action, 10**12 + int(self.loop.time() * 1e9), answer)

    def _ask(self, work: Coroutine[Any, Any, Any]) -> None:
        self._requests.append((work.__qualname__, self.loop.create_task(work)))

    def _rows(self) -> list[HistoryEntry]:
        return list(self.loop.run_until_complete(self.disk.history.entries(limit=10**6)))

    def _begin(self) -> None:
        self._spoken = defaultdict(list)
        self._requests.clear()
        self._retried.clear()
        self.loop.run_until_complete(self.disk.open())
        self.lives += 1
        self.life = Life(self.loop, self.desk, self.disk, self._makers)
        self.loop.run_until_complete(self.life.begin())

    def _end(self, *, finish: bool) -> None:
        """Drain as the daemon does, and see that it did."""
        began_s = self.loop.time()
        draining = self.loop.create_task(self.life.drain(finish=finish))
        if not self.loop.until(draining.done, DRAIN_S + 1, 0.1):
            raise BreachError(f"not drained after {DRAIN_S} s")
        draining.result()
        self._look()
        if self.life.microphone.recording is not None:
            raise BreachError("the microphone is open after the end")
        if self.loop.time() - began_s < DRAIN_S:
            self.loop.advance(PARTING_S)
            if waiting := [name for name, request in self._requests if not request.done()]:
                raise BreachError(f"{waiting} got no answer")
        self._excused |= self._fragile
        self._cease()

    def _cease(self) -> None:
        """Have no task of this life left, nor anything that it held."""

        def gone() -> bool:
            left = asyncio.all_tasks(self.loop)
            for task in left:
                task.cancel()
            return not left

        if not self.loop.until(gone, CEASED_S, 0.01):
            raise BreachError(f"cannot be cancelled: {asyncio.all_tasks(self.loop)}")
        self.loop.run_until_complete(self.life.engine.aclose())
        self.loop.run_until_complete(self.disk.close())
        self.life.spools.let_go()
        for _, request in self._requests:
            if request.done() and not request.cancelled():
                request.exception()
        self._requests.clear()
        self.life.tasks = []


@contextmanager
def quiet() -> Iterator[list[str]]:
    """Have nothing logged; yield the steps that the history refused, which are our mistakes."""
    refused: list[str] = []

    class Refusals(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            refused.append(str(record.exc_info[1] if record.exc_info else record.getMessage()))

    whole, ledger, handler = logging.getLogger("v2m"), logging.getLogger("v2m.application.ledger"), Refusals()
    levels = whole.level, ledger.level
    whole.setLevel(logging.CRITICAL)
    ledger.setLevel(logging.ERROR)
    ledger.addHandler(handler)
    try:
        yield refused
    finally:
        ledger.removeHandler(handler)
        whole.setLevel(levels[0])
        ledger.setLevel(levels[1])
