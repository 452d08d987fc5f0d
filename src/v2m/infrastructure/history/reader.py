"""The history while no daemon runs: read, and nothing else."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from v2m.domain.dictation import HistoryEntry
from v2m.domain.errors import HistoryError
from v2m.infrastructure._translate import translate
from v2m.infrastructure.history._rows import select
from v2m.infrastructure.history._search import find_rows

_PAGE: Final = 500  # rows in memory at once


def read_entries(path: Path) -> Iterator[HistoryEntry]:
    """Yield every row, newest first; none when there is no file. Changes nothing.

    Raises:
        HistoryError: it cannot be read, or is of another version.
    """
    if not path.exists():
        return
    with translate(_in_users_terms, sqlite3.Error), contextlib.closing(_open(path)) as database:
        before = 1 << 62
        while page := select(database, "id < :before ORDER BY id DESC LIMIT :most", {"before": before, "most": _PAGE}):
            yield from page
            before = page[-1].dictation


def read_newest(
    path: Path, *, limit: int, grep: str = "", before: int = 1 << 62, with_text: bool = False
) -> list[HistoryEntry]:
    """Return rows as LIST_HISTORY finds them, newest first; none when there is no file. Raises as `read_entries`."""
    if not path.exists():
        return []
    with translate(_in_users_terms, sqlite3.Error), contextlib.closing(_open(path)) as database:
        return find_rows(database, limit=limit, grep=grep, before=min(before, 1 << 62), with_text=with_text)


def _open(path: Path) -> sqlite3.Connection:
    """Open read-only; a file without a journal is read as it is, so that none is made beside it."""
    mode = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "mode=ro&immutable=1"
    database = sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True)
    database.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return database


def _in_users_terms(error: Exception) -> HistoryError:
    return HistoryError(f"The history cannot be read: {error}.", hint="toakd mends it, or brings it to its version.")
