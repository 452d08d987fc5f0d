"""The wall clock jumps by 400 days: lengths, order and history stay as they are."""

import random

import pytest

from support.fault_accounts import settle
from support.fault_rest import clock_jumps, faked_clock, jump
from support.faults import Account, Spoken, subject

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]


def test_jumps_to_and_fro_while_somebody_speaks():
    account = clock_jumps(3, random.Random())
    assert account.breaches == []
    assert (account.dictations, account.words_lost, account.words_doubled) == (3, 0, 0)


@pytest.mark.parametrize("days", [400, -400])
def test_after_a_jump_between_two_lives_the_history_stays_in_order_and_one_sweep_takes_one_row_at_most(days):
    with subject(faked_clock) as patient:
        account, rows = Account("jump"), []
        for _ in range(3):
            spoken = Spoken()
            patient.say(0.3, spoken, wait=True)
            rows.append(settle(patient, spoken, account))
        jump(patient, Spoken(), days)
        patient.kill()
        with patient:
            spoken = Spoken()
            patient.say(0.3, spoken, wait=True)
            newest = settle(patient, spoken, account)
            kept = patient.home.history()
        assert account.breaches == []
        numbers = [row["dictation"] for row in kept]
        assert numbers[:3] == [newest["dictation"], rows[2]["dictation"], rows[1]["dictation"]]
        assert newest["dictation"] > rows[2]["dictation"]
