"""How long the speech process may be silent: a slow machine is not a process that hangs."""

from typing import Final

from v2m.domain.audio import SAMPLE_RATE_HZ

EXPECTED_RATE: Final = 0.1  # seconds of work per second of audio, until it is measured (here: 0.05)
RATED_S: Final = 5.0  # a shorter recording says little about that
MAX_INDULGENCE: Final = 16  # 80 s for one run of the encoder: a machine so slow cannot be dictated to


class Patience:
    """Learns how fast the machine is; doubled after each kill until there is a text again."""

    def __init__(self, least_s: float) -> None:
        self._least_s = least_s
        self._rate = EXPECTED_RATE
        self._indulgence = 1

    def seconds(self, samples: int) -> float:
        """Return how long to wait for a sign of work on a recording of that length."""
        return max(self._least_s, 3 * self._rate * samples / SAMPLE_RATE_HZ) * self._indulgence

    def ran_out(self) -> None:
        """A process was given up: the next one may just need longer."""
        self._indulgence = min(2 * self._indulgence, MAX_INDULGENCE)

    def answered(self, *, duration_s: float, work_s: float) -> None:
        """A recording became text."""
        self._indulgence = 1
        if duration_s >= RATED_S:
            self._rate = work_s / duration_s
