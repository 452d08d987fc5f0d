"""`v2m privacy`: what left this machine, for each dictation; asked of the daemon, or read while none runs."""

import re
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import click

from v2m.client import Client, DaemonNotRunningError
from v2m.local._figures import table
from v2m.local._group import Show, guarded

HELP: Final = "Show what left this machine: for each dictation the bytes, the requests and the host."
PAGE: Final = 200  # rows asked for at once
SHOWN: Final = 20
LOCAL: Final = "nothing left this machine"
_SPANS: Final = {"h": "hours", "d": "days", "w": "weeks"}

Row = dict[str, Any]


def build_command(show: Show) -> click.Command:
    """Return `privacy`."""
    since = click.Option(["--since"], metavar="WHEN", callback=_moment, help="From then on: 24h, 7d, 4w or 2026-11-30")
    lines = click.Option(["-n", "--lines"], type=click.IntRange(0), default=SHOWN, show_default=True, help="So many")
    as_json = click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON object with all of them")
    callback = partial(partial, guarded, _act, show)
    return click.Command("privacy", params=[since, lines, as_json], callback=callback, help=HELP)


def _moment(_context: click.Context, _option: click.Parameter, word: str | None) -> datetime | None:
    """Return a moment in UTC."""
    if word is None:
        return None
    if span := re.fullmatch(r"(\d{1,5})([hdw])", word):
        return datetime.now(UTC) - timedelta(**{_SPANS[span[2]]: int(span[1])})
    try:
        return datetime.fromisoformat(word).astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{word!r} is neither 24h, 7d, 4w nor a date such as 2026-11-30.") from None


def _act(show: Show, *, since: datetime | None, lines: int, as_json: bool) -> int:
    rows = []
    for row in _rows():  # newest first
        if since is not None and datetime.fromisoformat(row["started"]) < since:
            break
        rows.append(row)
    totals = _totals(rows)
    return show({"dictations": rows, "totals": totals}, _said(rows[:lines]), _summary(totals), as_json=as_json)


def _rows() -> Iterator[Row]:
    try:
        yield from _asked()
    except DaemonNotRunningError:
        yield from _read()


def _asked() -> Iterator[Row]:
    """Ask the daemon, page by page. Raises ClientError."""
    before: dict[str, int] = {}
    with Client() as client:
        while True:
            page = client.call("LIST_HISTORY", limit=PAGE, **before)
            for entry in page["entries"]:
                yield _row(entry["dictation"], entry["started"], entry["phase"], entry["engine"], entry["sent"])
            if not page["more"] or not page["entries"]:
                return
            before = {"before": page["entries"][-1]["dictation"]}


def _read() -> Iterator[Row]:
    """Read the file, which nobody writes now. Raises HistoryError, ConfigError."""
    from v2m.config import load_settings
    from v2m.infrastructure.history.reader import read_entries

    for entry in read_entries(load_settings().paths.state() / "history.db"):
        started = datetime.fromtimestamp(entry.started_ns / 1e9, UTC).isoformat(timespec="milliseconds")
        yield _row(entry.dictation, started, entry.phase, entry.engine, [asdict(sent) for sent in entry.sent])


def _row(dictation: int, started: str, phase: str, engine: str, sent: list[Row]) -> Row:
    about = {"dictation": dictation, "started": started, "phase": phase, "engine": engine, "sent": sent}
    return {**about, "size_bytes": _sum(sent, "size_bytes"), "requests": _sum(sent, "requests")}


def _sum(rows: list[Row], name: str) -> int:
    return sum(int(row[name]) for row in rows)


def _totals(rows: list[Row]) -> Row:
    """Return sums over the dictations, and over each host."""
    hosts: dict[str, Row] = {}
    for sent in (sent for row in rows for sent in row["sent"]):
        host = hosts.setdefault(sent["host"], {"provider": sent["provider"], "size_bytes": 0, "requests": 0})
        host["size_bytes"] += sent["size_bytes"]
        host["requests"] += sent["requests"]
    return {
        "dictations": len(rows),
        "stayed": sum(not row["requests"] for row in rows),
        "size_bytes": _sum(rows, "size_bytes"),
        "requests": _sum(rows, "requests"),
        "hosts": hosts,
    }


def _said(rows: list[Row]) -> str | None:
    cells = []
    for row in rows:
        begun = datetime.fromisoformat(row["started"]).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        places = [f"{_printable(sent['host'])} ({sent['provider']}, {sent['what']})" for sent in row["sent"]]
        where = ", ".join(places) or LOCAL
        cells.append((f"{row['dictation']:>6}  {begun}", f"{row['size_bytes']:,}", str(row["requests"]), f"  {where}"))
    if not cells:
        return None
    width = max(len(cell[3]) for cell in cells)
    aligned = [(*cell[:3], cell[3].ljust(width)) for cell in cells]
    return table(("dictation", "bytes", "requests", "  to".ljust(width)), aligned)


def _summary(totals: Row) -> str:
    number = totals["dictations"]
    if not number:
        return "There is no dictation to tell of."
    if not totals["requests"]:
        return f"Of {number} dictations {LOCAL}."
    lines = [f"{totals['stayed']} of {number} dictations: {LOCAL}."]
    lines += [
        f"{host['size_bytes']:,} bytes in {host['requests']} requests went to {_printable(name)} ({host['provider']})."
        for name, host in sorted(totals["hosts"].items())
    ]
    return "\n".join(lines)


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "·" for character in text)
