"""The history as the application writes it: trouble with it is told, and never stops a dictation."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from v2m.domain.dictation import HistoryEntry, Phase
from v2m.domain.errors import HistoryError
from v2m.domain.ports import History

log = logging.getLogger(__name__)


class Ledger:
    """Writes through to the history; `on_trouble` hears the first failure after each success.

    A row that could not be begun is begun with its next step, so that a moment without the disk costs no text.
    """

    def __init__(self, history: History, *, on_trouble: Callable[[str], None]) -> None:
        self._history = history
        self._on_trouble = on_trouble
        self._working = True
        self._unwritten: dict[int, HistoryEntry] = {}

    def next_id(self) -> int:
        """Return the id of the next dictation."""
        return self._history.next_id()

    async def begin(self, entry: HistoryEntry) -> None:
        """Write the row of a recording that has started. Never raises."""
        try:
            await self._history.begin(entry)
        except HistoryError as error:
            self._unwritten[entry.dictation] = entry
            self._trouble(error)
        else:
            self._unwritten.pop(entry.dictation, None)
            self._working = True

    async def move(self, dictation: int, phase: Phase, **changes: Any) -> None:  # noqa: ANN401 - row fields
        """Write a step of a dictation. Never raises."""
        if (entry := self._unwritten.get(dictation)) is not None:
            await self.begin(replace(entry, phase=phase, **changes))
            return
        try:
            await self._history.move(dictation, phase, **changes)
        except HistoryError as error:
            self._trouble(error)
        except ValueError:  # a step that the table forbids is our mistake, and no reason to lose a dictation
            log.exception("the history refused a step")
        else:
            self._working = True

    async def forget_audio(self, dictation: int) -> None:
        """Note that the audio of a row is gone. Never raises."""
        if (entry := self._unwritten.get(dictation)) is not None:
            self._unwritten[dictation] = replace(entry, spool=None)
            return
        try:
            await self._history.forget_audio(dictation)
        except HistoryError as error:
            self._trouble(error)

    async def scrub(self, dictation: int, *, reason: str, **changes: Any) -> None:  # noqa: ANN401 - row fields
        """Discard a dictation and have its words gone from the disk. Never raises; trouble is told each time."""
        if (entry := self._unwritten.get(dictation)) is not None:
            await self.begin(replace(entry, phase=Phase.DISCARDED, raw="", text="", reason=reason, **changes))
            return
        try:
            await self._history.scrub(dictation, reason=reason, **changes)
        except HistoryError as error:
            self._working = True
            self._trouble(error)
        except ValueError:
            log.exception("the history refused a step")

    def _trouble(self, error: HistoryError) -> None:
        log.warning("history: %s", error)
        if self._working:
            self._working = False
            self._on_trouble(str(error))
