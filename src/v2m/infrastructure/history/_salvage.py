"""Builds a new database from every row that a damaged one still shows, and moves the damaged one aside.

The order of steps lets a kill anywhere lose nothing: a complete new file is named `.rebuilt` before anything of the
old one moves, and whoever finds a file of that name finishes the exchange.
"""

import contextlib
import os
import sqlite3
import time
from pathlib import Path
from typing import Any, Final

from v2m.infrastructure.history._cells import found_rows
from v2m.infrastructure.history._rows import is_row
from v2m.infrastructure.history._schema import MIGRATIONS

_BUILDING: Final = ".rebuilding"
_REBUILT: Final = ".rebuilt"
JOURNALS: Final = ("-wal", "-shm")


def rebuild(path: Path, *, least_id: int) -> tuple[Path, int]:
    """Exchange a damaged database for one with its rows; return where the old one is and how many were saved.

    The next id is above every row's and at least `least_id` + 1.

    Raises:
        sqlite3.Error, OSError: no room, or no right to write; the damaged file is as it was.
    """
    building = _beside(path, _BUILDING)
    for suffix in ("", "-journal"):
        _beside(building, suffix).unlink(missing_ok=True)
    os.close(os.open(building, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with contextlib.closing(sqlite3.connect(building, isolation_level=None)) as database:
        for script in MIGRATIONS:
            database.executescript(script)
        database.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        database.execute("BEGIN")
        saved = _fill(database, path)
        database.execute("DELETE FROM sqlite_sequence WHERE name = 'dictation'")
        highest = database.execute("SELECT coalesce(max(id), 0) FROM dictation").fetchone()[0]
        values = (max(highest, least_id),)
        database.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('dictation', ?)", values)
        database.execute("COMMIT")
    building.rename(_beside(path, _REBUILT))
    aside = finish_exchange(path)
    assert aside is not None
    return aside, saved


def finish_exchange(path: Path) -> Path | None:
    """Put a database that is complete in the place of the damaged one; return where that is, None: nothing to do."""
    rebuilt = _beside(path, _REBUILT)
    if not rebuilt.exists():
        return None
    aside = move_aside(path)
    rebuilt.rename(path)
    return aside


def move_aside(path: Path) -> Path:
    """Rename a damaged database with its journal, so that nothing of it is lost; return the new name."""
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    target = path.with_name(f"{path.name}.corrupt-{stamp}")
    for attempt in range(1, 100):
        if not target.exists():
            break
        target = path.with_name(f"{path.name}.corrupt-{stamp}-{attempt}")
    for suffix in (*JOURNALS, ""):
        with contextlib.suppress(FileNotFoundError):
            _beside(path, suffix).rename(_beside(target, suffix))
    return target


def _fill(database: sqlite3.Connection, damaged: Path) -> int:
    names = [row[1] for row in database.execute("PRAGMA table_info(dictation)")]
    newest: dict[int, dict[str, Any]] = {}
    for row_id, columns in found_rows(_read(damaged), _read(_beside(damaged, "-wal")), most_columns=len(names)):
        row = {**dict(zip(names, columns, strict=False)), "id": row_id}
        if is_row(row) and row["moved_ns"] >= newest.get(row_id, row)["moved_ns"]:
            newest[row_id] = row
    saved = 0
    for row in newest.values():
        marks = ", ".join(f":{name}" for name in row)
        try:
            database.execute(f"INSERT INTO dictation ({', '.join(row)}) VALUES ({marks})", row)  # noqa: S608 - columns
        except sqlite3.IntegrityError:  # of another type than the column
            continue
        saved += 1
    return saved


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
