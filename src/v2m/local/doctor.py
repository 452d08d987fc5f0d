"""`v2m doctor`: what does not work and what mends it; with `--loop` by one dictation of a recorded voice."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from v2m.client import ClientError
from v2m.local._group import Show, guarded

if TYPE_CHECKING:
    from v2m.local._checks.finding import Result

HELP: Final = "Find out what does not work, and what mends it; with --loop by dictating a recording into a window."
LOOP: Final = "Speak a recording into a virtual microphone, dictate it into a window, and read it back"
FIX: Final = "Run what mends it, where that cannot do harm; asks before each command"
YES: Final = "With --fix: do not ask"
REPORT: Final = "Write a bundle for a bug report (.tar.gz or .zip): no text that was dictated, no keys"
ONLY: Final = "This check only; may be repeated"
JSON: Final = "Print one JSON object"
SIGNS: Final = {"ok": "✓", "warn": "!", "fail": "✗", "skip": "–"}


def build_command(show: Show) -> click.Command:
    """Return `doctor`."""
    options: list[click.Parameter] = [
        click.Option(["--loop"], is_flag=True, help=LOOP),
        click.Option(["--fix"], is_flag=True, help=FIX),
        click.Option(["--yes"], is_flag=True, help=YES),
        click.Option(["--report"], metavar="FILE", type=click.Path(path_type=Path), help=REPORT),
        click.Option(["--only"], metavar="ID", multiple=True, help=ONLY),
        click.Option(["--json", "as_json"], is_flag=True, help=JSON),
    ]
    return click.Command("doctor", params=options, callback=partial(partial, guarded, _act, show), help=HELP)


def _act(
    show: Show, *, loop: bool, fix: bool, yes: bool, report: Path | None, only: tuple[str, ...], as_json: bool
) -> int:
    if loop:
        from v2m.local._loop_said import run_and_say

        if fix or yes or report or only:
            raise ClientError("usage", "--loop goes alone.", "v2m doctor --loop")
        return run_and_say(show, as_json=as_json)
    if yes and not fix:
        raise ClientError("usage", "--yes belongs to --fix.", "v2m doctor --fix --yes")
    if fix and as_json and not yes:
        raise ClientError("usage", "With --json nobody can be asked.", "v2m doctor --fix --yes --json")
    results = _look(only)
    commands = _mend(results, ask=None if yes else _ask) if fix else []
    if commands:
        results = _look(only)
    talk = ""
    if report is not None:
        from v2m.local._checks.bundle import write_bundle

        write_bundle(report, results)
        talk = f"{report}: look into it before you send it."
    return _say(show, results, commands, talk, as_json=as_json)


def _look(only: Sequence[str]) -> "list[Result]":
    """Run all checks, or those that are named. Raises ClientError."""
    from v2m.local._checks.facts import gather
    from v2m.local._checks.running import run_checks
    from v2m.local._checks.table import CHECKS

    known = [check.id for check in CHECKS]
    if unknown := [name for name in only if name not in known]:
        raise ClientError("usage", f"There is no check {unknown[0]!r}.", f"One of {', '.join(known)}")

    async def look() -> "list[Result]":
        return await run_checks([check for check in CHECKS if not only or check.id in only], await gather())

    return asyncio.run(look())


def _mend(results: "Sequence[Result]", ask: Callable[[str], bool] | None) -> list[dict[str, Any]]:
    """Run the commands that may be run, each once; return them with their exit status."""
    from v2m.local._checks.finding import Verdict
    from v2m.local._checks.mending import run_command

    wanted = [one.finding for one in results if one.finding.verdict in (Verdict.FAIL, Verdict.WARN)]
    commands = dict.fromkeys(finding.fix for finding in wanted if finding.fix and finding.safe)
    return [
        {"command": command, "status": asyncio.run(run_command(command))}
        for command in commands
        if ask is None or ask(command)
    ]


def _ask(command: str) -> bool:
    return click.confirm(f"Run {command}", default=False, err=True)


def _say(show: Show, results: "Sequence[Result]", commands: list[dict[str, Any]], talk: str, *, as_json: bool) -> int:
    failed = [one.check.id for one in results if one.finding.verdict == "fail"]
    data = {
        "ok": not failed,
        "failed": failed,
        "ran": commands,
        "checks": [
            {
                "id": one.check.id,
                "title": one.check.title,
                "verdict": one.finding.verdict.value,
                "evidence": one.finding.evidence,
                "fix": one.finding.fix,
                "safe": one.finding.safe,
            }
            for one in results
        ],
    }
    error = (
        ClientError("internal", f"{len(failed)} of {len(results)} checks fail: {', '.join(failed)}.")
        if failed
        else None
    )
    lines = [*(f"ran {each['command']} (exit status {each['status']})" for each in commands), *_lines(results)]
    return show(data, "\n".join(lines), talk, as_json=as_json, error=error)


def _lines(results: "Sequence[Result]") -> list[str]:
    """Return a line per check that applies, with what mends it below."""
    lines = []
    for one in results:
        if one.finding.verdict == "skip":
            continue
        lines.append(f"{SIGNS[one.finding.verdict]} {one.check.id:17} {_printable(one.finding.evidence)}")
        if one.finding.fix:
            lines.append(f"  → {_printable(one.finding.fix)}")
    return lines


def _printable(text: str) -> str:
    """Return text that stays on its line and cannot command the terminal."""
    return "".join(character if character.isprintable() else " " for character in text)
