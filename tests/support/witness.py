"""A microphone that listens before START, beside a second recording that says what there was to be heard."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np

from v2m.domain.audio import CaptureReport
from v2m.domain.ports import Recording
from v2m.infrastructure._spool import SpoolDirectory, SpoolReader
from v2m.infrastructure._spool_writer import MappedSpool
from v2m.infrastructure.capture.pipewire import PipewireMicrophone


class Witness:
    """A recording that runs all the time."""

    def __init__(self, spool: MappedSpool, reader: SpoolReader) -> None:
        self.spool = spool
        self.reader = reader

    @property
    def head(self) -> int:
        """Samples heard so far."""
        return self.spool.head

    async def hears(self, samples: int) -> None:
        """Wait until so much more has been heard."""
        await self.reaches(self.head + samples)

    async def reaches(self, head: int) -> None:
        """Wait until it has heard so much."""
        async with asyncio.timeout(30):
            while self.head < head:
                await asyncio.sleep(0.005)

    async def hears_sound(self, *, since: int = 0, level: float = 500) -> int:
        """Wait for the first sample that is louder; return where it is."""
        async with asyncio.timeout(30):
            while not (loud := np.abs(self.heard(since, self.head)) > level).any():
                await asyncio.sleep(0.005)
        return since + int(np.argmax(loud))

    def heard(self, start: int, end: int) -> np.ndarray:
        """Return what is there of a stretch."""
        return samples_of(self.reader, max(0, start), min(end, self.head))

    def place(self, part: np.ndarray, *, near: int, reach: int = 4000) -> int:
        """Return at which sample of this recording a part of another one was heard."""
        around = self.heard(near - reach, near + reach + len(part))
        size = len(around) + len(part)
        product = np.fft.rfft(around, size) * np.conj(np.fft.rfft(part, size))
        return int(np.argmax(np.fft.irfft(product, size)[: len(around)])) + max(0, near - reach)


def samples_of(reader: SpoolReader, start: int, end: int) -> np.ndarray:
    """Return a stretch of a spool."""
    return np.frombuffer(bytes(reader.pcm(start, end)), dtype=np.int16).astype(float)


@asynccontextmanager
async def witness(store: SpoolDirectory) -> AsyncIterator[Witness]:
    """Record all the time, in memory, while the block is run."""
    microphone, spool = PipewireMicrophone(), store.take(1000, private=True)
    try:
        recording = await microphone.open(spool)
        await recording.first_sample()
        with SpoolReader(*spool.reader_fds()) as reader:
            yield Witness(spool, reader)
        await recording.close()
    finally:
        await microphone.aclose()
        spool.close()


class Take:
    """A recording of the microphone with preroll, and where the witness was when it was asked for."""

    def __init__(self, asked_at: int, spool: MappedSpool, recording: Recording) -> None:
        self.asked_at = asked_at
        self.spool = spool
        self.recording = recording
        self.pcm = np.zeros(0)
        self.report = CaptureReport(0)

    async def stop(self) -> None:
        """End it; what was recorded is in `pcm`."""
        self.report = await self.recording.close()
        with SpoolReader(*self.spool.reader_fds()) as reader:
            self.pcm = samples_of(reader, 0, reader.head)
        self.spool.close()

    def places(self, by: Witness, *, around: int) -> list[int]:
        """Where the witness heard this begin, told by each stretch of 25 ms near a sample; one place is no gap.

        Near it, because a busy machine drops graph cycles, of one recording or of both.
        """
        guess = self.asked_at - self.report.preroll
        stretches = range(max(0, around - 1500), min(len(self.pcm) - 400, around + 1500), 100)
        return sorted({by.place(self.pcm[at : at + 400], near=guess + at) - at for at in stretches})

    async def goes_on(self, samples: int) -> None:
        """Wait for so much more audio."""
        head = self.spool.head
        async with asyncio.timeout(20):
            while self.spool.head < head + samples:
                await asyncio.sleep(0.005)


async def start(microphone: PipewireMicrophone, store: SpoolDirectory, by: Witness) -> Take:
    """Record until `Take.stop`."""
    spool = store.take(1)
    asked_at = by.head
    recording = await microphone.open(spool)
    await recording.first_sample()
    return Take(asked_at, spool, recording)


@asynccontextmanager
async def armed(preroll_ms: int) -> AsyncIterator[PipewireMicrophone]:
    """Have a microphone that listens while the block is run."""
    microphone = PipewireMicrophone(policy="armed", preroll_ms=preroll_ms)
    try:
        await microphone.warm()
        yield microphone
    finally:
        await microphone.aclose()
