"""The history as an SQLite file: WAL, full-text search, one thread that alone touches it."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from errno import ENOSPC
from pathlib import Path
from typing import Any, TypeVar

from v2m.domain.dictation import FINAL, HistoryEntry, Phase, Sent
from v2m.domain.errors import HistoryError
from v2m.infrastructure._translate import translate
from v2m.infrastructure.history import _writes
from v2m.infrastructure.history._rows import entry_columns, select
from v2m.infrastructure.history._rules import THROWN_AWAY, TROUBLE, Retention, largest_sweep
from v2m.infrastructure.history._salvage import finish_exchange, rebuild
from v2m.infrastructure.history._schema import (
    NewerSchemaError,
    highest_id,
    id_floor,
    ids_perhaps_lost,
    is_damage,
    open_database,
)
from v2m.infrastructure.history._search import find_rows

__all__ = ["NewerSchemaError", "SqliteHistory"]

T = TypeVar("T")


def _listed(phases: Iterable[Phase]) -> str:
    return "(" + ", ".join(f"'{phase}'" for phase in sorted(phases)) + ")"


_FINAL = f"phase IN {_listed(FINAL)}"
_TROUBLED_AUDIO = f"spool IS NOT NULL AND phase IN {_listed(TROUBLE)}"
_COUNT_TROUBLED_AUDIO = f"SELECT count(*) FROM dictation WHERE {_TROUBLED_AUDIO}"  # noqa: S608 - constants
_DONE_AUDIO = (
    f"spool IS NOT NULL AND (phase IN {_listed(THROWN_AWAY)} OR phase = '{Phase.DELIVERED}' AND moved_ns <= :delivered)"
)
_NEWEST_SINCE = (
    "SELECT count(*) FROM (SELECT started_ns FROM dictation ORDER BY id DESC LIMIT 2000) WHERE started_ns >= ?"
)
_DELETE_OLDEST = (
    "DELETE FROM dictation WHERE id IN (SELECT id FROM dictation"  # noqa: S608 - constants
    f" WHERE started_ns <= ? AND spool IS NULL AND {_FINAL} ORDER BY started_ns LIMIT ?)"
)


class SqliteHistory:
    """`History` in one file of mode 0600.

    A damaged file is exchanged for one with every row that can still be read, and kept as `NAME.corrupt-TIME`;
    `on_damage` is then called, in the history's thread, with where it is now and how many rows were saved.
    A file that cannot be opened (disk full, read-only, newer schema) makes every call a `HistoryError`
    and is tried again with each, so the history comes back by itself. A write that has begun is finished
    even when its caller is cancelled.
    """

    def __init__(
        self,
        path: Path,
        *,
        retention_days: int,
        keep_audio_s: float,
        keep_trouble_audio_s: float,
        clock_ns: Callable[[], int] = time.time_ns,
        on_damage: Callable[[Path, int], None] = lambda _aside, _saved: None,
    ) -> None:
        self.durable = True
        self._path = path
        self._keep = Retention(retention_days, keep_audio_s, keep_trouble_audio_s)
        self._clock_ns = clock_ns
        self._on_damage = on_damage
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="history")
        self._database: sqlite3.Connection | None = None
        self._closed = False
        self._id_lock = threading.Lock()
        self._last_id = 0

    async def open(self) -> None:
        """Open the file and learn the highest id.

        Raises:
            HistoryError: it cannot be opened; `next_id` and later calls still work as described above.
        """
        try:
            await self._call(lambda _: None)
        except HistoryError:
            self._raise_last_id(id_floor(self._clock_ns()))
            raise

    def retain(self, *, retention_days: int, keep_audio_s: float, keep_trouble_audio_s: float) -> None:
        """Keep rows and audio for so long from now on."""
        self._keep = Retention(retention_days, keep_audio_s, keep_trouble_audio_s)

    def next_id(self) -> int:
        """Return the id of the next dictation; no I/O."""
        with self._id_lock:
            self._last_id += 1
            return self._last_id

    async def begin(self, entry: HistoryEntry) -> None:
        """Insert the row of a recording that has started."""
        columns = {**entry_columns(entry), "moved_ns": self._clock_ns()}
        names, marks = ", ".join(columns), ", ".join(f":{name}" for name in columns)
        await self._call(
            lambda database: database.execute(
                f"INSERT INTO dictation ({names}) VALUES ({marks})",  # noqa: S608 - names of columns
                columns,
            )
        )

    async def move(self, dictation: int, phase: Phase, **changes: Any) -> None:  # noqa: ANN401 - row fields
        """Set phase and fields; the same phase again only sets fields. DELIVERING is on the disk afterwards.

        Raises:
            HistoryError: not written, or there is no such row.
            ValueError: the table of phases forbids the step, or a field does not exist (programming errors).
        """
        await self._call(lambda database: self._move(database, dictation, phase, changes))

    async def scrub(self, dictation: int, **changes: Any) -> None:  # noqa: ANN401 - row fields
        """Move to DISCARDED with empty `raw` and `text`; what they held is in no file afterwards.

        Raises:
            HistoryError: as `move`; or somebody else reads the file, so that its journal still holds the words.
            ValueError: as `move`.
        """
        await self._call(lambda database: self._scrub(database, dictation, changes))

    async def get(self, dictation: int | None = None) -> HistoryEntry | None:
        """Return a row, or the newest one that has text."""
        which = "text <> '' ORDER BY id DESC LIMIT 1" if dictation is None else "id = :id"
        found = await self._select(which, {"id": dictation})
        return found[0] if found else None

    async def entries(
        self, *, limit: int = 20, grep: str = "", before: int | None = None, with_text: bool = False
    ) -> Sequence[HistoryEntry]:
        """Return rows, newest first; each word of `grep` begins a word that was heard or typed.

        A search without a letter or digit, or whose words are found nowhere, looks for the literal text.
        """
        return await self._call(
            lambda database: find_rows(database, limit=limit, grep=grep, before=before, with_text=with_text)
        )

    async def unfinished(self) -> Sequence[HistoryEntry]:
        """Return rows whose phase is not final, oldest first."""
        return await self._select(f"NOT ({_FINAL}) ORDER BY id", {})

    async def resting(self, error: str) -> Sequence[HistoryEntry]:
        """Return rows that came to rest undelivered, or perhaps so, with this error, oldest first."""
        return await self._select(f"phase IN {_listed(TROUBLE)} AND error = :error ORDER BY id", {"error": error})

    async def count_since(self, started_ns: int) -> int:
        """Return how many of the newest rows began at this time or later; there is no index on the time."""
        rows = await self._call(lambda database: database.execute(_NEWEST_SINCE, (started_ns,)).fetchone())
        return int(rows[0])

    async def spools(self) -> set[str]:
        """Return the paths of all kept audio."""
        rows = await self._call(
            lambda database: database.execute("SELECT spool FROM dictation WHERE spool IS NOT NULL").fetchall()
        )
        return {row[0] for row in rows}

    async def expired_audio(self, now_ns: int) -> Sequence[HistoryEntry]:
        """Return rows whose audio has been kept long enough since their last move.

        Audio that may be the only copy of somebody's words goes at most a fifth at a time, oldest first.
        """
        values = {
            "delivered": self._keep.delivered_until_ns(now_ns),
            "trouble": self._keep.trouble_until_ns(now_ns),
        }

        def run(database: sqlite3.Connection) -> list[HistoryEntry]:
            kept = database.execute(_COUNT_TROUBLED_AUDIO).fetchone()[0]
            return [
                *select(database, f"{_DONE_AUDIO} ORDER BY moved_ns", values),
                *select(
                    database,
                    f"{_TROUBLED_AUDIO} AND moved_ns <= :trouble ORDER BY moved_ns LIMIT :share",
                    {**values, "share": largest_sweep(kept)},
                ),
            ]

        return await self._call(run)

    async def forget_audio(self, dictation: int) -> None:
        """Note that the audio of a row is gone; nothing happens when the row is gone too."""
        await self._call(
            lambda database: database.execute("UPDATE dictation SET spool = NULL WHERE id = ?", (dictation,))
        )

    async def add_sent(self, dictation: int, sent: Sent) -> None:
        """Add to what left the machine; nothing happens when the row is gone."""
        await self._call(lambda database: _writes.add_sent(database, dictation, sent))

    async def expire_rows(self, now_ns: int) -> int:
        """Delete finished rows without audio that are older than the retention; return how many."""
        until = self._keep.rows_until_ns(now_ns)

        def run(database: sqlite3.Connection) -> int:
            _writes.expire_copy(self._path, until)
            total = database.execute("SELECT count(*) FROM dictation").fetchone()[0]
            return database.execute(_DELETE_OLDEST, (until, largest_sweep(total))).rowcount

        return await self._call(run)

    async def delete(self, dictations: Sequence[int], *, shred: bool) -> int:
        """Delete rows; their words are in no file afterwards, and older copies of the file are gone."""
        return await self._call(lambda database: _writes.delete(database, self._path, dictations, shred=shred))

    async def aclose(self) -> None:
        """Write what is pending and close; twice is fine."""
        if self._closed:
            return
        self._closed = True
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, self._close))
        self._thread.shutdown(wait=False)

    # --- in the thread ------------------------------------------------------------------------------

    async def _call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._closed:
            raise HistoryError("The history is closed.")
        loop = asyncio.get_running_loop()
        return await asyncio.shield(loop.run_in_executor(self._thread, self._run, work))

    async def _select(self, which: str, values: Mapping[str, Any]) -> list[HistoryEntry]:
        return await self._call(lambda database: select(database, which, values))

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with translate(self._in_users_terms, sqlite3.Error, OSError):
            try:
                return work(self._opened())
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
                if not is_damage(error):
                    raise
            self._begin_anew()
            return work(self._opened())

    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            finish_exchange(self._path)
            lost = ids_perhaps_lost(self._path)
            self._database = open_database(self._path)
            self._raise_last_id(highest_id(self._database) + lost)
        return self._database

    def _begin_anew(self) -> None:
        self._close()
        # Audio of rows that cannot be read may still lie in the spool under their ids.
        self._raise_last_id(id_floor(self._clock_ns()))
        aside, saved = rebuild(self._path, least_id=self._last_id)
        self._opened()
        self._on_damage(aside, saved)

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _raise_last_id(self, known: int) -> None:
        with self._id_lock:
            self._last_id = max(self._last_id, known)

    def _move(self, database: sqlite3.Connection, dictation: int, phase: Phase, changes: Mapping[str, Any]) -> None:
        _writes.move(database, dictation, phase, changes, now_ns=self._clock_ns())

    def _scrub(self, database: sqlite3.Connection, dictation: int, changes: Mapping[str, Any]) -> None:
        """Blank the row, have the index of words forget them, and empty the journal."""
        self._move(database, dictation, Phase.DISCARDED, {**changes, "raw": "", "text": ""})
        _writes.forget_words(database, self._path)

    def _in_users_terms(self, error: Exception) -> HistoryError:
        folder = self._path.parent
        full = getattr(error, "errno", None) == ENOSPC or getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL
        return HistoryError(
            f"The history {self._path} cannot be used: {getattr(error, 'strerror', None) or error}.",
            hint=f"df -h {folder}" if full else f"ls -ld {folder}",
        )
