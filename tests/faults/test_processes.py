"""Sound servers, microphones, compositors, crowds and sleep: each happens while somebody dictates."""

import random

import pytest

from support import fault_disks, fault_rest, fault_sound

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]


@pytest.mark.parametrize(
    "kind",
    [
        fault_sound.pipewire_killed,
        fault_sound.manager_killed,
        fault_sound.unplugged,
        fault_sound.replugged,
        fault_sound.default_changed,
        fault_disks.disk_full,
        fault_disks.read_only,
        fault_rest.asleep,
        fault_rest.twenty_daemons,
        fault_rest.compositor_killed,
    ],
    ids=lambda kind: kind.__name__,
)
def test_no_word_is_lost_or_doubled(kind):
    account = kind(1, random.Random())
    assert account.breaches == []
    assert account.dictations == account.injected == 1
    assert account.words > 0
    assert (account.rowless, account.words_lost, account.words_doubled, account.samples_lost) == (0, 0, 0, 0)


@pytest.mark.parametrize("call", fault_disks.WRITES)
def test_a_write_that_is_refused_costs_no_word(call):
    account = fault_disks.Account("n-th write refused")
    once_or_from_then_on = random.choice(("", "+"))
    fault_disks.refuse(call, f"ENOSPC:when={random.randrange(1, 12)}{once_or_from_then_on}", account)
    assert account.breaches == []
    assert (account.words_lost, account.words_doubled) == (0, 0)
