"""The history as the application writes it: trouble with it is told, and never stops a dictation."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from v2m.domain.dictation import HistoryEntry, Phase, Sent, with_sent
from v2m.domain.errors import HistoryError
from v2m.domain.ports import History

log = logging.getLogger(__name__)

AGAIN_S: Final = 5.0  # how soon a history that refused is tried again, when nothing else is written before


@dataclass(slots=True)
class _Late:
    """What the history has not taken of one dictation yet."""

    row: HistoryEntry | None = None  # as it is to be begun; None: it was begun
    steps: list[tuple[Phase, dict[str, Any]]] = field(default_factory=list)


class Ledger:
    """Writes through to the history; `on_trouble` hears the first failure after each success.

    What the history refuses is kept and written in its order as soon as it takes something again, so that a moment
    without the disk costs no row, no step and no text. `run` must be running for that to happen by itself.
    """

    def __init__(self, history: History, *, on_trouble: Callable[[str], None], again_s: float = AGAIN_S) -> None:
        self._history = history
        self._on_trouble = on_trouble
        self._again_s = again_s
        self._working = True
        self._late: dict[int, _Late] = {}
        self._is_late = asyncio.Event()
        self._turn = asyncio.Lock()  # what is late must not be written twice

    def next_id(self) -> int:
        """Return the id of the next dictation."""
        return self._history.next_id()

    def is_late(self, dictation: int) -> bool:
        """Tell whether the row in the history is not the newest that is known of the dictation."""
        return dictation in self._late

    async def begin(self, entry: HistoryEntry) -> None:
        """Write the row of a recording that has started. Never raises."""
        self._late[entry.dictation] = _Late(entry)
        await self._write(entry.dictation)

    async def move(self, dictation: int, phase: Phase, **changes: Any) -> None:  # noqa: ANN401 - row fields
        """Write a step of a dictation. Never raises."""
        late = self._late.setdefault(dictation, _Late())
        if late.row is not None and not late.steps:
            late.row = replace(late.row, phase=phase, **changes)
        else:
            late.steps.append((phase, changes))
        await self._write(dictation)

    async def forget_audio(self, dictation: int) -> None:
        """Note that the audio of a row is gone. Never raises."""
        if (late := self._late.get(dictation)) is not None and late.row is not None:
            late.row = replace(late.row, spool=None)
            return
        try:
            await self._history.forget_audio(dictation)
        except HistoryError as error:
            self._trouble(error)

    async def add_sent(self, dictation: int, sent: Sent) -> bool:
        """Add to what left the machine for a dictation; tell whether it is taken down. Never raises."""
        if (late := self._late.get(dictation)) is not None and late.row is not None:
            late.row = replace(late.row, sent=with_sent(late.row.sent, sent))
            return True
        try:
            await self._history.add_sent(dictation, sent)
        except HistoryError as error:
            self._trouble(error)
            return False
        return True

    async def scrub(self, dictation: int, *, reason: str, **changes: Any) -> None:  # noqa: ANN401 - row fields
        """Discard a dictation and have its words gone from the disk. Never raises; trouble is told each time."""
        blank: dict[str, Any] = {"raw": "", "text": "", "reason": reason, **changes}
        async with self._turn:
            late = self._late.pop(dictation, None)  # words that are not on the disk yet never come there
            row = late.row if late is not None else None
            if row is None:
                try:
                    await self._history.scrub(dictation, reason=reason, **changes)
                except HistoryError as error:
                    self._working = True
                    self._trouble(error)
                    self._late[dictation] = _Late(steps=[(Phase.DISCARDED, blank)])
                except ValueError:
                    log.exception("the history refused a step")
            else:
                self._late[dictation] = _Late(replace(row, phase=Phase.DISCARDED, **blank))
        if row is not None:
            await self._write(dictation)

    async def catch_up(self) -> None:
        """Write what the history has refused so far, oldest first, until it refuses again. Never raises."""
        async with self._turn:
            await self._catch_up()

    async def run(self) -> None:
        """Catch up every few seconds while something is late, until cancelled."""
        while True:
            await self._is_late.wait()
            await asyncio.sleep(self._again_s)
            await self.catch_up()

    async def _write(self, dictation: int) -> None:
        """Write what there is of one dictation; then everything else that is late."""
        async with self._turn:
            if await self._written(dictation) and self._late:
                await self._catch_up()
            self._show()

    async def _catch_up(self) -> None:
        for dictation in list(self._late):
            if not await self._written(dictation):
                break
        self._show()

    def _show(self) -> None:
        if self._late:
            self._is_late.set()
        else:
            self._is_late.clear()

    async def _written(self, dictation: int) -> bool:
        """Write what is late of a dictation; tell whether the history takes anything.

        What has been handed to the history is written, whatever becomes of who waits for that.
        """
        late = self._late.get(dictation)
        if late is None:
            return True
        row, late.row = late.row, None
        step: tuple[Phase, dict[str, Any]] | None = None
        try:
            if row is not None:
                await self._history.begin(row)
                row = None
            while late.steps:
                step = late.steps.pop(0)
                await self._move(dictation, *step)
        except HistoryError as error:
            late.row = row
            late.steps[:0] = [] if step is None else [step]
            self._trouble(error)
            return await self._gone(dictation)
        del self._late[dictation]
        self._working = True
        return True

    async def _move(self, dictation: int, phase: Phase, changes: dict[str, Any]) -> None:
        try:
            await self._history.move(dictation, phase, **changes)
        except ValueError:  # a step that the table forbids is our mistake, and no reason to lose a dictation
            log.exception("the history refused a step")

    async def _gone(self, dictation: int) -> bool:
        """Drop the steps of a row that somebody has deleted; tell whether that was it."""
        try:
            gone = self._late[dictation].row is None and await self._history.get(dictation) is None
        except HistoryError:
            return False
        if gone:
            del self._late[dictation]
        return gone

    def _trouble(self, error: HistoryError) -> None:
        log.warning("history: %s", error)
        if self._working:
            self._working = False
            self._on_trouble(str(error))
