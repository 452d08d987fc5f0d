"""The race rules of keys as a table: what a user did → what the daemon does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2m.domain.keys import Action, KeyRules

pytestmark = pytest.mark.unit

START, STOP, IGNORE, TAP, RESTART = Action.START, Action.STOP, Action.IGNORE, Action.TAP, Action.RESTART


def play(events: list[tuple[float, str]]) -> list[Action]:
    """Feed (time, key) events and follow the actions as the daemon would."""
    rules, recording, actions = KeyRules(), False, []
    for now, key in events:
        action = getattr(rules, key)(now, recording=recording)
        actions.append(action)
        recording = {START: True, RESTART: True, STOP: False}.get(action, recording)
    return actions


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param([(0, "start"), (3, "stop")], [START, STOP], id="hold and release"),
        pytest.param([(0, "stop"), (0.05, "start")], [IGNORE, TAP], id="the release overtook the press"),
        pytest.param([(0, "stop"), (0.151, "start")], [IGNORE, START], id="an old release cancels nothing"),
        pytest.param([(0, "stop"), (0.05, "start"), (0.1, "start")], [IGNORE, TAP, START], id="one release, one tap"),
        pytest.param([(0, "stop"), (5, "stop")], [IGNORE, IGNORE], id="release while idle"),
        pytest.param(
            [(0, "start"), (0.6, "start"), (0.7, "start"), (2, "stop")], [START, IGNORE, IGNORE, STOP], id="key repeat"
        ),
        pytest.param(
            [(0, "start")] + [(0.5 + 0.03 * n, "start") for n in range(200)] + [(7, "stop")],
            [START] + [IGNORE] * 200 + [STOP],
            id="a long hold with key repeat stays one recording",
        ),
        pytest.param(
            [(0, "start"), (0.6, "start"), (2, "stop"), (2.02, "start")],
            [START, IGNORE, STOP, IGNORE],
            id="a repeat that the release overtook",
        ),
        pytest.param(
            [(0, "start"), (2, "stop"), (2.02, "start")],
            [START, STOP, START],
            id="without key repeat a quick second press counts",
        ),
        pytest.param([(0, "start"), (30, "start"), (32, "stop")], [START, RESTART, STOP], id="the release was lost"),
        pytest.param([(0, "toggle"), (4, "toggle")], [START, STOP], id="toggle"),
        pytest.param(
            [(0, "toggle"), (0.149, "toggle"), (4, "toggle")], [START, IGNORE, STOP], id="a bounce counts once"
        ),
        pytest.param(
            [(0, "toggle"), (0.1, "toggle"), (0.2, "toggle")], [START, IGNORE, IGNORE], id="a long bounce counts once"
        ),
        pytest.param([(0, "start"), (3, "toggle")], [START, STOP], id="toggle ends what a press began"),
        pytest.param([(0, "toggle"), (3, "stop")], [START, STOP], id="a release ends what toggle began"),
    ],
)
def test_keys(events, expected):
    assert play(events) == expected


KEYS = st.sampled_from(["start", "stop", "toggle"])
STEPS = st.lists(st.tuples(st.floats(0, 2, allow_nan=False), KEYS), max_size=40)


@given(STEPS)
def test_whatever_is_pressed_a_start_finds_no_recording_and_a_stop_finds_one(steps):
    rules, recording, now = KeyRules(), False, 0.0
    for pause, key in steps:
        now += pause
        action = getattr(rules, key)(now, recording=recording)
        if action is START:
            assert not recording
        if action in (STOP, RESTART):
            assert recording
        recording = {START: True, RESTART: True, STOP: False}.get(action, recording)


@given(STEPS)
def test_after_two_quiet_seconds_a_press_and_a_release_are_one_recording(steps):
    rules, recording, now = KeyRules(), False, 0.0
    for pause, key in steps:
        now += pause
        action = getattr(rules, key)(now, recording=recording)
        recording = {START: True, RESTART: True, STOP: False}.get(action, recording)
    if recording:
        now += 2
        assert rules.stop(now, recording=True) is STOP
    assert rules.start(now + 2, recording=False) is START
    assert rules.stop(now + 4, recording=True) is STOP
