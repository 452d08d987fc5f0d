"""Recordings without a process: audio in memory, a detector that says what it is told, an engine that waits."""

import threading
from array import array

from v2m.domain.errors import EngineError
from v2m.domain.ports import EngineCapabilities
from v2m.domain.segments import SegmentRules
from v2m.domain.transcript import Hypothesis
from v2m.infrastructure.engines._listener import Listener
from v2m.infrastructure.engines._messages import Open

RULES = SegmentRules()


class Growing:
    """Audio in memory of which `head` samples are there."""

    def __init__(self, samples):
        self.samples = array("h", (value % 30_000 for value in range(samples)))
        self.head = samples

    def pcm(self, start, end):
        return self.samples[start:end].tobytes()

    def close(self):
        self.samples = array("h")


class Detector:
    """Says what it was given, then silence; fails where that is None. Remembers its windows."""

    def __init__(self, *probabilities):
        self.probabilities = list(probabilities)
        self.windows = []

    def probability(self, window):
        self.windows.append(window)
        value = self.probabilities.pop(0) if self.probabilities else 0.0
        if value is None:
            raise EngineError("The detector is broken.")
        return value

    def reset(self):
        self.windows.clear()


def opening(job=1, **changes):
    """Return how a recording is announced."""
    return Open(job, **{"language": "auto", "vad": True, "file": False, "descriptors": 1, **changes})


def listening(audio, vad, *, rules=RULES, streaming=False, file=None, **changes):
    """Return a listener of a recording."""
    announced = opening(vad=vad is not None, **changes)
    return Listener(announced, audio, vad=vad, rules=rules, streaming=streaming, file=file)


class GatedEngine:
    """Decodes when a test lets it; `streams` are all that were opened."""

    def __init__(self):
        self.capabilities = EngineCapabilities(name="gated", languages=("*",))
        self.streams = []
        self.ended = False
        self.opened = threading.Semaphore(0)

    def load(self):
        pass

    def open_stream(self, language):
        stream = GatedStream(f"take {len(self.streams) + 1}")
        if self.ended:
            stream.gate.set()
        self.streams.append(stream)
        self.opened.release()
        return stream

    def next_stream(self):
        """Wait until another decode has begun; return its stream."""
        assert self.opened.acquire(timeout=10)
        return self.streams[-1]

    def end(self):
        """Let everything through from now on."""
        self.ended = True
        for stream in list(self.streams):
            stream.gate.set()


class GatedStream:
    """One utterance; `finish` waits for `gate`, which `abandon` opens too."""

    def __init__(self, text):
        self.text = text
        self.fed = 0
        self.abandoned = False
        self.gate = threading.Event()

    def feed(self, pcm):
        self.fed += len(pcm) // 2

    def finish(self, alive=lambda: None):
        assert self.gate.wait(10)
        return Hypothesis("cut off" if self.abandoned else self.text, -0.1)

    def abandon(self):
        self.abandoned = True
        self.gate.set()
