"""A row of the history as clients and exports see it, and back."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from v2m.domain.delivery import Attempt, Certainty
from v2m.domain.dictation import FINAL, HistoryEntry, Phase, Sent
from v2m.domain.errors import ProtocolError

_TEXTS: Final = ("raw", "text", "method", "target", "engine", "language", "error", "reason")
_Part = TypeVar("_Part", Attempt, Sent)
_MOST_NS: Final = 1 << 63  # a moment is a 64-bit number: 2262-04-11
MAX_TEXT: Final = 1 << 20  # characters; a dictation of the longest recording has a tenth


def entry_data(entry: HistoryEntry) -> dict[str, Any]:
    """Return a history row as clients see it; `started` is ISO 8601 in UTC."""
    return {
        "dictation": entry.dictation,
        "started": datetime.fromtimestamp(entry.started_ns / 1e9, UTC).isoformat(timespec="milliseconds"),
        "duration_s": entry.duration_s,
        "phase": entry.phase.value,
        "raw": entry.raw,
        "text": entry.text,
        "method": entry.method,
        "certainty": entry.certainty.value if entry.certainty else None,
        "confirmed": entry.certainty is Certainty.CONFIRMED,
        "characters": entry.characters,
        "target": entry.target,
        "attempts": [asdict(attempt) for attempt in entry.attempts],
        "engine": entry.engine,
        "language": entry.language,
        "audio": entry.spool is not None,
        "error": entry.error,
        "reason": entry.reason,
        "stages": entry.stages,
        "sent": [asdict(sent) for sent in entry.sent],
    }


def parse_entry(data: object, *, dictation: int) -> HistoryEntry:
    """Return the row that an export's line holds, under another id and without audio.

    Raises:
        ProtocolError: it is none; the message names the key.
    """
    if not isinstance(data, Mapping):
        raise ProtocolError("it is not an object")
    texts = {key: _text(data, key) for key in _TEXTS}
    try:
        attempts = tuple(
            _part(Attempt, {**part, "certainty": Certainty(part["certainty"])}) for part in data.get("attempts") or ()
        )
        sent = tuple(_part(Sent, part) for part in data.get("sent") or ())
        certainty = None if data.get("certainty") is None else Certainty(data["certainty"])
    except (TypeError, ValueError, KeyError) as error:
        raise ProtocolError("'attempts', 'sent' or 'certainty' is none of ours") from error
    return HistoryEntry(
        dictation,
        _started_ns(data.get("started")),
        _phase(data.get("phase")),
        duration_s=_number(data, "duration_s"),
        certainty=certainty,
        characters=int(_number(data, "characters")),
        attempts=attempts,
        stages=_stages(data.get("stages") or {}),
        sent=sent,
        **texts,
    )


def _part(kind: type[_Part], values: Mapping[str, Any]) -> _Part:
    """Raises TypeError: a value is of another type than its field."""
    part = kind(**values)
    types: dict[str, Any] = {field.name: field.type for field in fields(part)}
    if not all(isinstance(getattr(part, name), type_) for name, type_ in types.items()):
        raise TypeError(kind)
    return part


def _stages(values: object) -> dict[str, float]:
    if not isinstance(values, Mapping):
        raise ProtocolError("'stages' is no object")
    return {str(name): _number(values, name) for name in values}


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key, "")
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise ProtocolError(f"{key!r} is no text of at most {MAX_TEXT} characters")
    return value.encode("utf-8", "replace").decode()  # as the history keeps it, so that it is found there again


def _number(data: Mapping[str, Any], key: str) -> float:
    value = data.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise ProtocolError(f"{key!r} is no number that can be")
    return value


def _phase(value: object) -> Phase:
    phase = next((phase for phase in FINAL if phase == value), None)
    if phase is None:
        raise ProtocolError("'phase' is none in which a dictation can rest")
    return phase


def _started_ns(value: object) -> int:
    try:
        moment = datetime.fromisoformat(value if isinstance(value, str) else "")
        if moment.tzinfo is None or moment.year < 2000:
            raise ValueError(value)
        started_ns = round(moment.timestamp() * 1000) * 1_000_000
    except (ValueError, OverflowError) as error:
        raise ProtocolError("'started' is no moment with its time zone") from error
    if started_ns >= _MOST_NS:
        raise ProtocolError("'started' is later than the history can hold")
    return started_ns
