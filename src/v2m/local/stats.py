"""`v2m stats`: how much was dictated, how fast, and how it arrived."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final

import click

from v2m.local._entries import entries
from v2m.local._group import Show, guarded

HELP: Final = "Count dictations, minutes and words: in all, per day, per engine, and by how surely they arrived."
_DAYS: Final = 7  # shown to people; --json has all


def build_command(show: Show) -> click.Command:
    """Return `stats`."""
    as_json = click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON object")
    return click.Command("stats", params=[as_json], callback=partial(partial, guarded, _act, show), help=HELP)


def _act(show: Show, *, as_json: bool) -> int:
    found = count(entries())
    return show(found, _said(found), as_json=as_json)


def count(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the figures of rows as LIST_HISTORY has them; what was thrown away is counted as such only."""
    phases, engines, certainties = Counter[str](), Counter[str](), Counter[str]()
    days: dict[str, dict[str, float]] = {}
    words, seconds, spoken_s, dictations = 0, 0.0, 0.0, 0
    for row in rows:
        phases[row["phase"]] += 1
        if row["phase"] in ("aborted", "discarded"):
            continue
        said = len(row["text"].split())
        dictations, words, seconds = dictations + 1, words + said, seconds + row["duration_s"]
        spoken_s += row["duration_s"] if said else 0.0
        engines[row.get("engine") or "none"] += 1
        certainties[row["certainty"] or "none"] += 1
        day = datetime.fromisoformat(row["started"]).astimezone().date().isoformat()
        of_day = days.setdefault(day, {"dictations": 0, "words": 0, "minutes": 0.0})
        of_day["dictations"] += 1
        of_day["words"] += said
        of_day["minutes"] += row["duration_s"] / 60
    return {
        "dictations": dictations,
        "minutes": round(seconds / 60, 2),
        "words": words,
        "words_per_minute": round(words / spoken_s * 60, 1) if spoken_s else None,
        "phases": dict(phases.most_common()),
        "engines": dict(engines.most_common()),
        "certainties": dict(certainties.most_common()),
        "days": {day: {**figures, "minutes": round(figures["minutes"], 2)} for day, figures in sorted(days.items())},
    }


def _said(found: Mapping[str, Any]) -> str:
    speed = found["words_per_minute"]
    lines = [
        ("dictations", str(found["dictations"])),
        ("minutes", f"{found['minutes']:.1f}"),
        ("words", f"{found['words']}" + (f", {speed:.0f} per minute" if speed else "")),
        *((name, ", ".join(f"{key} {number}" for key, number in found[name].items())) for name in _TABLES),
    ]
    for day, figures in list(found["days"].items())[-_DAYS:]:
        lines.append((day, f"{figures['dictations']} dictations, {figures['words']} words"))
    return "\n".join(f"{name:12} {text}".rstrip() for name, text in lines)


_TABLES: Final = ("phases", "engines", "certainties")
