"""What changes rows that are there: steps, words that must go, rows that must go. In the history's thread."""

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from v2m.domain.dictation import Phase, Sent, with_sent
from v2m.domain.errors import HistoryError
from v2m.infrastructure._overwrite import overwrite
from v2m.infrastructure.history._rows import select, to_columns
from v2m.infrastructure.history._rules import check_move, no_such_row
from v2m.infrastructure.history._schema import BACKUP
from v2m.infrastructure.history._search import FORGET_DELETED_WORDS

_COPIES: Final = (".corrupt-*", f"{BACKUP}*", ".copying*", ".rebuilding*")  # of the file, with words in them


def move(
    database: sqlite3.Connection, dictation: int, phase: Phase, changes: Mapping[str, Any], *, now_ns: int
) -> None:
    """Write a step; DELIVERING is on the disk afterwards. Raises HistoryError, ValueError as `SqliteHistory.move`."""
    found = database.execute("SELECT phase FROM dictation WHERE id = ?", (dictation,)).fetchone()
    if found is None:
        raise no_such_row(dictation)
    check_move(dictation, Phase(found[0]), phase, changes)
    columns = to_columns(changes)
    if phase != found[0]:
        columns |= {"phase": phase, "moved_ns": now_ns}
    settings = ", ".join(f"{name} = :{name}" for name in columns)
    if not settings:
        return
    if phase is Phase.DELIVERING:
        database.execute("PRAGMA synchronous = FULL")
    try:
        database.execute(
            f"UPDATE dictation SET {settings} WHERE id = :id",  # noqa: S608 - names of columns
            {**columns, "id": dictation},
        )
    finally:
        database.execute("PRAGMA synchronous = NORMAL")


def add_sent(database: sqlite3.Connection, dictation: int, sent: Sent) -> None:
    """Add to what left the machine for a dictation, if its row is there."""
    for entry in select(database, "id = :id", {"id": dictation}):
        told = to_columns({"sent": with_sent(entry.sent, sent)})
        database.execute("UPDATE dictation SET sent = :sent WHERE id = :id", {**told, "id": dictation})


def forget_words(database: sqlite3.Connection, path: Path) -> None:
    """Have the index drop what was deleted, and empty the journal.

    Raises:
        HistoryError: somebody else reads the file, so that its journal still holds the words.
    """
    database.execute(FORGET_DELETED_WORDS)
    busy = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    if busy:
        raise HistoryError(
            f"{path}-wal still holds words that were to be forgotten: another program reads it.",
            hint=f"fuser {path}",
        )


def delete(database: sqlite3.Connection, path: Path, dictations: Sequence[int], *, shred: bool) -> int:
    """Delete rows, what the index knows of them, and every older copy of the file; return how many there were.

    With `shred` the copies are overwritten first and the file is written anew, so that no page has leftovers.

    Raises:
        HistoryError: as `forget_words`.
        sqlite3.Error, OSError: not all of it is gone; the same call goes on.
    """
    for copy in _copies(path):
        if shred:
            overwrite(copy)
        copy.unlink(missing_ok=True)
    database.execute("BEGIN IMMEDIATE")
    try:
        rows = database.executemany("DELETE FROM dictation WHERE id = ?", [(one,) for one in dictations]).rowcount
        database.execute("COMMIT")
    except BaseException:
        database.execute("ROLLBACK")
        raise
    if shred:
        database.execute(FORGET_DELETED_WORDS)
        database.execute("PRAGMA temp_store = MEMORY")  # the new file is built there, not in /tmp
        database.execute("VACUUM")
    forget_words(database, path)
    return max(0, rows)


def expire_copy(path: Path, until_ns: int) -> None:
    """Delete the oldest copy of the file if its words are too old as well; one at a time, as clocks jump."""
    aged = sorted((copy.lstat().st_ctime_ns, copy) for copy in _copies(path))
    if aged and aged[0][0] <= until_ns:
        aged[0][1].unlink(missing_ok=True)


def _copies(path: Path) -> list[Path]:
    return [copy for pattern in _COPIES for copy in path.parent.glob(path.name + pattern)]
