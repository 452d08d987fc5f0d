"""The speech process is given time by the length of the audio and by what the machine was seen to need."""

import pytest

from v2m.infrastructure.engines._patience import MAX_INDULGENCE, Patience

pytestmark = pytest.mark.unit

MINUTE = 60 * 16_000


def test_a_short_recording_is_given_the_least_and_a_long_one_more():
    patience = Patience(5)
    assert patience.seconds(0) == 5
    assert patience.seconds(MINUTE) == pytest.approx(18)


def test_a_slow_machine_is_measured_by_recordings_that_are_long_enough():
    patience = Patience(5)
    patience.answered(duration_s=1, work_s=9)
    assert patience.seconds(0) == 5
    patience.answered(duration_s=10, work_s=10)
    assert patience.seconds(MINUTE) == pytest.approx(180)


def test_after_each_kill_it_is_doubled_up_to_a_limit_until_there_is_a_text():
    patience = Patience(5)
    for expected in (10, 20, 40, 80, 80):
        patience.ran_out()
        assert patience.seconds(0) == expected <= 5 * MAX_INDULGENCE
    patience.answered(duration_s=1, work_s=9)
    assert patience.seconds(0) == 5
