"""The history as the application writes it: trouble with the disk degrades it, and never stops a dictation."""

import logging
from collections.abc import Callable
from typing import Any

from v2m.domain.dictation import HistoryEntry, Phase
from v2m.domain.errors import HistoryError
from v2m.domain.ports import History

log = logging.getLogger(__name__)


class Ledger:
    """Writes through to the history; `on_trouble` hears the first failure after each success."""

    def __init__(self, history: History, *, on_trouble: Callable[[str], None]) -> None:
        self.history = history
        self._on_trouble = on_trouble
        self._working = True

    def next_id(self) -> int:
        """Return the id of the next dictation."""
        return self.history.next_id()

    async def begin(self, entry: HistoryEntry) -> None:
        """Write the row of a recording that has started."""
        try:
            await self.history.begin(entry)
        except HistoryError as error:
            self._trouble(error)
        else:
            self._working = True

    async def move(self, dictation: int, phase: Phase, **changes: Any) -> None:  # noqa: ANN401 - row fields
        """Write a step of a dictation."""
        try:
            await self.history.move(dictation, phase, **changes)
        except HistoryError as error:
            self._trouble(error)
        else:
            self._working = True

    def _trouble(self, error: HistoryError) -> None:
        log.warning("history: %s", error)
        if self._working:
            self._working = False
            self._on_trouble(str(error))
