"""What engines have in common that want an utterance whole: a stream, audio as numbers, pieces of a bearable length."""

import threading
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from v2m.domain.audio import SAMPLE_RATE_HZ
from v2m.domain.errors import EngineError
from v2m.domain.offers import advice, can_do, refusal
from v2m.domain.ports import EngineCapabilities
from v2m.domain.transcript import Hypothesis

MIN_SAMPLES: Final = SAMPLE_RATE_HZ // 10  # less is filled up with silence: encoders refuse a few frames
_QUIET_SAMPLES: Final = SAMPLE_RATE_HZ // 5  # how long a pause is looked for when speech must be cut

Floats = NDArray[np.float32]
Decode = Callable[[Floats, threading.Event, Callable[[], None]], Hypothesis]


class WholeStream:
    """One utterance, decoded when it is complete."""

    def __init__(self, decode: Decode) -> None:
        """Take what decodes 16 kHz samples of -1…1; it looks at the event between its steps and reports each."""
        self._decode = decode
        self._pcm = bytearray()
        self._abandoned = threading.Event()

    def feed(self, pcm: bytes | memoryview) -> None:
        """Take S16LE mono 16 kHz."""
        self._pcm += pcm

    def finish(self, alive: Callable[[], None] = lambda: None) -> Hypothesis:
        """Decode what was fed; no audio has no text, and neither has what nobody wants. Raises EngineError."""
        if not self._pcm or self._abandoned.is_set():
            return Hypothesis("")
        return self._decode(as_floats(self._pcm), self._abandoned, alive)

    def abandon(self) -> None:
        """Make a running `finish` return after the step it is at; called from any thread."""
        self._abandoned.set()


def check_language(capabilities: EngineCapabilities, language: str) -> None:
    """Raise EngineError, naming engines that can, for a language that this one cannot do."""
    if not can_do(capabilities.languages, language):
        raise EngineError(refusal(capabilities.name, language), hint=advice(language))


def as_floats(pcm: bytes | bytearray | memoryview) -> Floats:
    """Return S16LE as -1…1."""
    return np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768)


def filled_up(samples: Floats) -> Floats:
    """Return the samples, with silence behind them where they are too few for an encoder."""
    return np.pad(samples, (0, max(0, MIN_SAMPLES - len(samples))))


def pieces(samples: Floats, longest_s: float) -> Iterator[Floats]:
    """Cut what is longer than a model hears at once, each time at the quietest 0.2 s of the second half."""
    longest = round(longest_s * SAMPLE_RATE_HZ)
    while len(samples) > longest:
        energy = np.cumsum(np.square(samples[longest // 2 : longest], dtype=np.float64))
        quietest = int(np.argmin(energy[_QUIET_SAMPLES:] - energy[:-_QUIET_SAMPLES]))
        cut = longest // 2 + quietest + _QUIET_SAMPLES // 2
        yield samples[:cut]
        samples = samples[cut:]
    yield samples
