"""A history that ends with the process: for `history.enabled = false` and for tests."""

import re
import time
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from v2m.domain.dictation import FINAL, HistoryEntry, Phase, Sent, with_sent
from v2m.domain.errors import HistoryError
from v2m.infrastructure.history._rules import (
    THROWN_AWAY,
    TROUBLE,
    Retention,
    check_move,
    largest_sweep,
    no_such_row,
    search_words,
)

_WORD = re.compile(r"[^\W_]+")


class MemoryHistory:
    """`History` in a dict; unless told otherwise it keeps rows for a day and audio only where it may help."""

    def __init__(
        self,
        *,
        retention_days: int = 1,
        keep_audio_s: float = 0.0,
        keep_trouble_audio_s: float = 3600.0,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._keep = Retention(retention_days, keep_audio_s, keep_trouble_audio_s)
        self._clock_ns = clock_ns
        self._rows: dict[int, tuple[HistoryEntry, int]] = {}  # entry, time of its last move
        self._last_id = 0
        self._closed = False
        self.durable = False

    async def open(self) -> None:
        """Nothing to open; the same call as for `SqliteHistory`."""

    def retain(self, *, retention_days: int, keep_audio_s: float, keep_trouble_audio_s: float) -> None:
        """Keep rows and audio for so long from now on."""
        self._keep = Retention(retention_days, keep_audio_s, keep_trouble_audio_s)

    def next_id(self) -> int:
        """Return the id of the next dictation."""
        self._last_id += 1
        return self._last_id

    async def begin(self, entry: HistoryEntry) -> None:
        """Insert the row of a recording that has started."""
        self._check_open()
        if entry.dictation in self._rows:
            raise HistoryError(f"Dictation {entry.dictation} is in the history already.")
        self._last_id = max(self._last_id, entry.dictation)
        self._rows[entry.dictation] = (entry, self._clock_ns())

    async def move(self, dictation: int, phase: Phase, **changes: Any) -> None:  # noqa: ANN401 - row fields
        """Set phase and fields; the same phase again only sets fields. Raises ValueError for a bad step."""
        self._check_open()
        if dictation not in self._rows:
            raise no_such_row(dictation)
        entry, moved_ns = self._rows[dictation]
        check_move(dictation, entry.phase, phase, changes)
        changed = replace(entry, phase=phase, **changes)
        self._rows[dictation] = (changed, moved_ns if phase is entry.phase else self._clock_ns())

    async def scrub(self, dictation: int, **changes: Any) -> None:  # noqa: ANN401 - row fields
        """Move to DISCARDED with empty `raw` and `text`. Raises as `move`."""
        await self.move(dictation, Phase.DISCARDED, raw="", text="", **changes)

    async def get(self, dictation: int | None = None) -> HistoryEntry | None:
        """Return a row, or the newest one that has text."""
        newest = (entry for entry in self._newest_first() if entry.text or dictation is not None)
        return next((entry for entry in newest if dictation in (None, entry.dictation)), None)

    async def entries(
        self, *, limit: int = 20, grep: str = "", before: int | None = None, with_text: bool = False
    ) -> Sequence[HistoryEntry]:
        """Return rows, newest first; `grep` as `SqliteHistory.entries` says."""
        grep = grep.strip()
        rows = self._newest_first()
        if grep:
            literal = [row for row in rows if _fold(grep) in _fold(f"{row.raw}\0{row.text}")]
            rows = [row for row in rows if _has_words(row, search_words(grep))] or literal
        return [row for row in rows if (before is None or row.dictation < before) and (row.text or not with_text)][
            :limit
        ]

    async def unfinished(self) -> Sequence[HistoryEntry]:
        """Return rows whose phase is not final, oldest first."""
        return [entry for entry in reversed(self._newest_first()) if entry.phase not in FINAL]

    async def resting(self, error: str) -> Sequence[HistoryEntry]:
        """Return rows that came to rest undelivered, or perhaps so, with this error, oldest first."""
        return [row for row in reversed(self._newest_first()) if row.phase in TROUBLE and row.error == error]

    async def count_since(self, started_ns: int) -> int:
        """Return how many of the newest rows began at this time or later."""
        self._check_open()
        return sum(entry.started_ns >= started_ns for entry in list(self._newest_first())[:2000])

    async def spools(self) -> set[str]:
        """Return the paths of all kept audio."""
        return {entry.spool for entry in self._newest_first() if entry.spool is not None}

    async def expired_audio(self, now_ns: int) -> Sequence[HistoryEntry]:
        """Return rows whose audio has been kept long enough; limits as `SqliteHistory.expired_audio` says."""
        self._check_open()
        with_audio = sorted((row for row in self._rows.values() if row[0].spool), key=lambda row: row[1])
        done = [
            entry
            for entry, moved_ns in with_audio
            if entry.phase in THROWN_AWAY
            or (entry.phase is Phase.DELIVERED and moved_ns <= self._keep.delivered_until_ns(now_ns))
        ]
        trouble = [row for row in with_audio if row[0].phase in TROUBLE]
        due = [entry for entry, moved_ns in trouble if moved_ns <= self._keep.trouble_until_ns(now_ns)]
        return done + due[: largest_sweep(len(trouble))]

    async def forget_audio(self, dictation: int) -> None:
        """Note that the audio of a row is gone; nothing happens when the row is gone too."""
        self._check_open()
        if dictation in self._rows:
            entry, moved_ns = self._rows[dictation]
            self._rows[dictation] = (replace(entry, spool=None), moved_ns)

    async def add_sent(self, dictation: int, sent: Sent) -> None:
        """Add to what left the machine; nothing happens when the row is gone."""
        self._check_open()
        if dictation in self._rows:
            entry, moved_ns = self._rows[dictation]
            self._rows[dictation] = (replace(entry, sent=with_sent(entry.sent, sent)), moved_ns)

    async def expire_rows(self, now_ns: int) -> int:
        """Delete finished rows without audio that are older than the retention; return how many."""
        until = self._keep.rows_until_ns(now_ns)
        due = [
            entry
            for entry in reversed(self._newest_first())
            if entry.started_ns <= until and entry.spool is None and entry.phase in FINAL
        ]
        due.sort(key=lambda entry: entry.started_ns)
        sweep = due[: largest_sweep(len(self._rows))]
        for entry in sweep:
            del self._rows[entry.dictation]
        return len(sweep)

    async def delete(self, dictations: Sequence[int], *, shred: bool) -> int:
        """Forget rows; in memory there is nothing to overwrite."""
        del shred
        self._check_open()
        return sum(self._rows.pop(dictation, None) is not None for dictation in dictations)

    async def aclose(self) -> None:
        """Forget everything; twice is fine."""
        self._closed = True
        self._rows.clear()

    def _newest_first(self) -> list[HistoryEntry]:
        self._check_open()
        return [self._rows[dictation][0] for dictation in sorted(self._rows, reverse=True)]

    def _check_open(self) -> None:
        if self._closed:
            raise HistoryError("The history is closed.")


def _fold(text: str) -> str:
    """Return text without case and diacritics, as the full-text index compares it."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def _has_words(entry: HistoryEntry, words: Sequence[str]) -> bool:
    """Tell whether each word's tokens follow each other in the row, the last perhaps going on."""
    spoken = " " + " ".join(_WORD.findall(_fold(f"{entry.raw} {entry.text}")))
    return bool(words) and all(" " + " ".join(_WORD.findall(_fold(word))) in spoken for word in words)
