"""One suite for every history."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from v2m.domain.delivery import Attempt, Certainty
from v2m.domain.dictation import FINAL, TRANSITIONS, HistoryEntry, Phase
from v2m.domain.errors import HistoryError
from v2m.infrastructure.history.memory import MemoryHistory
from v2m.infrastructure.history.sqlite import SqliteHistory

pytestmark = pytest.mark.contract

DAY_NS = 86_400_000_000_000
START_NS = 1_767_225_600_000_000_000  # 2026-01-01
KEEP = {"retention_days": 30, "keep_audio_s": 3600.0, "keep_trouble_audio_s": 7 * 86_400.0}


class Clock:
    def __init__(self) -> None:
        self.now_ns = START_NS

    def __call__(self) -> int:
        return self.now_ns


ATTEMPTS = (
    Attempt("input-method", 12, 4, Certainty.SENT, "Typing was interrupted: „gone“."),
    Attempt("xtest", 8, None, Certainty.UNCERTAIN),
)
Play = Callable[[Callable[[Any, Clock], Awaitable[None]]], None]


@pytest.fixture(params=["memory", "sqlite"])
def play(request: pytest.FixtureRequest, tmp_path: Path) -> Play:
    """Run a scene with an open history; it is closed twice afterwards."""
    clock = Clock()

    async def scene(act: Callable[[Any, Clock], Awaitable[None]]) -> None:
        history: Any
        if request.param == "memory":
            history = MemoryHistory(**KEEP, clock_ns=clock)
        else:
            history = SqliteHistory(tmp_path / "history.db", **KEEP, clock_ns=clock)
        await history.open()
        try:
            await act(history, clock)
        finally:
            await history.aclose()
            await history.aclose()

    return lambda act: asyncio.run(scene(act))


async def row(history: Any, phase: Phase = Phase.RECORDING, *, at: int = START_NS, **fields: Any) -> int:
    dictation = history.next_id()
    await history.begin(HistoryEntry(dictation, at, phase, **fields))
    return dictation


def test_a_row_comes_back_with_every_field_as_it_was_written(play: Play) -> None:
    async def act(history: Any, _: Clock) -> None:
        entry = HistoryEntry(
            history.next_id(),
            START_NS,
            Phase.HELD,
            duration_s=1.5,
            raw="he said 'né' \x00 🎤\nnew line",
            text="Né.",
            method="clipboard",
            certainty=Certainty.HELD,
            characters=3,
            target="foot",
            attempts=ATTEMPTS,
            engine="moonshine",
            language="en",
            spool="/tmp/with space/a.spool",
            error="output_failed",
            reason="No display.",
            stages={"decode": 12.5, "deliver": 3.0},
        )
        await history.begin(entry)
        assert await history.get(entry.dictation) == entry
        assert list(await history.entries()) == [entry]

    play(act)


def test_a_dictation_moves_from_recording_to_delivered(play: Play) -> None:
    async def act(history: Any, _: Clock) -> None:
        one = await row(history)
        await history.move(one, Phase.CAPTURED, duration_s=2.0, spool="/s")
        await history.move(one, Phase.TRANSCRIBED, raw="hello", text="Hello", stages={"decode": 5.0})
        await history.move(one, Phase.DELIVERING)
        await history.move(one, Phase.DELIVERED, method="xtest", certainty=Certainty.SENT, characters=5)
        entry = await history.get(one)
        assert (entry.phase, entry.text, entry.certainty) == (Phase.DELIVERED, "Hello", Certainty.SENT)
        assert (entry.duration_s, entry.spool, entry.stages) == (2.0, "/s", {"decode": 5.0})

    play(act)


def test_the_attempts_are_those_of_the_last_delivery(play: Play) -> None:
    async def act(history: Any, _: Clock) -> None:
        one = await row(history, Phase.TRANSCRIBED, text="t")
        assert (await history.get(one)).attempts == ()
        await history.move(one, Phase.DELIVERING)
        await history.move(one, Phase.UNCERTAIN, attempts=ATTEMPTS)
        assert (await history.get(one)).attempts == ATTEMPTS
        await history.move(one, Phase.DELIVERING, attempts=())
        assert (await history.get(one)).attempts == ()

    play(act)


def test_rows_at_rest_are_found_by_their_error(play: Play) -> None:
    async def act(history: Any, _: Clock) -> None:
        one, two = await row(history, Phase.FAILED, error="interrupted"), await row(history, Phase.HELD)
        three = await row(history, Phase.UNCERTAIN, error="interrupted")
        await row(history, Phase.DELIVERED, error="interrupted")
        await row(history, Phase.CAPTURED, error="interrupted")
        assert [entry.dictation for entry in await history.resting("interrupted")] == [one, three]
        assert [entry.dictation for entry in await history.resting("")] == [two]

    play(act)


@pytest.mark.parametrize("phase", [Phase.TRANSCRIBED, Phase.DELIVERING])
def test_a_scrubbed_row_has_no_words_and_its_reason(play: Play, phase: Phase) -> None:
    async def act(history: Any, _: Clock) -> None:
        one = await row(history, phase, raw="hunter two", text="hunter2")
        await history.scrub(one, reason="A password field.", spool=None)
        entry = await history.get(one)
        assert (entry.phase, entry.raw, entry.text, entry.reason) == (Phase.DISCARDED, "", "", "A password field.")
        assert not await history.entries(grep="hunter")

    play(act)


@pytest.mark.parametrize("phase", [Phase.DELIVERED, Phase.HELD, Phase.ABORTED])
def test_what_came_to_rest_is_not_scrubbed(play: Play, phase: Phase) -> None:
    async def act(history: Any, _: Clock) -> None:
        one = await row(history, phase, text="kept")
        with pytest.raises(ValueError, match="cannot move"):
            await history.scrub(one)
        with pytest.raises(HistoryError, match="no dictation 77"):
            await history.scrub(77)
        assert (await history.get(one)).text == "kept"

    play(act)


@pytest.mark.parametrize(
    ("old", "new"),
    [(old, new) for old in Phase for new in Phase if new is not old and new not in TRANSITIONS[old]],
)
def test_a_step_that_the_table_forbids_is_a_programming_error(play: Play, old: Phase, new: Phase) -> None:
    async def act(history: Any, _: Clock) -> None:
        one = await row(history, old)
        with pytest.raises(ValueError, match=f"cannot move from {old} to {new}"):
            await history.move(one, new)
        assert (await history.get(one)).phase is old

    play(act)


@pytest.mark.parametrize("field", ["started_ns", "nonsense", "phase; DROP TABLE dictation"])
def test_a_field_that_cannot_change_is_a_programming_error(play: Play, field: str) -> None:
    async def act(history: Any, _: Clock) -> None:
        one = await row(history)
        with pytest.raises(ValueError, match="no changeable"):
            await history.move(one, Phase.CAPTURED, **{field: 1})

    play(act)


def test_the_same_phase_again_only_sets_fields(play: Play) -> None:
    async def act(history: Any, clock: Clock) -> None:
        one = await row(history, Phase.DELIVERED, spool="/s")
        clock.now_ns += DAY_NS
        await history.move(one, Phase.DELIVERED, reason="looked at")
        await history.move(one, Phase.DELIVERED)
        assert (await history.get(one)).reason == "looked at"
        assert [entry.dictation for entry in await history.expired_audio(clock.now_ns)] == [one]

    play(act)


def test_a_row_that_is_not_there_is_named(play: Play) -> None:
    async def act(history: Any, _: Clock) -> None:
        with pytest.raises(HistoryError, match="no dictation 77"):
            await history.move(77, Phase.CAPTURED)
        assert await history.get(77) is None
        assert await history.get() is None
        assert list(await history.entries()) == []

    play(act)


def test_a_row_is_not_written_twice(play: Play) -> None:
    async def act(history: Any, _: Clock) -> None:
        one = await row(history, text="first")
        with pytest.raises(HistoryError):
            await history.begin(HistoryEntry(one, START_NS, Phase.RECORDING, text="second"))
        assert (await history.get(one)).text == "first"

    play(act)


def test_the_newest_with_text_is_what_last_shows(play: Play) -> None:
    async def act(history: Any, _: Clock) -> None:
        spoken = [await row(history, Phase.DELIVERED, text=text) for text in ("one", "two")]
        await row(history, Phase.SUPPRESSED)
        assert (await history.get()).dictation == spoken[1]

    play(act)


def test_pages_go_from_the_newest_to_the_oldest(play: Play) -> None:
    async def act(history: Any, _: Clock) -> None:
        ids = [await row(history, text="x" * (number % 2)) for number in range(7)]
        first = await history.entries(limit=3)
        assert [entry.dictation for entry in first] == ids[:3:-1]
        second = await history.entries(limit=3, before=first[-1].dictation)
        assert [entry.dictation for entry in second] == ids[3:0:-1]
        with_text = await history.entries(with_text=True)
        assert [entry.dictation for entry in with_text] == [ids[5], ids[3], ids[1]]

    play(act)


SPOKEN = (
    "The doctor said don't go",
    "un café à Zürich",
    "C++ costs 100% of_it \\ *",
    "今日の会議です",
    "AND OR NOT NEAR",
)


@pytest.mark.parametrize(
    ("grep", "found"),
    [
        ("doctor", [0]),
        ("DOC go", [0]),
        ("go doctor", [0]),
        ("octo", [0]),
        ("don't", [0]),
        ("cafe zurich", [1]),
        ("CAFÉ", [1]),
        ("100%", [2]),
        ("%", [2]),
        ("_", [2]),
        ("\\", [2]),
        ("*", [2]),
        ("++", [2]),
        ("会議", [3]),
        ("AND", [4]),
        ("NOT NEAR", [4]),
        ("  doctor\t", [0]),
        ("", [4, 3, 2, 1, 0]),
        ("   ", [4, 3, 2, 1, 0]),
        ("absent", []),
        ("doctor absent", []),
    ],
)
def test_grep_finds_what_was_said(play: Play, grep: str, found: list[int]) -> None:
    async def act(history: Any, _: Clock) -> None:
        ids = [await row(history, Phase.DELIVERED, raw=text, text=text) for text in SPOKEN]
        entries = await history.entries(grep=grep)
        assert [ids.index(entry.dictation) for entry in entries] == found

    play(act)


@pytest.mark.parametrize(
    "grep",
    [
        '"',
        '"a" OR "b"',
        "raw:doctor",
        "a NEAR(b, 3)",
        "(",
        "^a",
        "a*b",
        "-a",
        "'; DROP TABLE dictation; --",
        "\x00",
        "a\x00b",
        "\ud800",
        "²",
        "🎤",
        "a " * 500,
        "x" * 1000,
    ],
)
def test_no_search_is_an_error(play: Play, grep: str) -> None:
    async def act(history: Any, _: Clock) -> None:
        await row(history, text="plain words")
        await history.entries(grep=grep)
        assert len(await history.entries()) == 1

    play(act)


def test_grep_follows_a_changed_text(play: Play) -> None:
    async def act(history: Any, _: Clock) -> None:
        one = await row(history, Phase.TRANSCRIBED, raw="before", text="before")
        await history.move(one, Phase.REFINED, text="after")
        assert len(await history.entries(grep="after")) == 1
        await history.move(one, Phase.HELD, raw="", text="")
        assert len(await history.entries(grep="before")) == 0

    play(act)


def test_unfinished_rows_are_what_a_crash_left(play: Play) -> None:
    async def act(history: Any, _: Clock) -> None:
        ids = {phase: await row(history, phase) for phase in Phase}
        assert [entry.phase for entry in await history.unfinished()] == [p for p in ids if p not in FINAL]

    play(act)


def test_audio_is_kept_an_hour_after_delivery_and_a_week_after_trouble(play: Play) -> None:
    async def act(history: Any, clock: Clock) -> None:
        for phase in Phase:
            await row(history, phase, spool=f"/{phase}")

        async def expired() -> set[str]:
            return {entry.phase for entry in await history.expired_audio(clock.now_ns)}

        thrown = {Phase.ABORTED, Phase.DISCARDED}
        assert await expired() == thrown
        clock.now_ns += 3600 * 10**9 - 1
        assert await expired() == thrown
        clock.now_ns += 1
        assert await expired() == thrown | {Phase.DELIVERED}
        clock.now_ns += 6 * DAY_NS
        assert await expired() == thrown | {Phase.DELIVERED}
        clock.now_ns += DAY_NS
        gone: set[str] = set()
        while due := await history.expired_audio(clock.now_ns):
            for entry in due:
                gone.add(entry.phase)
                await history.forget_audio(entry.dictation)
        assert gone == FINAL
        assert await history.spools() == {f"/{phase}" for phase in Phase if phase not in FINAL}

    play(act)


def test_a_new_delivery_starts_the_hour_again(play: Play) -> None:
    async def act(history: Any, clock: Clock) -> None:
        one = await row(history, Phase.DELIVERED, text="t", spool="/s")
        clock.now_ns += 2 * DAY_NS
        await history.move(one, Phase.DELIVERING)
        await history.move(one, Phase.DELIVERED)
        assert not await history.expired_audio(clock.now_ns)

    play(act)


def test_a_clock_that_jumps_ahead_takes_at_most_a_fifth_of_troubled_audio(play: Play) -> None:
    async def act(history: Any, clock: Clock) -> None:
        ids = [await row(history, Phase.FAILED, spool=f"/{number}") for number in range(20)]
        due = await history.expired_audio(clock.now_ns + 400 * DAY_NS)
        assert [entry.dictation for entry in due] == ids[:4]

    play(act)


def test_forgetting_audio_of_a_row_that_is_gone_is_fine(play: Play) -> None:
    async def act(history: Any, _: Clock) -> None:
        await history.forget_audio(99)

    play(act)


def test_old_rows_go_a_fifth_at_a_time_oldest_first(play: Play) -> None:
    async def act(history: Any, clock: Clock) -> None:
        ids = [await row(history, Phase.DELIVERED, at=START_NS + n * 10**9) for n in range(20)]
        assert await history.expire_rows(START_NS + 29 * DAY_NS) == 0
        jumped_ns = START_NS + 400 * DAY_NS
        assert await history.expire_rows(jumped_ns) == 4
        assert [entry.dictation for entry in await history.entries()] == ids[:3:-1]
        while await history.expire_rows(jumped_ns):
            pass
        assert not await history.entries()

    play(act)


def test_a_clock_that_jumps_back_takes_nothing(play: Play) -> None:
    async def act(history: Any, _: Clock) -> None:
        await row(history, Phase.DELIVERED, spool="/s")
        assert await history.expire_rows(START_NS - 400 * DAY_NS) == 0
        assert not await history.expired_audio(START_NS - 400 * DAY_NS)

    play(act)


def test_rows_with_audio_or_on_their_way_are_never_too_old(play: Play) -> None:
    async def act(history: Any, _: Clock) -> None:
        await row(history, Phase.HELD, spool="/s")
        await row(history, Phase.DELIVERING)
        assert await history.expire_rows(START_NS + 400 * DAY_NS) == 0

    play(act)


def test_an_id_is_never_given_twice(play: Play) -> None:
    async def act(history: Any, _: Clock) -> None:
        given = [history.next_id() for _ in range(3)]
        await history.begin(HistoryEntry(given[-1] + 40, START_NS, Phase.DELIVERED))
        await history.expire_rows(START_NS + 400 * DAY_NS)
        assert len({*given, history.next_id()}) == 4

    play(act)


def test_a_closed_history_says_so(play: Play) -> None:
    async def act(history: Any, _: Clock) -> None:
        await history.aclose()
        for call in (
            history.begin(HistoryEntry(1, START_NS, Phase.RECORDING)),
            history.move(1, Phase.CAPTURED),
            history.get(),
            history.entries(),
            history.unfinished(),
            history.spools(),
            history.expired_audio(START_NS),
            history.forget_audio(1),
            history.scrub(1),
            history.expire_rows(START_NS),
        ):
            with pytest.raises(HistoryError, match="closed"):
                await call

    play(act)
