"""`scripts/bench [NAME…] [--rounds N] [--json FILE] [--readme]`: our figures in one run, as a table and JSON.

Exits with 1 when a bar is missed. `--readme` writes the table into README.md, the only way figures get there.
"""

import argparse
import importlib
import sys
from pathlib import Path

from bench._rows import Row, as_json, print_table

BENCHES = (
    "trigger",
    "capture",
    "daemon",
    "delivery",
    "doctor",
    "focus",
    "hotkeys",
    "speech",
    "keyup",
    "listening",
    "load",
    "microphone",
    "vocabulary",
    "files",
    "cloud",
)
ON_REQUEST = ("exactness", "faults", "soak", "orders", "service")  # too long for a run of all
# What a reader wants to compare. Not the word error rate: the recordings are clean, read and few.
IN_README = (
    "toak --start, spawn to exit p50",
    "toak --start / ",
    "Python rung, spawn",
    "control byte",
    "START → first sample in the spool",
    "START → first sample, p",
    "STOP → link gone",
    "key-up → text, 5 s to 10 min: p",
    "key-up → text, 5 s to 10 min, ",
    "key-up → text, utterances",
    "input-method, terminal",
    "input-method, firefox",
    "input-method, read-back",
    "paste, terminal",
    "paste, firefox",
    "virtual-keyboard, terminal",
    "wtype child, terminal",
    "xtest, terminal",
    "paste-x11, terminal",
    "paste-x11, read-back",
    "xdotool child, terminal",
    "process start →",
    "idle: ",
)
NOT_IN_README = "output alone"  # how the names of rows end that are a part of others
README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN, END = "<!-- bench -->", "<!-- /bench -->"


def markdown(rows: list[Row]) -> str:
    """Return the rows as a table for people who read, not run."""
    lines = ["| measured by `scripts/bench` | value | bar |", "|---|---|---|"]
    for row in (row for row in rows if row.name.startswith(IN_README) and not row.name.endswith(NOT_IN_README)):
        bar = "" if row.bar is None else f"≤ {row.bar:g} {row.unit}".rstrip()
        missed = "" if row.ok else " **(missed)**"
        value = f"{row.value:,.0f}" if row.value >= 100 else f"{row.value:.3g}"
        lines.append(f"| {row.name} | {value} {row.unit}{missed} | {bar} |")
    return "\n".join(lines)


def main() -> int:
    """Run the named benches, or all."""
    parser = argparse.ArgumentParser(prog="scripts/bench")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of: " + ", ".join((*BENCHES, *ON_REQUEST)))
    parser.add_argument("--rounds", type=int, help="rounds per figure; default: each bench's own")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument("--readme", action="store_true", help="write the table into README.md")
    options = parser.parse_args()
    if unknown := set(options.names) - {*BENCHES, *ON_REQUEST}:
        parser.error(f"no bench {', '.join(sorted(unknown))}")
    rows: list[Row] = []
    for name in options.names or BENCHES:
        measure = importlib.import_module(f"bench.{name}").measure
        found = measure(options.rounds) if options.rounds else measure()
        print(f"\n{name}")
        print_table(found)
        rows += found
    print("\n" + as_json(rows))
    if options.json:
        options.json.write_text(as_json(rows) + "\n", encoding="utf-8")
    if options.readme:
        before, rest = README.read_text().split(BEGIN)
        README.write_text(before + BEGIN + "\n" + markdown(rows) + "\n" + END + rest.split(END)[1])
    return 0 if all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
