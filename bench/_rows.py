"""What every benchmark yields: a row with an optional bar, a table for people, JSON for machines."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One figure; `bar` is the most it may be, None where it only informs."""

    name: str
    value: float
    unit: str
    bar: float | None = None
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether the value is within its bar."""
        return self.bar is None or self.value <= self.bar


def print_table(rows: Sequence[Row]) -> None:
    """Print the rows to standard output, one line each."""
    width = max((len(row.name) for row in rows), default=0)
    for row in rows:
        bar = "" if row.bar is None else f"<= {row.bar:g}"
        verdict = "" if row.bar is None else ("ok" if row.ok else "TOO MUCH")
        line = f"{row.name:<{width}}  {row.value:>10.5g} {row.unit:<6} {bar:<9} {verdict:<8} {row.note}"
        print(line.rstrip())


def as_json(rows: Sequence[Row]) -> str:
    """Return the rows as a JSON list of objects `name value unit bar ok note`."""
    return json.dumps([{**asdict(row), "ok": row.ok} for row in rows], ensure_ascii=False, indent=1)
