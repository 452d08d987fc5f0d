"""Opens the database file: private, migrated, or moved aside when it is damaged."""

import contextlib
import os
import sqlite3
import time
from pathlib import Path
from typing import Final

from v2m.domain.errors import HistoryError

# One entry per version; `PRAGMA user_version` counts how many have run. Entries are never edited, only added.
MIGRATIONS: Final = (
    """
    CREATE TABLE dictation (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      started_ns INTEGER NOT NULL,
      moved_ns INTEGER NOT NULL,
      phase TEXT NOT NULL,
      duration_s REAL NOT NULL,
      raw TEXT NOT NULL,
      text TEXT NOT NULL,
      method TEXT NOT NULL,
      certainty TEXT,
      characters INTEGER NOT NULL,
      target TEXT NOT NULL,
      engine TEXT NOT NULL,
      language TEXT NOT NULL,
      spool TEXT,
      error TEXT NOT NULL,
      reason TEXT NOT NULL,
      stages TEXT NOT NULL
    ) STRICT;
    CREATE INDEX dictation_phase ON dictation (phase);
    CREATE INDEX dictation_spool ON dictation (spool) WHERE spool IS NOT NULL;
    CREATE VIRTUAL TABLE dictation_words USING fts5 (
      raw, text, content='dictation', content_rowid='id', tokenize='unicode61 remove_diacritics 2'
    );
    CREATE TRIGGER dictation_added AFTER INSERT ON dictation BEGIN
      INSERT INTO dictation_words (rowid, raw, text) VALUES (new.id, new.raw, new.text);
    END;
    CREATE TRIGGER dictation_gone AFTER DELETE ON dictation BEGIN
      INSERT INTO dictation_words (dictation_words, rowid, raw, text)
      VALUES ('delete', old.id, old.raw, old.text);
    END;
    CREATE TRIGGER dictation_changed AFTER UPDATE OF raw, text ON dictation BEGIN
      INSERT INTO dictation_words (dictation_words, rowid, raw, text)
      VALUES ('delete', old.id, old.raw, old.text);
      INSERT INTO dictation_words (rowid, raw, text) VALUES (new.id, new.raw, new.text);
    END;
    """,
    "ALTER TABLE dictation ADD COLUMN attempts TEXT NOT NULL DEFAULT '[]';",
    "ALTER TABLE dictation ADD COLUMN sent TEXT NOT NULL DEFAULT '[]';",
)

_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_START_OF_2020_S: Final = 1_577_836_800


class NewerSchemaError(HistoryError):
    """A later v2m wrote the file; it is left as it is."""


def damage(what: str) -> sqlite3.DatabaseError:
    """Return the error SQLite itself would raise for a broken file."""
    error = sqlite3.DatabaseError(what)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def is_damage(error: Exception) -> bool:
    """Tell whether the file itself is broken; SQLite may quote bytes of it that are no UTF-8."""
    return isinstance(error, UnicodeDecodeError) or (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _DAMAGE


def open_database(path: Path) -> sqlite3.Connection:
    """Open or make the file with mode 0600 (a folder that is made gets 0700) and bring it to our schema.

    Raises:
        NewerSchemaError: nothing was changed.
        sqlite3.Error, OSError: it cannot be opened, or is damaged (`is_damage`).
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(fd, 0o600)
    finally:
        os.close(fd)
    database = sqlite3.connect(path, isolation_level=None, timeout=1.0)
    database.text_factory = lambda raw: raw.decode("utf-8", "replace")
    try:
        _prepare(database, path)
    except BaseException:
        database.close()
        raise
    return database


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    version = int(database.execute("PRAGMA user_version").fetchone()[0])
    if version > len(MIGRATIONS):
        raise NewerSchemaError(
            f"{path} was written by a newer v2m (schema {version}, this one knows {len(MIGRATIONS)}).",
            hint="Install the newer v2m again, or move the file away to begin a new history.",
        )
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute("PRAGMA secure_delete = ON")  # zeros in place of what is deleted
    verdict = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise damage(str(verdict))
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        database.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;")


def move_aside(path: Path) -> Path:
    """Rename a damaged database with its journal, so that nothing of it is lost; return the new name."""
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    target = path.with_name(f"{path.name}.corrupt-{stamp}")
    for attempt in range(1, 100):
        if not target.exists():
            break
        target = path.with_name(f"{path.name}.corrupt-{stamp}-{attempt}")
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(target.with_name(target.name + suffix))
    path.rename(target)
    return target


def highest_id(database: sqlite3.Connection) -> int:
    """Return the highest id that was ever given, also when its row has been deleted."""
    found = database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'dictation'").fetchone()
    return int(found[0]) if found else 0


def id_floor(now_ns: int) -> int:
    """Return an id above any that was given, for when no file can tell: the minutes since 2020."""
    return max(0, (now_ns // 1_000_000_000 - _START_OF_2020_S) // 60)
