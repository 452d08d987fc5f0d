"""`v2m doctor --loop`: one dictation from a recorded voice to a window of our own, and one verdict."""

import asyncio
import signal
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from v2m.client import ClientError
from v2m.local._group import Show, guarded

if TYPE_CHECKING:
    from v2m.local._loop import Report

HELP: Final = "Find out what does not work; with --loop by dictating a recording into a window of its own."
LOOP: Final = "Speak a recording into a virtual microphone, dictate it into a window, and read it back"
JSON: Final = "Print one JSON object"
CODES: Final = {  # of the stage that failed; each has exit status 70
    "daemon": "internal",
    "PipeWire": "capture_failed",
    "microphone": "capture_failed",
    "engine": "engine_failed",
    "words": "engine_failed",
    "output": "output_failed",
    "read back": "output_failed",
}


def build_command(show: Show) -> click.Command:
    """Return `doctor`."""
    loop = click.Option(["--loop"], is_flag=True, help=LOOP)
    as_json = click.Option(["--json", "as_json"], is_flag=True, help=JSON)
    return click.Command("doctor", params=[loop, as_json], callback=partial(partial, guarded, _act, show), help=HELP)


def _act(show: Show, *, loop: bool, as_json: bool) -> int:
    if not loop:
        raise ClientError("usage", "There is only v2m doctor --loop so far; v2m status tells the rest.", "v2m status")
    try:
        report = asyncio.run(_run())
    except asyncio.CancelledError as ended:  # by a signal, see `_run`
        raise KeyboardInterrupt from ended
    failed = report.failed
    data = {
        "ok": failed is None,
        "failed": failed,
        "stages": [
            {"stage": stage.value, "ok": found.ok if found else None, "detail": found.detail if found else ""}
            for stage, found in _in_order(report)
        ],
        "spoken": report.spoken,
        "heard": report.heard,
        "fix": report.findings[failed].fix if failed else "",
    }
    error = None
    if failed:
        found = report.findings[failed]
        error = ClientError(CODES[failed], f"The loop ends at {failed}: {found.detail}", found.fix)
    return show(data, _said(report), as_json=as_json, error=error)


async def _run() -> "Report":
    """Dictate; a signal that ends programs cancels it, so that nothing is left behind."""
    from v2m.local._loop import run_loop

    running = asyncio.current_task()
    assert running is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    return await run_loop()


def _in_order(report: "Report") -> list[tuple[Any, Any]]:
    from v2m.local._loop import Stage

    return [(stage, report.findings.get(stage)) for stage in Stage]


def _said(report: "Report") -> str:
    signs = {True: "✓", False: "✗", None: "–"}
    lines = [
        f"{signs[found.ok if found else None]} {stage:10} {found.detail if found else 'not tried'}".rstrip()
        for stage, found in _in_order(report)
    ]
    if report.failed is None:
        lines.append("Dictation works, from the microphone to the window.")
    return "\n".join(lines)
