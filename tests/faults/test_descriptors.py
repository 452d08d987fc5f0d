"""No descriptor is left: nothing falls, what was said is kept, and who is refused is told why."""

import random
import time

import pytest

from support.fault_accounts import settle
from support.fault_disks import descriptors_exhausted, exhausted
from support.faults import Account, Spoken, subject

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def patient():
    with subject() as patient:
        yield patient


def test_at_random_moments_of_a_dictation_no_word_is_lost():
    account = descriptors_exhausted(3, random.Random())
    assert account.breaches == []
    assert account.dictations == 3
    assert (account.words_lost, account.words_doubled) == (0, 0)


@pytest.mark.parametrize("spare", range(1, 9))
def test_start_works_or_is_refused_with_the_reason_however_many_are_left(patient, spare):
    account, spoken = Account("few descriptors"), Spoken(typed_before=len(patient.typed))
    with exhausted(patient, spare=spare):
        answer = patient.home.ask("START_RECORDING")
    assert patient.lives
    if answer["status"] == "success":
        spoken.dictation, spoken.started_ns = answer["data"]["dictation"], time.monotonic_ns()
        time.sleep(0.3)
        spoken.stop_ns = time.monotonic_ns()
        assert patient.home.ask("STOP_RECORDING")["status"] == "success"
        patient.look(spoken)
        settle(patient, spoken, account)
        assert account.words_lost == 0
    else:
        assert answer["error"]["code"] in ("storage_failed", "capture_failed")
        assert "Too many open files" in answer["error"]["message"]
    assert account.breaches == []
    assert "a command failed" not in patient.log
    assert "a dictation failed" not in patient.log
    patient.obeys()
