"""Between `HistoryEntry` and a row of the table `dictation`."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any, Final

from v2m.domain.delivery import Attempt, Certainty
from v2m.domain.dictation import HistoryEntry, Phase, Sent
from v2m.infrastructure.history._schema import damage

_NAMES: Final = (
    *("id", "started_ns", "phase", "duration_s", "raw", "text", "method", "certainty", "characters", "target"),
    *("engine", "language", "spool", "error", "reason", "stages", "attempts", "sent"),
)
_SELECT: Final = f"SELECT {', '.join(_NAMES)} FROM dictation WHERE "  # noqa: S608 - names of columns
_ADDED: Final = {"attempts": "[]", "sent": "[]"}  # what a row from before has in columns that came later


def select(database: sqlite3.Connection, which: str, values: Mapping[str, Any]) -> list[HistoryEntry]:
    """Return the entries for which `which` holds: SQL of this package; what a user gave stands in `values`.

    Raises:
        sqlite3.DatabaseError: also for a row that cannot be one of ours (`is_damage`).
    """
    rows = database.execute(_SELECT + which, values).fetchall()
    try:
        return [_to_entry(row) for row in rows]
    except ValueError as error:
        raise damage("a row holds what was never written") from error


def is_row(columns: Mapping[str, Any]) -> bool:
    """Tell whether these columns, perhaps of an older schema, are a row that can be read again."""
    row = {**_ADDED, **columns}
    try:
        _to_entry(tuple(row[name] for name in _NAMES))
    except (ValueError, TypeError, KeyError):
        return False
    return row["id"] > 0 and all(isinstance(row[name], int) for name in ("started_ns", "moved_ns"))


def to_columns(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return field values as SQLite stores them."""
    return {name: _to_column(value) for name, value in fields.items()}


def entry_columns(entry: HistoryEntry) -> dict[str, Any]:
    """Return the whole entry as columns."""
    fields = asdict(entry)
    return to_columns({"id": fields.pop("dictation"), **fields})


def to_text(text: str) -> str:
    """Return text that UTF-8 can hold: a lone surrogate becomes a question mark."""
    return text.encode("utf-8", "replace").decode()


def _to_column(value: Any) -> Any:  # noqa: ANN401 - any field of a row
    if isinstance(value, str):
        return to_text(value)
    if isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, tuple):
        return json.dumps(
            [asdict(part) if is_dataclass(part) and not isinstance(part, type) else part for part in value]
        )
    return value


def _to_attempts(stored: str) -> tuple[Attempt, ...]:
    """Return the attempts of a row. Raises ValueError for what was never written."""
    try:
        parts = [Attempt(**{**part, "certainty": Certainty(part["certainty"])}) for part in json.loads(stored)]
    except (TypeError, KeyError) as error:
        raise ValueError("no attempts") from error
    return tuple(parts)


def _to_sent(stored: str) -> tuple[Sent, ...]:
    """Return what left the machine. Raises ValueError for what was never written."""
    try:
        return tuple(Sent(**part) for part in json.loads(stored))
    except TypeError as error:
        raise ValueError("nothing that was sent") from error


def _to_entry(row: tuple[Any, ...]) -> HistoryEntry:
    dictation, started_ns, phase, *plain = row
    duration_s, raw, text, method, certainty, *rest, stages, attempts, sent = plain
    characters, target, engine, language, spool, error, reason = rest
    return HistoryEntry(
        dictation=dictation,
        started_ns=started_ns,
        phase=Phase(phase),
        duration_s=duration_s,
        raw=raw,
        text=text,
        method=method,
        certainty=Certainty(certainty) if certainty else None,
        characters=characters,
        target=target,
        attempts=_to_attempts(attempts),
        engine=engine,
        language=language,
        spool=spool,
        error=error,
        reason=reason,
        stages=json.loads(stages),
        sent=_to_sent(sent),
    )
