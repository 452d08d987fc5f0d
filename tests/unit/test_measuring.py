"""The instruments: what a round of wandering focus counts as, and how many rounds the bench makes."""

import asyncio
from dataclasses import replace

import pytest
from bench.focus import OUTPUTS, rows_of, texts_for

from support.focus import REQUESTS, Round, Wander, noted_requests
from v2m.domain.delivery import Certainty, Delivery
from v2m.domain.dictation import HistoryEntry, Phase

pytestmark = pytest.mark.unit

TEXT = "please move the meeting"


def one_round(certainty, phase, **changes):
    """Return a round whose focus was moved before, and of which everything is as it should be."""
    delivery = Delivery("paste", certainty, 0)
    row = HistoryEntry(1, 1, phase, text=TEXT, certainty=certainty)
    kept = Round(TEXT, True, True, delivery, row=row, clipboard=TEXT, told=True)
    return replace(kept, **changes)


HELD = one_round(Certainty.HELD, Phase.HELD)


def test_a_held_text_that_can_be_found_again_is_not_lost():
    found = Wander([HELD, one_round(Certainty.UNCERTAIN, Phase.UNCERTAIN, wrong=TEXT)])
    assert (found.lost, found.overstated) == (0, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"clipboard": ""},
        {"clipboard": TEXT[:-1]},
        {"told": False},
        {"row": None},
        {"row": replace(HELD.row, text="")},
        {"row": replace(HELD.row, phase=Phase.DELIVERING)},
    ],
    ids=str,
)
def test_a_held_text_is_lost_where_any_promise_of_held_is_not_kept(changes):
    assert Wander([replace(HELD, **changes)]).lost == 1


@pytest.mark.parametrize(
    "one",
    [
        one_round(Certainty.SENT, Phase.DELIVERED, right=TEXT, wrong="p"),
        one_round(Certainty.CONFIRMED, Phase.DELIVERED, right=TEXT[:-1]),
        replace(HELD, wrong="p"),
        replace(HELD, row=replace(HELD.row, certainty=Certainty.SENT)),
    ],
    ids=["sent, both windows", "confirmed, not whole", "held, something there", "the row says something else"],
)
def test_what_claims_more_than_arrived_overstates(one):
    assert Wander([one]).overstated == 1


def test_the_moment_of_a_request_is_noted_and_the_request_is_made():
    made = []

    class Commits:
        async def commit(self, text):
            made.append(text)
            return len(text)

    real, REQUESTS["one of a test"] = Commits.commit, (Commits, "commit")
    try:
        with noted_requests("one of a test") as times:
            assert asyncio.run(Commits().commit("abc")) == 3
            assert asyncio.run(Commits().commit("d")) == 1
    finally:
        del REQUESTS["one of a test"]
    assert made == ["abc", "d"]
    assert len(times) == 2
    assert times[0] <= times[1]
    assert Commits.commit is real


@pytest.mark.parametrize("switches", [1, 5, 499, 500, 1000])
def test_the_bench_moves_the_focus_as_often_as_is_wanted(switches):
    each = texts_for(switches)
    moved = sum(bool(number % 3) for number in range(each))  # as `wander` does
    assert moved * sum(map(len, OUTPUTS.values())) >= switches


def test_too_few_switches_miss_their_bar():
    calm = one_round(Certainty.SENT, Phase.DELIVERED, right=TEXT, switched=False, before=False)
    found = {"paste": Wander([calm, HELD])}
    assert rows_of(found, 1)[0].ok
    assert not rows_of(found, 2)[0].ok
