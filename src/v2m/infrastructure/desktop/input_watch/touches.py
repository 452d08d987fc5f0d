"""What was touched since a moment: more than the one hotkey that asks?"""

import time
from typing import Final

LONGEST_CHORD_S: Final = 2.0  # nobody takes longer from the first key of a hotkey to its last


class Touches:
    """Counts; `most` is what one hotkey makes at most."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self._first: float | None = None  # CLOCK_MONOTONIC

    def note(self, count: int = 1) -> None:
        """Count something that was touched now; 0: something that does no harm, but is early if it is early."""
        if self._first is None:
            self._first = time.monotonic()
        self._count += count

    @property
    def certain(self) -> bool:
        """Whether nothing that follows can change the answer: nobody needs to listen any more."""
        return self.beyond_a_chord(LONGEST_CHORD_S)

    def beyond_a_chord(self, within_s: float) -> bool:
        """Tell whether it was more than one hotkey, or earlier than `within_s` ago."""
        return self._count > self._most or (self._first is not None and self._first < time.monotonic() - within_s)
