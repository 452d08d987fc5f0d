"""Percentiles, tables and plots of `v2m bench`, as text for a terminal."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 48  # of a plot, in characters: with a name and three figures it fits into 80 to 100 columns
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of one measure, in its unit."""

    count: int
    p50: float
    p95: float
    p99: float


def percentiles(values: Sequence[float]) -> Percentiles:
    """Return the nearest-rank percentiles of at least one value."""
    ordered = sorted(values)

    def rank(share: float) -> float:
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]

    return Percentiles(len(ordered), rank(0.5), rank(0.95), rank(0.99))


def plot(figures: Mapping[str, Percentiles], unit: str = "ms") -> str:
    """Return one line per measure: its percentiles, and bars to the median (full), to p95 (░) and p99 (·)."""
    if not figures:
        return ""
    longest = max(one.p99 for one in figures.values()) or 1.0
    name_width = max(map(len, figures))
    head = f"{'':{name_width}}  {'n':>5} {'p50':>8} {'p95':>8} {'p99':>8} {unit}"
    lines = [
        f"{name:{name_width}}  {one.count:5} {one.p50:8.1f} {one.p95:8.1f} {one.p99:8.1f}    {_bar(one, longest)}"
        for name, one in figures.items()
    ]
    return "\n".join([head, *lines])


def _bar(one: Percentiles, longest: float) -> str:
    eighths = round(one.p50 / longest * WIDTH * 8)
    full = "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")
    upto95, upto99 = (round(value / longest * WIDTH) for value in (one.p95, one.p99))
    return full.ljust(upto95, "░").ljust(upto99, "·")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return columns of equal width, the first one left-aligned."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return "\n".join(
        "  ".join(f"{cell:{'<' if column == 0 else '>'}{widths[column]}}" for column, cell in enumerate(row)).rstrip()
        for row in (head, *rows)
    )
