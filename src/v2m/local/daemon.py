"""`v2m daemon start|stop|restart|status|logs`: the daemon's life, with systemd and without."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from v2m.client import ClientError
from v2m.local._group import Show, Verb, build_group

if TYPE_CHECKING:
    from v2m.local._daemon_ways import Found, Way

ABOUT: Final = "Start, stop, restart the daemon, see how it is and what it says; with systemd and without."
LINES: Final = 50
FOLLOW_S: Final = 0.2  # between looks at a log that nobody announces


def build_command(show: Show) -> click.Group:
    """Return `daemon` with its verbs."""
    number = click.Option(
        ["-n", "--lines"], type=click.IntRange(min=0), default=LINES, show_default=True, help="So many"
    )
    follow = click.Option(["-f", "--follow"], is_flag=True, help="Go on with what is said from now on")
    verbs: list[Verb] = [
        ("start", _start, [], "Start the daemon; also after it crashed too often."),
        ("stop", _stop, [], "End the daemon; what was heard is finished first, and no key starts it again."),
        ("restart", _restart, [], "End the daemon and start it again."),
        ("status", _status, [], "Tell whether the daemon runs, and who looks after it."),
        ("logs", _logs, [number, follow], "Show what the daemon has said."),
    ]
    return build_group("daemon", ABOUT, show, verbs)


def _start(show: Show, *, as_json: bool) -> int:
    return show(*_told(_done(lambda way: way.start())), as_json=as_json)


def _restart(show: Show, *, as_json: bool) -> int:
    return show(*_told(_done(lambda way: way.restart())), as_json=as_json)


def _stop(show: Show, *, as_json: bool) -> int:
    found = _done(lambda way: way.stop())
    return show(found.as_data(), None, "The daemon does not run.", as_json=as_json)


def _status(show: Show, *, as_json: bool) -> int:
    found = _done(None)
    error = None
    if not found.running:
        why = f": {found.trouble}" if found.trouble else ("; the next key starts it" if found.listening else "")
        error = ClientError("not_running", f"The daemon does not run{why}.", "v2m daemon start")
    data, said, _ = _told(found)
    return show(data, said if found.running else None, as_json=as_json, error=error)


def _done(act: "Callable[[Way], object] | None") -> "Found":
    from v2m.local._daemon_ways import way_of_life

    async def work() -> "Found":
        way = await way_of_life()
        if act is not None:
            await act(way)  # type: ignore[misc]
        return await way.found()

    return asyncio.run(work())


def _told(found: "Found") -> tuple[dict[str, object], str, str]:
    under = "under systemd" if found.manager == "systemd" else "without systemd"
    again = f", started again {found.restarts} times by itself" if found.restarts else ""
    state = "ready for keys, the speech engine loads" if found.state == "warming" else found.state
    return found.as_data(), f"toakd {found.version} runs {under} (pid {found.pid}): {state}{again}", ""


# --- logs -------------------------------------------------------------------------------------------------


def _logs(show: Show, *, lines: int, follow: bool, as_json: bool) -> int:
    from v2m.infrastructure.service import systemd
    from v2m.infrastructure.service.detached import log_path

    if asyncio.run(systemd.is_installed()):
        return _journal(lines, follow=follow, as_json=as_json)
    log = log_path()
    if not log.exists():
        raise ClientError("not_running", f"There is no log: {log}", "v2m daemon start")
    last = _last_lines(log, lines)
    if follow and not as_json:
        for line in chain(last, _following(log)):
            click.echo(line)
    return show({"file": str(log), "lines": last}, "\n".join(last) or None, as_json=as_json)


def _journal(lines: int, *, follow: bool, as_json: bool) -> int:
    """Become journalctl, which knows pagers, times and priorities. Raises ClientError."""
    from v2m.infrastructure._run import find_tool
    from v2m.infrastructure.service.units import SERVICE

    program = find_tool("journalctl")
    if program is None:
        raise ClientError("internal", "journalctl is missing.", "install systemd's journal tools")
    words = [f"--user-unit={SERVICE}", f"--lines={lines}", *(["--follow"] if follow else [])]
    os.execv(program, [program, *words, *(["--output=json"] if as_json else [])])  # noqa: S606 - never returns


def _last_lines(log: Path, count: int) -> list[str]:
    from v2m.infrastructure.service.log_file import former

    text = "".join(file.read_text("utf-8", "replace") for file in (former(log), log) if file.exists())
    return text.splitlines()[-count:] if count else []


def _following(log: Path) -> Iterator[str]:
    """Yield lines as they come, also from the file that takes this one's place, until Ctrl-C."""
    file = log.open(encoding="utf-8", errors="replace")
    try:
        file.seek(0, os.SEEK_END)
        while True:
            while line := file.readline():
                yield line.rstrip("\n")
            if _is_another(log, file.fileno()):
                file.close()
                file = log.open(encoding="utf-8", errors="replace")
            time.sleep(FOLLOW_S)
    finally:
        file.close()


def _is_another(log: Path, fd: int) -> bool:
    """Tell whether a new log has begun; between two there may be none."""
    try:
        return log.stat().st_ino != os.fstat(fd).st_ino
    except FileNotFoundError:
        return False
