"""Opens the database file: private, migrated after a copy, refused when it is damaged or of a later version."""

import contextlib
import os
import sqlite3
import struct
from pathlib import Path
from typing import Final

from v2m.domain.errors import HistoryError
from v2m.infrastructure.history._journal import PAGE_BYTES, ends_early, is_damaged

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
_INDEX: Final = ("fts5", "dictation_words")  # what SQLite names when the index of words is broken
_START_OF_2020_S: Final = 1_577_836_800
_JOURNAL_IDS: Final = 1000  # rows that a journal can hold: SQLite takes it over after as many pages
_MOST_VERSIONS: Final = 1000  # a higher number is no version but a broken byte
BACKUP: Final = ".before-"  # then the version that it has

# The beginning of a database file: https://www.sqlite.org/fileformat2.html, section 1.3
_FIRST: Final = struct.Struct(">16sHBBBBBB20xI8xI")
_MAGIC: Final = b"SQLite format 3\0"
_FRACTIONS: Final = (0, 64, 32, 32)  # reserved bytes, payload fractions
_SCHEMA_FORMATS: Final = range(5)
_ENCODINGS: Final = (0, 1)  # not chosen yet, UTF-8


class NewerSchemaError(HistoryError):
    """A later v2m wrote the file; it is left as it is."""


def damage(what: str) -> sqlite3.DatabaseError:
    """Return the error SQLite itself would raise for a broken file."""
    error = sqlite3.DatabaseError(what)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def is_damage(error: Exception) -> bool:
    """Tell whether the file itself is broken; SQLite may quote bytes of it that are no UTF-8."""
    if isinstance(error, UnicodeDecodeError):
        return True
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    of_index = any(word in str(error) for word in _INDEX) or str(error) == "constraint failed"  # ours are named
    return code in _DAMAGE or (of_index and code in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT))


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
        _check_bytes(os.read(fd, _FIRST.size), path.with_name(f"{path.name}-wal"))
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


def _check_bytes(header: bytes, journal: Path) -> None:
    """Refuse what SQLite would take for another format, or for a journal that ends early. Raises as `damage`."""
    logged = journal.read_bytes() if journal.exists() else b""
    if is_damaged(logged):
        raise damage("the journal is broken")
    if not header:
        if logged:  # SQLite would delete it
            raise damage("only the journal is left")
        return
    if len(header) < _FIRST.size:
        raise damage("it ends in its header")
    magic, size, *modes, schema_format, encoding = _FIRST.unpack(header)
    sane = magic == _MAGIC and size == PAGE_BYTES and tuple(modes[2:]) == _FRACTIONS and {*modes[:2]} <= {1, 2}
    if not sane or schema_format not in _SCHEMA_FORMATS or encoding not in _ENCODINGS:
        raise damage("its header is broken")


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    version = int(database.execute("PRAGMA user_version").fetchone()[0])
    if len(MIGRATIONS) < version < _MOST_VERSIONS:
        raise NewerSchemaError(
            f"{path} was written by a newer v2m (schema {version}, this one knows {len(MIGRATIONS)}).",
            hint="Install the newer v2m again, or begin a new history as v2m doctor says.",
        )
    if version not in range(len(MIGRATIONS) + 1) or _tables(database) != _tables_of(version):
        raise damage("its tables are not those of its version")
    verdict = database.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if verdict != "ok":
        raise damage(str(verdict))
    if 0 < version < len(MIGRATIONS):
        _back_up(database, path, version)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute("PRAGMA secure_delete = ON")  # zeros in place of what is deleted
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        database.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;")


def _tables(database: sqlite3.Connection) -> set[tuple[str, str]]:
    return set(database.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL"))


def _tables_of(version: int) -> set[tuple[str, str]]:
    """Return what a database of ours has at a version."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        for script in MIGRATIONS[:version]:
            database.executescript(script)
        return _tables(database)


def _back_up(database: sqlite3.Connection, path: Path, version: int) -> None:
    """Keep the file as it is before it is changed, 0600, and only the newest such copy. Raises OSError."""
    target = path.with_name(f"{path.name}{BACKUP}{version}")
    making = path.with_name(f"{path.name}.copying")
    making.unlink(missing_ok=True)
    os.close(os.open(making, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with contextlib.closing(sqlite3.connect(making)) as copy:
        database.backup(copy)
    fd = os.open(making, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    making.rename(target)
    for older in path.parent.glob(f"{path.name}{BACKUP}*"):
        if older != target:
            older.unlink()


def highest_id(database: sqlite3.Connection) -> int:
    """Return the highest id that was ever given, also when its row has been deleted."""
    found = database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'dictation'").fetchone()
    return int(found[0]) if found else 0


def ids_perhaps_lost(path: Path) -> int:
    """Return how many ids may have been given that the file does not know: its journal ends within a step."""
    try:
        size = path.with_name(f"{path.name}-wal").stat().st_size
    except OSError:
        return 0
    return _JOURNAL_IDS if ends_early(size) else 0


def id_floor(now_ns: int) -> int:
    """Return an id above any that was given, for when no file can tell: the minutes since 2020."""
    return max(0, (now_ns // 1_000_000_000 - _START_OF_2020_S) // 60)
