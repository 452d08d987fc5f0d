"""Between `HistoryEntry` and a row of the table `dictation`."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from v2m.domain.dictation import Certainty, HistoryEntry, Phase

COLUMNS: Final = (
    "id, started_ns, phase, duration_s, raw, text, method, certainty, characters, target, engine, language,"
    " spool, error, reason, stages"
)


def to_columns(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return field values as SQLite stores them."""
    return {name: _to_column(value) for name, value in fields.items()}


def entry_columns(entry: HistoryEntry) -> dict[str, Any]:
    """Return the whole entry as columns."""
    fields = asdict(entry)
    return to_columns({"id": fields.pop("dictation"), **fields})


def to_entry(row: tuple[Any, ...]) -> HistoryEntry:
    """Return the entry of a row selected as `COLUMNS`."""
    dictation, started_ns, phase, *plain = row
    duration_s, raw, text, method, certainty, *rest, stages = plain
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
        engine=engine,
        language=language,
        spool=spool,
        error=error,
        reason=reason,
        stages=json.loads(stages),
    )


def to_text(text: str) -> str:
    """Return text that UTF-8 can hold: a lone surrogate becomes a question mark."""
    return text.encode("utf-8", "replace").decode()


def _to_column(value: Any) -> Any:  # noqa: ANN401 - any field of a row
    if isinstance(value, str):
        return to_text(value)
    if isinstance(value, dict):
        return json.dumps(value)
    return value
