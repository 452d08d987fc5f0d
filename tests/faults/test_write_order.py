"""docs/crash-safety.md, row by row: the daemon is killed right after each step; the next finds what the page says."""

import asyncio
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from support.daemon import ROOT, new_home, running_daemon, wait_until
from v2m.domain.dictation import HistoryEntry, Phase
from v2m.infrastructure.history._rows import entry_columns
from v2m.infrastructure.history._schema import MIGRATIONS
from v2m.infrastructure.history.reader import read_entries
from v2m.infrastructure.history.sqlite import SqliteHistory

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

TEXT = "exactly once"
PROGRAM = ROOT / "tests" / "support" / "dying_daemon.py"
PAGE = (ROOT / "docs" / "crash-safety.md").read_text(encoding="utf-8")


def rows_of_page(heading: str) -> dict[str, str]:
    """Return, by the step's mark, the state that a table of the page promises."""
    table = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    found = re.findall(r"^\| .*?<!-- (\S+) --> *\| `?(\w+)`?", table, re.MULTILINE)
    return dict(found)


STEPS = rows_of_page("A dictation")


@pytest.fixture
def home(tmp_path):
    with new_home(
        V2M_TRANSCRIPTION__BACKEND="scripted",
        V2M_TRANSCRIPTION__SCRIPT=json.dumps([TEXT]),
        V2M_AUDIO__BACKEND="wav",
        V2M_OUTPUT__METHOD='["file"]',
        V2M_OUTPUT__FILE=str(tmp_path / "typed"),
    ) as home:
        home.typed = tmp_path / "typed"
        yield home


def dictate(home, daemon) -> None:
    """Speak until the daemon dies of it."""
    try:
        home.ask("START_RECORDING")
        wait_until(lambda: home.ask("GET_STATUS")["data"]["recording"]["seconds"] > 0.2, what="a recording")
        home.ask("STOP_RECORDING", wait=False)
    except (OSError, EOFError):
        pass
    assert daemon.process.wait(timeout=20) == -signal.SIGKILL


@pytest.mark.parametrize("step", [*STEPS])
def test_a_kill_after_each_step_leaves_what_the_page_says(home, step):
    argv = [sys.executable, PROGRAM, "never" if step == "samples" else step]
    with running_daemon(home, argv=argv) as daemon:
        if step == "samples":
            home.ask("START_RECORDING")
            wait_until(lambda: home.ask("GET_STATUS")["data"]["recording"]["seconds"] > 0.2, what="samples")
            daemon.kill()
        else:
            dictate(home, daemon)
    typed = home.typed.read_text() if home.typed.exists() else ""
    with running_daemon(home):
        wait_until(lambda: not unsettled(home), what="the recovery")
        rows = home.history()
        assert [row["phase"] for row in rows] == ([] if STEPS[step] == "nothing" else [STEPS[step]])
        for row in rows:
            assert row["text"] == TEXT
            assert row["audio"], "the audio is kept as well"
        home.wait_state("idle")
    assert (home.typed.read_text() if home.typed.exists() else "") == typed, "nothing is typed by itself"
    assert typed == {"keys:5": TEXT[:5], "delivered": f"{TEXT}\n"}.get(step, "")


def unsettled(home) -> bool:
    """Whether something is still decoded, or waits for it."""
    return any(row["phase"] == "failed" and row["error"] == "interrupted" for row in home.history())


# --- steps inside one process: killed at its n-th call of the kernel ------------------------------------

NAMES = "unlink,unlinkat,rename,renameat,renameat2"  # what an exchange of files consists of
CALLS = "unlink,unlinkat,rename,renameat,renameat2,pwrite64,ftruncate,fsync,fdatasync,link,linkat"
STRACE = shutil.which("strace")
needs_strace = pytest.mark.skipif(STRACE is None, reason="strace is not installed: apt install strace")

OPEN = """
import asyncio, sys
from pathlib import Path
from v2m.infrastructure.history.sqlite import SqliteHistory
async def main():
    history = SqliteHistory(Path(sys.argv[1]), retention_days=30, keep_audio_s=0, keep_trouble_audio_s=0)
    await history.open()
    await history.aclose()
asyncio.run(main())
"""
FORGET = """
import asyncio, sys
from pathlib import Path
from v2m.application.forget import forget
from v2m.infrastructure._spool import SpoolDirectory
from v2m.infrastructure.history.sqlite import SqliteHistory
async def main():
    history = SqliteHistory(Path(sys.argv[1]), retention_days=30, keep_audio_s=0, keep_trouble_audio_s=0)
    await history.open()
    spools = SpoolDirectory(Path(sys.argv[1]).parent / "spool", max_recording_s=60, on_degraded=print)
    shred = sys.argv[2] == "shred"
    whose = {"history": history, "spools": spools, "is_queued": lambda _: False}
    await forget(**whose, dictations=[2], until_ns=None, shred=shred)
    await history.aclose()
asyncio.run(main())
"""


def killed_at(number: int, script: str, *words: object, calls: str = CALLS) -> bool:
    """Run a program that is killed at its n-th call; tell whether it came to its end instead."""
    inject = f"inject={calls}:signal=KILL:when={number}"
    argv = [STRACE, "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", "-e", inject]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    run = subprocess.run(
        [*argv, sys.executable, "-c", script, *map(str, words)], capture_output=True, text=True, env=environment
    )
    assert run.returncode in (0, -signal.SIGKILL, 128 + signal.SIGKILL), run.stderr
    return run.returncode == 0


def each_kill(step: int):
    """Yield 1, 1 + step …; the caller ends when the program came to its end."""
    yield from range(1, 200, step)
    raise AssertionError("it never comes to its end")


def filled(path: Path, version: int | None = None) -> None:
    """Make a history with three rows whose middle one has a marker, a spool and a broken spool's copy."""
    version = version or len(MIGRATIONS)
    (path.parent / "spool").mkdir(parents=True)
    database = sqlite3.connect(path)
    for script in MIGRATIONS[:version]:
        database.executescript(script)
    database.execute(f"PRAGMA user_version = {version}")
    known = {row[1] for row in database.execute("PRAGMA table_info(dictation)")}
    for number, text in enumerate(("one", "markerword two", "three"), 1):
        spool = path.parent / "spool" / f"dictation-{number}.spool"
        spool.write_bytes(b"markeraudio" * 500)
        entry = HistoryEntry(number, 10**18, Phase.HELD, raw=text, text=text, spool=str(spool))
        columns = {key: value for key, value in entry_columns(entry).items() if key in known} | {"moved_ns": 10**18}
        marks = ", ".join(f":{key}" for key in columns)
        database.execute(f"INSERT INTO dictation ({', '.join(columns)}) VALUES ({marks})", columns)
    database.commit()
    database.close()


def texts(path: Path) -> list[str]:
    return sorted(entry.text for entry in read_entries(path))


def holding(folder: Path, word: bytes) -> list[str]:
    return [file.name for file in folder.rglob("*") if file.is_file() and word in file.read_bytes().lower()]


def next_life(path: Path) -> None:
    """Open the history as the next daemon does."""

    async def life() -> None:
        history = SqliteHistory(path, retention_days=30, keep_audio_s=0, keep_trouble_audio_s=0)
        await history.open()
        await history.aclose()

    asyncio.run(life())


ALL = ["markerword two", "one", "three"]


@needs_strace
def test_a_kill_in_a_migration_loses_nothing(tmp_path):
    for number in each_kill(5):
        path = tmp_path / str(number) / "history.db"
        filled(path, version=1)
        ended = killed_at(number, OPEN, path)
        backups = list(path.parent.glob("history.db.before-*"))
        for backup in backups:
            assert texts_of_first_schema(backup) == ALL
            assert backup.stat().st_mode & 0o777 == 0o600
        next_life(path)
        assert texts(path) == ALL
        if ended:
            assert [backup.name for backup in backups] == ["history.db.before-1"]
            return


def texts_of_first_schema(path: Path) -> list[str]:
    database = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        return sorted(row[0] for row in database.execute("SELECT text FROM dictation"))
    finally:
        database.close()


@needs_strace
def test_a_kill_at_any_rename_of_a_rebuilding_loses_nothing(tmp_path):
    for number in each_kill(1):
        path = tmp_path / str(number) / "history.db"
        filled(path)
        database = sqlite3.connect(path)
        database.executescript("DROP TRIGGER dictation_gone")
        database.close()
        ended = killed_at(number, OPEN, path, calls=NAMES)
        next_life(path)
        assert texts(path) == ALL
        assert len(list(path.parent.glob("history.db.corrupt-*"))) == 1
        assert not list(path.parent.glob("history.db.rebuil*"))
        if ended:
            return


@needs_strace
@pytest.mark.parametrize("how", ["delete", "shred"])
def test_a_kill_in_a_deletion_leaves_audio_without_no_row(tmp_path, how):
    for number in each_kill(5):
        path = tmp_path / str(number) / "history.db"
        filled(path)
        (path.parent / "history.db.corrupt-20260101T000000").write_bytes(b"markerword")
        ended = killed_at(number, FORGET, path, how)
        left = texts(path)
        assert left in (ALL, ["one", "three"])
        spool = path.parent / "spool" / "dictation-2.spool"
        assert not (spool.exists() and left != ALL), "audio whose row is gone would be found as new"
        if ended:
            assert (holding(path.parent, b"markerword"), spool.exists()) == ([], False)
            return
        if left == ALL:
            subprocess.run([sys.executable, "-c", FORGET, path, how], check=True)  # the same order once more
        assert texts(path) == ["one", "three"]


def test_the_page_names_every_phase_that_a_dictation_goes_through():
    assert list(STEPS) == [
        "spool",
        "row",
        "samples",
        "closed",
        "captured",
        "transcribed",
        "delivering",
        "keys:5",
        "delivered",
    ]
