"""What a press or release means when processes race, keys repeat and releases get lost.

Each trigger is a process of its own, so STOP can overtake START (measured: a third of back-to-back
pairs), and a compositor without `--no-repeat` sends START again and again while the key is held.
"""

from enum import Enum, auto
from math import inf
from typing import Final

KEY_REPEAT_S: Final = 1.0  # slowest key repeat of common desktops is 0.66 s before the first one
OVERTAKE_S: Final = 0.150  # two processes started in a row arrive within this, even on a loaded machine
BOUNCE_S: Final = 0.150  # a worn switch closes twice within this


class Action(Enum):
    """What is to be done."""

    START = auto()
    STOP = auto()
    IGNORE = auto()
    TAP = auto()  # a START whose STOP came first: nothing is recorded
    RESTART = auto()  # the release was lost: keep the old recording as held, begin a new one


class KeyRules:
    """Decides about control bytes; times are CLOCK_MONOTONIC seconds."""

    def __init__(self) -> None:
        self._last_start = -inf
        self._last_stop = -inf
        self._early_stop = -inf
        self._last_toggle = -inf
        self._repeated = False

    def start(self, now: float, *, recording: bool) -> Action:
        """Decide about START."""
        if now - self._early_stop <= OVERTAKE_S:
            self._early_stop = -inf
            return Action.TAP
        repeat = now - self._last_start <= KEY_REPEAT_S
        if recording:
            self._last_start = now
            self._repeated = self._repeated or repeat
            return Action.IGNORE if repeat else Action.RESTART
        if self._repeated and now - self._last_stop <= OVERTAKE_S:
            return Action.IGNORE  # the last repeat of a released key, overtaken by the release
        self._last_start, self._repeated = now, False
        return Action.START

    def stop(self, now: float, *, recording: bool) -> Action:
        """Decide about STOP."""
        self._last_stop = now
        if recording:
            return Action.STOP
        self._early_stop = now
        return Action.IGNORE

    def toggle(self, now: float, *, recording: bool) -> Action:
        """Decide about TOGGLE."""
        bounced = now - self._last_toggle <= BOUNCE_S
        self._last_toggle = now
        if bounced:
            return Action.IGNORE
        return Action.STOP if recording else Action.START
