"""The table of phases: what may follow what, and that nothing typed is ever typed again by itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2m.domain.delivery import Certainty, Deliver
from v2m.domain.dictation import FINAL, TRANSITIONS, HistoryEntry, Phase, can_move

pytestmark = pytest.mark.unit

UNFINISHED = set(Phase) - FINAL


def reachable(start: Phase) -> set[Phase]:
    found: set[Phase] = set()
    waiting = [start]
    while waiting:
        for following in TRANSITIONS[waiting.pop()] - found:
            found.add(following)
            waiting.append(following)
    return found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("recording", "captured"),
        ("recording", "discarded"),
        ("recording", "aborted"),
        ("recording", "held"),
        ("recording", "failed"),
        ("captured", "transcribed"),
        ("captured", "suppressed"),
        ("transcribed", "refined"),
        ("transcribed", "delivering"),
        ("refined", "delivering"),
        ("delivering", "delivered"),
        ("delivering", "uncertain"),
        ("delivering", "held"),
        ("failed", "transcribed"),  # decoded again
        ("suppressed", "transcribed"),
        ("delivered", "transcribed"),
        ("held", "delivering"),
        ("uncertain", "delivering"),
        ("delivered", "delivering"),
    ],
)
def test_a_dictation_may_go_on_like_this(old: str, new: str) -> None:
    assert can_move(Phase(old), Phase(new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("recording", "transcribed"),  # nothing was captured
        ("recording", "delivering"),
        ("captured", "delivered"),  # no text
        ("delivering", "aborted"),  # typing is never stopped half-way
        ("delivering", "captured"),
        ("delivering", "transcribed"),
        ("aborted", "captured"),  # thrown away on purpose
        ("aborted", "delivering"),
        ("discarded", "captured"),
        ("delivered", "held"),
    ],
)
def test_a_dictation_may_not_go_on_like_this(old: str, new: str) -> None:
    assert not can_move(Phase(old), Phase(new))


def test_every_phase_stands_in_the_table_and_none_follows_itself() -> None:
    assert set(TRANSITIONS) == set(Phase)
    assert not [phase for phase in Phase if can_move(phase, phase)]


def test_every_phase_can_be_reached_from_recording() -> None:
    assert reachable(Phase.RECORDING) | {Phase.RECORDING} == set(Phase)


def test_no_dictation_gets_stuck_before_it_is_final() -> None:
    for phase in UNFINISHED:
        assert reachable(phase) & FINAL, phase


def test_every_unfinished_phase_can_fail_or_be_held_so_that_a_crash_has_a_place() -> None:
    for phase in UNFINISHED:
        assert {Phase.FAILED, Phase.HELD} <= TRANSITIONS[phase], phase


def test_what_was_thrown_away_stays_thrown_away() -> None:
    assert reachable(Phase.ABORTED) == reachable(Phase.DISCARDED) == set()


def test_the_first_key_is_only_ever_pressed_out_of_delivering_or_without_keys() -> None:
    assert {old for old in Phase if can_move(old, Phase.UNCERTAIN)} == {Phase.DELIVERING}


@given(st.lists(st.sampled_from(sorted(Phase)), max_size=30))
def test_no_walk_through_the_table_loses_a_dictation(steps: list[Phase]) -> None:
    phase = Phase.RECORDING
    for step in steps:
        if can_move(phase, step):
            phase = step
    assert phase in FINAL or TRANSITIONS[phase]


def test_the_names_are_those_of_wire_and_history() -> None:
    assert [str(phase) for phase in Phase] == [
        "recording",
        "captured",
        "transcribed",
        "refined",
        "delivering",
        "delivered",
        "uncertain",
        "held",
        "failed",
        "aborted",
        "discarded",
        "suppressed",
    ]
    assert [str(name) for name in Certainty] == ["confirmed", "sent", "uncertain", "held"]
    assert [str(name) for name in Deliver] == ["type", "copy", "none"]


def test_a_row_starts_with_nothing_but_its_id_time_and_phase() -> None:
    one, two = HistoryEntry(1, 2, Phase.RECORDING), HistoryEntry(2, 3, Phase.RECORDING)
    assert (one.raw, one.text, one.spool, one.certainty, one.stages) == ("", "", None, None, {})
    assert one.stages is not two.stages
