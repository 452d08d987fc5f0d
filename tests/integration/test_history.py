"""The history file: killed writers, damage, full and read-only disks, newer versions, other readers."""

import asyncio
import contextlib
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from v2m.domain.delivery import Attempt, Certainty
from v2m.domain.dictation import HistoryEntry, Phase
from v2m.domain.errors import HistoryError
from v2m.infrastructure.history._schema import MIGRATIONS
from v2m.infrastructure.history.sqlite import SqliteHistory

pytestmark = pytest.mark.integration

NOW_NS = 1_767_225_600_000_000_000  # 2026-01-01
KEEP = {"retention_days": 30, "keep_audio_s": 3600.0, "keep_trouble_audio_s": 604_800.0}
FOUR_HUNDRED_DAYS_NS = 400 * 86_400_000_000_000


def history_at(path: Path, **more: Any) -> SqliteHistory:
    return SqliteHistory(path, **KEEP, clock_ns=lambda: NOW_NS, **more)


def with_history(path: Path, act: Callable[[SqliteHistory], Awaitable[Any]], **more: Any) -> Any:
    async def scene() -> Any:
        history = history_at(path, **more)
        await history.open()
        try:
            return await act(history)
        finally:
            await history.aclose()

    return asyncio.run(scene())


async def speak(history: SqliteHistory, text: str = "hello", phase: Phase = Phase.DELIVERED) -> int:
    dictation = history.next_id()
    await history.begin(HistoryEntry(dictation, NOW_NS, phase, raw=text, text=text))
    return dictation


WRITER = """
import asyncio, os, signal, sys
from pathlib import Path
from v2m.domain.dictation import HistoryEntry, Phase
from v2m.infrastructure.history.sqlite import SqliteHistory

async def write(path, steps):
    history = SqliteHistory(Path(path), retention_days=30, keep_audio_s=0, keep_trouble_audio_s=0)
    await history.open()
    one = history.next_id()
    await history.begin(HistoryEntry(one, 1, Phase.RECORDING, spool="/s"))
    for step in steps:
        await history.move(one, Phase(step), text="spoken")
    sys.stdout.write(f"{one}\\n")
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(write(sys.argv[1], sys.argv[2:]))
"""


@pytest.mark.parametrize(
    "steps",
    [[], ["captured"], ["captured", "transcribed"], ["captured", "transcribed", "delivering"]],
    ids=["recording", "captured", "transcribed", "delivering"],
)
def test_kill_9_after_a_step_leaves_the_row_with_that_step(tmp_path: Path, steps: list[str]) -> None:
    path = tmp_path / "with space" / "history.db"
    for expected_id in (1, 2):
        child = subprocess.run([sys.executable, "-c", WRITER, path, *steps], capture_output=True, text=True)
        assert (child.returncode, child.stdout.strip()) == (-signal.SIGKILL, str(expected_id)), child.stderr

    async def look(history: SqliteHistory) -> None:
        rows = await history.unfinished()
        phase = steps[-1] if steps else "recording"
        assert [(row.dictation, row.phase, row.spool) for row in rows] == [(1, phase, "/s"), (2, phase, "/s")]
        assert all(row.text == ("spoken" if steps else "") for row in rows)

    with_history(path, look)


SYNCED = """
import asyncio, os, sys
from pathlib import Path
from v2m.domain.dictation import HistoryEntry, Phase
from v2m.infrastructure.history.sqlite import SqliteHistory

async def write(path):
    history = SqliteHistory(Path(path), retention_days=30, keep_audio_s=0, keep_trouble_audio_s=0)
    await history.open()
    one = history.next_id()
    os.write(2, b"MARK begin\\n")
    await history.begin(HistoryEntry(one, 1, Phase.RECORDING))
    await history.move(one, Phase.CAPTURED)
    await history.move(one, Phase.TRANSCRIBED, text="spoken")
    os.write(2, b"MARK delivering\\n")
    await history.move(one, Phase.DELIVERING)
    os.write(2, b"MARK delivered\\n")
    await history.move(one, Phase.DELIVERED)
    os.write(2, b"MARK end\\n")
    await history.aclose()

asyncio.run(write(sys.argv[1]))
"""


TRACED = ("strace", "-f", "-e", "trace=fsync,fdatasync,write", "-o")


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed: apt install strace")
def test_only_the_step_before_the_first_key_waits_for_the_disk(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    subprocess.run(
        [*TRACED, trace, sys.executable, "-c", SYNCED, tmp_path / "history.db"],
        check=True,
        capture_output=True,
    )
    syncs: dict[str, int] = {}
    part = ""
    for line in trace.read_text().splitlines():
        if "MARK " in line:
            part = line.split("MARK ")[1].split("\\n")[0]
        elif "sync(" in line:
            syncs[part] = syncs.get(part, 0) + 1
    assert syncs.get("delivering", 0) >= 1
    assert syncs.get("begin", 0) == syncs.get("delivered", 0) == 0


def test_ids_go_on_after_a_restart_also_when_the_rows_are_gone(tmp_path: Path) -> None:
    path = tmp_path / "history.db"

    async def fill(history: SqliteHistory) -> int:
        for _ in range(3):
            last = await speak(history)
        while await history.expire_rows(NOW_NS + FOUR_HUNDRED_DAYS_NS):
            pass
        return last

    last = with_history(path, fill)

    async def next_id(history: SqliteHistory) -> int:
        assert not await history.entries()
        return history.next_id()

    assert with_history(path, next_id) == last + 1


def test_file_and_folder_belong_to_the_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "v2m" / "history.db"
    umask = os.umask(0)
    try:
        with_history(path, speak)

        async def look(_: SqliteHistory) -> None:
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
            files = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()}
            assert set(files) >= {"history.db", "history.db-wal"}
            assert set(files.values()) == {0o600}

        path.chmod(0o644)
        with_history(path, look)
    finally:
        os.umask(umask)


def test_a_cancelled_caller_does_not_lose_the_write(tmp_path: Path) -> None:
    async def act(history: SqliteHistory) -> None:
        one = history.next_id()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await history.begin(HistoryEntry(one, NOW_NS, Phase.RECORDING))
        assert await history.get(one) is not None

    with_history(tmp_path / "history.db", act)


def test_an_export_can_read_while_the_daemon_writes(tmp_path: Path) -> None:
    path = tmp_path / "history.db"

    async def act(history: SqliteHistory) -> None:
        one = await speak(history, phase=Phase.TRANSCRIBED)
        reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            reader.execute("BEGIN")
            assert reader.execute("SELECT count(*) FROM dictation").fetchone() == (1,)
            await history.move(one, Phase.DELIVERING)
        finally:
            reader.close()

    with_history(path, act)


# --- damage -----------------------------------------------------------------------------------------


def filled(path: Path) -> None:
    async def fill(history: SqliteHistory) -> None:
        for number in range(200):
            await speak(history, f"sentence number {number} " + "word " * 20)

    with_history(path, fill)


@pytest.mark.parametrize("content", [b"no database at all", b"\x00" * 8192, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_file_that_is_no_database_is_moved_aside(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "history.db"
    path.write_bytes(content)
    told: list[Path] = []
    one = with_history(path, speak, on_damage=lambda aside, _: told.append(aside))
    kept = list(tmp_path.glob("history.db.corrupt-*"))
    assert [file.read_bytes() for file in kept] == [content]
    assert told == kept
    assert one > 1_000_000  # above every id that the damaged file may have given
    assert with_history(path, speak) == one + 1


def test_an_empty_file_is_a_new_history(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    path.touch()
    assert with_history(path, speak) == 1


def test_two_damaged_files_in_one_second_are_both_kept(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    for content in (b"damaged once" * 99, b"damaged twice" * 99):
        path.write_bytes(content)
        with_history(path, speak)
    assert len([file for file in tmp_path.glob("*.corrupt-*") if not file.name.endswith(("-wal", "-shm"))]) == 2


def test_damage_while_the_daemon_runs_begins_a_clean_history_at_once(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    filled(path)
    told: list[Path] = []

    async def act(history: SqliteHistory) -> None:
        other = sqlite3.connect(path)
        with other:
            other.execute("UPDATE dictation SET phase = 'nonsense' WHERE id = 100")
        other.close()
        kept = await history.entries(limit=1000)
        assert {row.dictation for row in kept} == set(range(1, 201)) - {100}  # that row is what nobody wrote
        for _ in range(3):
            await speak(history, "after")
            await history.entries(grep="after")

    with_history(path, act, on_damage=lambda aside, _: told.append(aside))
    assert len(told) == 1
    assert with_history(path, lambda history: history.entries(grep="after"))


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with_history(path, speak)
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    before = path.read_bytes()
    with pytest.raises(HistoryError, match="newer v2m") as refused:
        with_history(path, speak)
    assert "newer v2m" in (refused.value.hint or "")
    assert path.read_bytes() == before
    assert not list(tmp_path.glob("*.corrupt-*"))


@pytest.mark.parametrize("attempts", ["no JSON", "{}x", '[{"method": 1}]', "[7]", '[{"certainty": "surely"}]'])
def test_attempts_that_were_never_written_are_damage(tmp_path: Path, attempts: str) -> None:
    path = tmp_path / "history.db"
    with_history(path, speak)
    database = sqlite3.connect(path)
    with database:
        database.execute("UPDATE dictation SET attempts = ?", (attempts,))
    database.close()
    told: list[Path] = []
    look = lambda history: history.entries()  # noqa: E731
    assert with_history(path, look, on_damage=lambda aside, _: told.append(aside)) == []
    assert len(told) == 1


def test_a_history_of_the_first_schema_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    database = sqlite3.connect(path)
    database.executescript(f"{MIGRATIONS[0]} PRAGMA user_version = 1;")
    with database:
        database.execute(
            "INSERT INTO dictation VALUES (7, 1, 1, 'delivered', 1.0, 'spoken', 'Spoken.', 'xtest', 'sent', 7,"
            " 'foot', 'moonshine', 'en', NULL, '', '', '{}')"
        )
    database.close()

    async def look(history: SqliteHistory) -> None:
        entry = await history.get(7)
        assert (entry.text, entry.certainty, entry.attempts) == ("Spoken.", "sent", ())
        await history.move(7, Phase.DELIVERING, attempts=(Attempt("xtest", 7, 7, Certainty.SENT),))
        assert (await history.get(7)).attempts[0].characters == 7

    with_history(path, look)


# --- what must not stay -----------------------------------------------------------------------------

SECRET = "correcthorsebatterystaple"


def holds(folder: Path, words: str) -> list[str]:
    """Return the files in which the words stand, in any case."""
    return [file.name for file in folder.iterdir() if words.encode() in file.read_bytes().lower()]


def test_scrubbed_words_are_in_no_file_while_the_history_is_open_and_after_it(tmp_path: Path) -> None:
    async def act(history: SqliteHistory) -> None:
        for number in range(50):
            await speak(history, f"sentence {number} about horses")
        one = history.next_id()
        await history.begin(HistoryEntry(one, NOW_NS, Phase.CAPTURED))
        await history.move(one, Phase.TRANSCRIBED, raw=SECRET, text=f"{SECRET.capitalize()} {SECRET}")
        await history.move(one, Phase.DELIVERING)
        assert holds(tmp_path, SECRET)
        await history.scrub(one, reason="A password field.")
        assert holds(tmp_path, SECRET) == []
        for number in range(20):
            await speak(history, f"later {number}")
        assert len(await history.entries(grep="horses", limit=100)) == 50

    with_history(tmp_path / "history.db", act)
    assert holds(tmp_path, SECRET) == []


def test_a_reader_that_keeps_the_words_alive_is_told(tmp_path: Path) -> None:
    path = tmp_path / "history.db"

    async def act(history: SqliteHistory) -> None:
        one = await speak(history, SECRET, Phase.DELIVERING)
        reader = sqlite3.connect(path)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM dictation").fetchone()
        with pytest.raises(HistoryError, match="another program reads it"):
            await history.scrub(one)
        assert (await history.get(one)).text == ""
        reader.close()

    with_history(path, act)
    assert holds(tmp_path, SECRET) == []


# --- disks ------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True)
    if made.returncode:
        pytest.skip("making a small disk needs the right to mount: run as root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def fill_up(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_a_full_disk_is_an_error_of_each_call_until_there_is_room(small_disk: Path) -> None:
    filler = small_disk / "filler"

    async def act(history: SqliteHistory) -> None:
        one = await speak(history, phase=Phase.TRANSCRIBED)
        fill_up(filler)
        for _ in range(2):
            with pytest.raises(HistoryError) as refused:
                await speak(history, "x" * 100_000)
            assert refused.value.hint == f"df -h {small_disk}"
        assert (await history.get(one)).text == "hello"
        filler.unlink()
        await history.move(one, Phase.DELIVERING)
        await speak(history)

    with_history(small_disk / "history.db", act)


def test_a_read_only_disk_is_an_error_of_each_call_until_it_is_writable(small_disk: Path) -> None:
    path = small_disk / "v2m" / "history.db"

    async def scene() -> None:
        subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
        history = history_at(path)
        with pytest.raises(HistoryError, match="Read-only") as refused:
            await history.open()
        assert refused.value.hint == f"ls -ld {path.parent}"
        with pytest.raises(HistoryError):
            await history.entries()
        given = history.next_id()
        subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
        one = await speak(history)
        assert one == given + 1
        assert (await history.get()).dictation == one
        await history.aclose()

    asyncio.run(scene())


@pytest.mark.parametrize("obstacle", ["file in place of the folder", "folder in place of the file"])
def test_a_path_that_cannot_be_used_is_named(tmp_path: Path, obstacle: str) -> None:
    path = tmp_path / "v2m" / "history.db"
    if obstacle.startswith("file"):
        path.parent.write_text("")
    else:
        path.mkdir(parents=True)
    with pytest.raises(HistoryError, match=r"history\.db"):
        with_history(path, speak)
