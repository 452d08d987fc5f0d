"""The memory of every dictation."""

from collections.abc import Sequence
from typing import Any, Protocol

from v2m.domain.dictation import HistoryEntry, Phase, Sent


class History(Protocol):
    """Every dictation, from the moment its recording starts.

    Called from the loop; the work happens in one writer thread. `HistoryError` is raised by reads and
    by `begin`/`move` alike; the application turns it into `degraded: history`, never into a lost text.
    """

    durable: bool  # whether rows outlive the process

    def retain(self, *, retention_days: int, keep_audio_s: float, keep_trouble_audio_s: float) -> None:
        """Keep rows and audio for so long from now on. No I/O."""

    def next_id(self) -> int:
        """Return the id of the next dictation; never the same twice, also after a restart. No I/O."""

    async def begin(self, entry: HistoryEntry) -> None:
        """Insert the row of a recording that has started."""

    async def move(self, dictation: int, phase: Phase, **changes: Any) -> None:  # noqa: ANN401 - row fields
        """Set the phase and other fields of HistoryEntry.

        Moving to DELIVERING returns only when the row is on the disk (synchronous=FULL).
        """

    async def scrub(self, dictation: int, **changes: Any) -> None:  # noqa: ANN401 - row fields
        """Move to DISCARDED with empty `raw` and `text`; what they held is in no file afterwards."""

    async def get(self, dictation: int | None = None) -> HistoryEntry | None:
        """Return a row, or the newest one that has text."""

    async def entries(
        self, *, limit: int = 20, grep: str = "", before: int | None = None, with_text: bool = False
    ) -> Sequence[HistoryEntry]:
        """Return rows, newest first; `grep` is searched for in what was heard and typed."""

    async def count_since(self, started_ns: int) -> int:
        """Return how many of the newest 2,000 dictations began at this time (wall clock) or later."""

    async def unfinished(self) -> Sequence[HistoryEntry]:
        """Return rows whose phase is not final: what a crash left."""

    async def resting(self, error: str) -> Sequence[HistoryEntry]:
        """Return rows that came to rest undelivered, or perhaps so, with this error, oldest first."""

    async def spools(self) -> set[str]:
        """Return the paths of all kept audio."""

    async def expired_audio(self, now_ns: int) -> Sequence[HistoryEntry]:
        """Return rows whose audio has been kept long enough."""

    async def forget_audio(self, dictation: int) -> None:
        """Note that the audio of a row is gone."""

    async def add_sent(self, dictation: int, sent: Sent) -> None:
        """Add to what left the machine for a dictation; nothing happens when the row is gone."""

    async def expire_rows(self, now_ns: int) -> int:
        """Delete rows older than the retention; never more than a fifth of all in one go. Return how many."""

    async def delete(self, dictations: Sequence[int], *, shred: bool) -> int:
        """Delete rows and every copy of their words; with `shred` overwrite them. Return how many there were."""

    async def aclose(self) -> None:
        """Write what is pending and close; twice is fine."""
