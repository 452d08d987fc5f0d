"""Searching: whatever a user typed becomes a condition that is never syntax."""

import sqlite3
from typing import Any, Final

from v2m.domain.dictation import HistoryEntry
from v2m.infrastructure.history._rows import select, to_text
from v2m.infrastructure.history._rules import search_words

# The index marks what is deleted and drops it when its parts are merged, which this does at once.
FORGET_DELETED_WORDS: Final = "INSERT INTO dictation_words (dictation_words) VALUES ('optimize')"

_BY_WORDS = "SELECT rowid FROM dictation_words WHERE dictation_words MATCH :words"
_BY_TEXT = r"(raw LIKE :literal ESCAPE '\' OR text LIKE :literal ESCAPE '\')"


def find_rows(
    database: sqlite3.Connection, *, limit: int, grep: str, before: int | None, with_text: bool
) -> list[HistoryEntry]:
    """Return the rows that LIST_HISTORY asks for, newest first. Raises sqlite3.DatabaseError."""
    wanted = ["id < :before"] * (before is not None) + ["text <> ''"] * with_text
    values: dict[str, Any] = {"limit": limit, "before": before}
    if grep.strip():
        condition, found = _condition(database, grep)
        wanted.append(condition)
        values |= found
    return select(database, f"{' AND '.join(wanted) or '1'} ORDER BY id DESC LIMIT :limit", values)


def _condition(database: sqlite3.Connection, grep: str) -> tuple[str, dict[str, str]]:
    """Return a condition on `dictation` and its values.

    Rows whose words begin with the words of `grep`; when it has none, or no row has them, rows that
    hold it literally (part of a word, punctuation, a script without spaces).
    """
    grep = to_text(grep).replace("\0", " ").strip()
    values = {"words": _phrases(grep), "literal": f"%{_escaped(grep)}%"}
    if values["words"] and database.execute(f"{_BY_WORDS} LIMIT 1", values).fetchone():
        return f"id IN ({_BY_WORDS})", values
    return _BY_TEXT, values


def _phrases(grep: str) -> str:
    """Return each word as an FTS5 string, in which nothing is syntax; `*` lets its end go on."""
    return " ".join('"' + word.replace('"', '""') + '"*' for word in search_words(grep))


def _escaped(grep: str) -> str:
    return grep.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
