"""A sample of what `scripts/bench faults` does 200 times: SIGKILL at random moments, with an account of every word."""

import random
import sqlite3

import pytest

from support import fault_kills
from support.fault_accounts import settle
from support.faults import Account, Spoken, subject, words

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

KILLS = 6


def nothing_is_lost(account: Account) -> None:
    """Hold the account against what is promised."""
    assert account.breaches == []
    assert (account.rowless, account.words_lost, account.words_doubled, account.samples_lost) == (0, 0, 0, 0)


def test_daemon():
    chance = random.Random()
    account = fault_kills.daemon_killed(KILLS, chance)
    nothing_is_lost(account)
    assert (account.injected, len(account.recovery_s)) == (KILLS, KILLS)
    assert account.words > KILLS


def test_daemon_while_pipewires_microphone_goes_on():
    account = fault_kills.daemon_killed_at_pipewire(3, random.Random())
    nothing_is_lost(account)
    assert account.dictations >= 1


def test_speech_process():
    account = fault_kills.worker_killed(KILLS, random.Random())
    nothing_is_lost(account)
    assert account.dictations == KILLS


# --- the account itself ---


@pytest.fixture(scope="module")
def patient():
    with subject() as patient:
        yield patient


def spoken_to(patient) -> Spoken:
    spoken = Spoken()
    patient.say(0.5, spoken, wait=True)
    patient.look(spoken)
    return spoken


def test_an_undisturbed_dictation_is_whole(patient):
    account, spoken = Account("nothing"), spoken_to(patient)
    assert settle(patient, spoken, account)["phase"] == "delivered"
    nothing_is_lost(account)
    assert account.words >= 12  # of 40 ms each


def test_a_word_that_is_not_typed_is_lost_and_one_typed_twice_doubled(patient):
    spoken = spoken_to(patient)
    keys = patient.home.folder / "keys"
    before, typed = patient.typed[: spoken.typed_before], patient.typed[spoken.typed_before :]
    first, second, *rest = words(typed)
    keys.write_text(before + " ".join([first, first, *rest]))
    account = Account("a bad typist")
    settle(patient, spoken, account)
    assert (account.words_lost, account.words_doubled) == (1, 1)
    assert second in account.breaches[0]


def test_samples_that_are_missing_or_others_are_lost(patient):
    account, spoken = Account("a bad recording"), spoken_to(patient)
    spoken.heard = spoken.heard[:6400] + bytes(640) + spoken.heard[7040:]
    settle(patient, spoken, account)
    assert account.samples_lost == 320
    spoken.fault_ns = spoken.stop_ns = spoken.stop_ns + 1_000_000_000  # it was spoken for a second more
    patient.look(spoken)
    assert 8_000 < spoken.lost < 16_000


def test_a_dictation_without_a_row_is_told(patient):
    account, spoken = Account("a bad history"), spoken_to(patient)
    database = sqlite3.connect(patient.home.state / "v2m" / "history.db")
    with database:
        database.execute("DELETE FROM dictation WHERE id = (SELECT MAX(id) FROM dictation)")
    database.close()
    settle(patient, spoken, account)
    assert account.rowless == 1
