"""What `v2m doctor --loop` says of each stage."""

import asyncio
import signal
from typing import Any, Final

from v2m.client import ClientError
from v2m.local._group import Show
from v2m.local._loop import Report, Stage, run_loop

CODES: Final = {  # of the stage that failed; each has exit status 70
    "daemon": "internal",
    "PipeWire": "capture_failed",
    "microphone": "capture_failed",
    "engine": "engine_failed",
    "words": "engine_failed",
    "output": "output_failed",
    "read back": "output_failed",
}


def run_and_say(show: Show, *, as_json: bool) -> int:
    """Dictate once, print what came of it, return the exit status."""
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


async def _run() -> Report:
    """Dictate; a signal that ends programs cancels it, so that nothing is left behind."""
    running = asyncio.current_task()
    assert running is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    return await run_loop()


def _in_order(report: Report) -> list[tuple[Stage, Any]]:
    return [(stage, report.findings.get(stage)) for stage in Stage]


def _said(report: Report) -> str:
    signs = {True: "✓", False: "✗", None: "–"}
    lines = [
        f"{signs[found.ok if found else None]} {stage:10} {found.detail if found else 'not tried'}".rstrip()
        for stage, found in _in_order(report)
    ]
    if report.failed is None:
        lines.append("Dictation works, from the microphone to the window.")
    return "\n".join(lines)
