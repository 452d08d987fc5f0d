"""Whether 1,000 random texts arrive exactly, in each application by each output that has to be exact there."""

import sys
from collections.abc import Iterator
from pathlib import Path

from bench._rows import Row, print_table

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from support.exactness import Report, check, running, warm_up
from support.pairs import APPLICATIONS, DESKTOPS, OUTPUTS, confirms, fitting, opened
from support.texts import texts

TEXTS = 1000
MOST_UNCONFIRMED_PERCENT = 1
SHOWN_FAULTS = 3
PATIENCE_S = 60  # toolkits take ten seconds for 5,000 keys


def measure(rounds: int = TEXTS) -> list[Row]:
    """Return the rows; `rounds` is the number of texts for each application and output. Takes a quarter of an hour."""
    rows: list[Row] = []
    for kind, applications in APPLICATIONS.items():
        for application in applications:
            for output_class, kinds in OUTPUTS[kind].items():
                with DESKTOPS[kind]() as desktop, running(output_class(), desktop) as deliver:
                    sink = opened(desktop, application)
                    warm_up(deliver, sink)
                    sample = [fitting(output_class, application, text) for text in texts(rounds, kinds=kinds)]
                    report = check(deliver, sink, sample, patience_s=PATIENCE_S)
                    name = f"{output_class.name}, {application} on {kind}"
                    found = [*_rows(name, report, shows=confirms(output_class, application), alive=sink.alive)]
                    print_table(found)  # it takes a quarter of an hour: who waits sees how far it is
                    rows += found
    return rows


def _rows(name: str, report: Report, *, shows: bool, alive: bool) -> Iterator[Row]:
    faults = [f"{given!r} became {held!r}" for given, held in report.wrong] + report.overstated
    for fault in faults[:SHOWN_FAULTS]:
        print(f"{name}: {fault[:300]}", file=sys.stderr)
    yield Row(f"{name}: texts not exact", len(report.wrong), "", 0, f"of {report.texts}")
    yield Row(f"{name}: ledger overstated", len(report.overstated), "", 0)
    yield Row(f"{name}: applications lost", 0 if alive else 1, "", 0)
    if shows:
        # How soon is for `scripts/bench delivery`: here a text follows at once, and a paste waits for the one before.
        missing = 100 * (1 - report.confirmed / max(1, report.texts))
        note = f"{report.confirmed} confirmed, {report.in_time} within 50 ms"
        yield Row(f"{name}: not confirmed", missing, "%", MOST_UNCONFIRMED_PERCENT, note)
