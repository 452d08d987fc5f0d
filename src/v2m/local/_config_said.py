"""What `v2m config` prints for people."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

EMPTY_FILE: Final = """\
# Your settings; v2m config list shows all of them. For instance:
# [notifications]
# sounds = true
"""
_AT: Final = re.compile(r"^(?:(?P<file>/.+?), )?line (?P<line>\d+)(?:, column (?P<column>\d+))?: ")
_WIDTH: Final = 60  # of a value in a table
_SHOWN: Final = 200  # characters of a faulty line


class Place(NamedTuple):
    """Where something is wrong; unknown: empty or None."""

    file: str
    line: int | None
    column: int | None
    text: str  # of the line


def value(what: object) -> str:
    """Return a value as it is written in the settings file; a text without quotes."""
    return what if isinstance(what, str) else _toml(what)


def source(entry: Mapping[str, Any]) -> str:
    """Say where a value comes from."""
    origin = f"from {entry['place']}" if entry["place"] else "the default"
    return f"{origin}{'; holds after v2m daemon restart' if entry.get('pending') else ''}"


def table(entries: Sequence[Mapping[str, Any]]) -> str:
    """Return one line per setting: key, value, source."""
    rows = [(entry["key"], _short(entry["value"]), entry["place"] or entry["source"]) for entry in entries]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    return "\n".join(f"{key:{widths[0]}}  {shown:{widths[1]}}  {place}".rstrip() for key, shown, place in rows)


def remarks(found: Mapping[str, Any]) -> str:
    """Say what of the file does not hold, and why."""
    lines = [f"The file's settings do not hold: {found['problem']}"] if found.get("problem") else []
    if found.get("restart"):
        lines.append(f"Hold after v2m daemon restart: {', '.join(found['restart'])}.")
    return "\n".join(lines)


def done(what: str, answer: Mapping[str, Any]) -> str:
    """Say what became of a change."""
    lines = [f"{each['key']} has no effect: {each['place']} has its way." for each in answer.get("no_effect", ())]
    if applied := answer.get("applied"):
        lines.append(f"Holds now: {', '.join(applied)}.")
    if later := answer.get("later"):
        lines.append(f"Holds after the dictation under way: {', '.join(later)}.")
    if restart := answer.get("restart"):
        lines.append(f"Hold after v2m daemon restart: {', '.join(restart)}.")
    return "\n".join(lines) or f"{what}: nothing else holds now than before."


def place(sentence: str, text: str | None = None) -> Place:
    """Return the place that a refusal names; `text` is what the file would hold, else it is read."""
    found = _AT.match(sentence)
    if found is None:
        return Place("", None, None, "")
    file, line = found["file"] or "", int(found["line"])
    if text is None:
        try:
            text = Path(file).read_text(encoding="utf-8")
        except (OSError, ValueError):
            text = ""
    rows = text.removeprefix("\ufeff").splitlines()
    row = rows[line - 1] if line <= len(rows) else ""
    column = int(found["column"]) if found["column"] else _column(row)
    return Place(file, line, column, row)


def excerpt(at: Place) -> str:
    """Return the line with a sign below the column, empty where it is not known."""
    if at.line is None or at.column is None or at.column > _SHOWN:
        return ""
    row = "".join(character if character.isprintable() else " " for character in at.text[:_SHOWN])
    margin = " " * len(str(at.line))
    return f"{at.line} | {row}\n{margin} | {' ' * (at.column - 1)}^ line {at.line}, column {at.column}"


def _column(row: str) -> int:
    """Return where the value of a line begins, else its first character."""
    found = re.match(r"\s*[^#=]+=\s*", row)
    return (found.end() if found else len(row) - len(row.lstrip())) + 1


def _toml(what: object) -> str:
    match what:
        case None:
            return "(not set)"
        case Mapping():
            return "{ " + ", ".join(f"{name} = {_toml(each)}" for name, each in what.items()) + " }"
        case list():
            return "[" + ", ".join(_toml(each) for each in what) + "]"
        case _:
            return json.dumps(what, ensure_ascii=False)


def _short(what: object) -> str:
    text = _toml(what)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"
