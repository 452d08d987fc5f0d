"""A damaged history: it opens each time, with every row whose bytes are whole, and no id is given twice."""

import asyncio
import random
import re
import shutil
import sqlite3
from bisect import bisect_left
from pathlib import Path

import pytest

from v2m.domain.dictation import HistoryEntry, Phase
from v2m.infrastructure.history.reader import read_entries
from v2m.infrastructure.history.sqlite import SqliteHistory

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

NOW_NS = 1_767_225_600_000_000_000  # 2026-01-01
ROWS = 300
BEFORE_TEXT = 90  # bytes of a row before its first text: lengths, id, times, phase
AFTER_TEXT = 60
LONG = range(70, ROWS, 70)  # these go on on other pages
Rows = dict[int, tuple[str, str]]


def history_at(path: Path, told: list[tuple[Path, int]]) -> SqliteHistory:
    return SqliteHistory(
        path,
        retention_days=30,
        keep_audio_s=0,
        keep_trouble_audio_s=0,
        clock_ns=lambda: NOW_NS,
        on_damage=lambda aside, saved: told.append((aside, saved)),
    )


def body(number: int) -> str:
    dice = random.Random(number)
    return f"<{number}>" + "word " * (2000 if number in LONG else dice.randrange(1, 40)) + f"<{number}/>"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two histories of the same rows: `closed`, and `killed` with a journal that was not taken over."""
    folder = tmp_path_factory.mktemp("whole")

    async def fill() -> None:
        history = history_at(folder / "closed" / "history.db", [])
        await history.open()
        for number in range(1, ROWS + 1):
            dictation = history.next_id()
            await history.begin(HistoryEntry(dictation, NOW_NS, Phase.TRANSCRIBED, raw=body(number), text="t"))
            if number % 3 == 0:
                await history.move(dictation, Phase.HELD, reason="as it is")
        shutil.copytree(folder / "closed", folder / "killed")
        await history.aclose()

    asyncio.run(fill())
    assert (folder / "killed" / "history.db-wal").stat().st_size > 100_000
    return folder


def rows_of(path: Path) -> Rows:
    return {entry.dictation: (entry.raw, entry.reason) for entry in read_entries(path)}


def hit(content: bytes, places: list[int]) -> set[int]:
    """Return the rows of whose bytes, in any of their versions, one is at these places; of many pages: always."""
    found, places = set(LONG), sorted(places)
    for match in re.finditer(rb"<(\d+)>(?:word )*<\1/>", content):
        after = bisect_left(places, match.start() - BEFORE_TEXT)
        if after < len(places) and places[after] < match.end() + AFTER_TEXT:
            found.add(int(match[1]))
    return found


async def used(path: Path, told: list[tuple[Path, int]]) -> Rows:
    """Open a history as a daemon does, dictate into it, search it, and return its old rows."""
    history = history_at(path, told)
    await history.open()
    try:
        one = history.next_id()
        await history.begin(HistoryEntry(one, NOW_NS, Phase.TRANSCRIBED, raw="afterwards", text="afterwards"))
        await history.move(one, Phase.DELIVERING)
        await history.entries(limit=ROWS * 2)
        found = [entry.dictation for entry in await history.entries(grep="afterwards")]
        assert found == [one]
        assert one > ROWS  # never one that a row had
    finally:
        await history.aclose()
    return {dictation: row for dictation, row in rows_of(path).items() if dictation != one}


@pytest.mark.parametrize(("which", "file"), [("closed", ""), ("killed", ""), ("killed", "-wal")])
def test_byte_flips_cost_only_the_rows_that_were_hit(whole: Path, tmp_path: Path, which: str, file: str) -> None:
    expected, safe, saved, exchanged = rows_of(whole / "closed" / "history.db"), 0, 0, 0
    assert len(expected) == ROWS
    for seed in range(34):  # 102 with the other files
        folder = tmp_path / str(seed)
        shutil.copytree(whole / which, folder)
        path = folder / f"history.db{file}"
        dice, content = random.Random(seed), bytearray(path.read_bytes())
        places = [dice.randrange(len(content)) for _ in range(dice.choice((1, 8, 64)))]
        untouched = expected.keys() - hit(bytes(content), places)
        for place in places:
            content[place] ^= 1 << dice.randrange(8)
        path.write_bytes(content)
        told: list[tuple[Path, int]] = []
        rows = asyncio.run(used(folder / "history.db", told))
        safe += len(untouched)
        saved += sum(rows.get(dictation) == expected[dictation] for dictation in untouched)
        exchanged += len(told)
        for aside, _ in told:
            assert aside.exists()
            assert re.fullmatch(r"history\.db\.corrupt-\d{8}T\d{6}", aside.name)
    assert exchanged > 5, "nothing was damaged enough to be exchanged"
    assert saved >= 0.99 * safe, f"{saved} of {safe}"


@pytest.mark.parametrize(("which", "file"), [("closed", ""), ("killed", ""), ("killed", "-wal")])
def test_a_file_that_ends_early_gives_the_rows_before_its_end(
    whole: Path, tmp_path: Path, which: str, file: str
) -> None:
    expected = rows_of(whole / "closed" / "history.db")
    for seed in range(6):
        folder = tmp_path / str(seed)
        shutil.copytree(whole / which, folder)
        path = folder / f"history.db{file}"
        content = path.read_bytes()
        end = random.Random(seed).randrange(1, len(content))
        lost = hit(content, list(range(end, len(content), 32)))
        path.write_bytes(content[:end])
        rows = asyncio.run(used(folder / "history.db", []))
        if which == "closed":
            assert rows.keys() >= expected.keys() - lost
        assert all(expected[dictation] == row for dictation, row in rows.items() if dictation not in lost)


def test_a_journal_without_its_database_is_not_thrown_away(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole / "killed", tmp_path / "it")
    path = tmp_path / "it" / "history.db"
    path.write_bytes(b"")
    told: list[tuple[Path, int]] = []
    rows = asyncio.run(used(path, told))
    assert len(told) == 1
    assert len(rows) > ROWS // 4, "the rows of the journal"


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TRIGGER dictation_added",
        "DROP INDEX dictation_phase",
        "PRAGMA user_version = 1",
        "PRAGMA user_version = 0",
        "PRAGMA user_version = 70000",
        "UPDATE dictation_words_data SET block = zeroblob(9)",
        "DELETE FROM dictation_words_config",
    ],
)
def test_broken_tables_are_made_anew_around_all_rows(whole: Path, tmp_path: Path, statement: str) -> None:
    shutil.copytree(whole / "closed", tmp_path / "it")
    path = tmp_path / "it" / "history.db"
    database = sqlite3.connect(path)
    with database:
        database.execute(statement)
    database.close()
    told: list[tuple[Path, int]] = []
    rows = asyncio.run(used(path, told))
    assert [saved for _, saved in told] in ([ROWS], [ROWS + 1])  # or found when the new row was written
    assert rows == rows_of(whole / "closed" / "history.db")
