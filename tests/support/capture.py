"""Recordings as the application holds them: from a chain of back ends, watched for their end meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from v2m.domain.ports import Recording
from v2m.infrastructure._spool import SpoolDirectory
from v2m.infrastructure._spool_writer import MappedSpool
from v2m.infrastructure.capture.chain import MicrophoneChain
from v2m.infrastructure.capture.parec import ParecMicrophone
from v2m.infrastructure.capture.pipewire import PipewireMicrophone
from v2m.infrastructure.capture.portaudio import PortaudioMicrophone


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SpoolDirectory]:
    """A spool folder of this test."""
    with SpoolDirectory(tmp_path / "spool", max_recording_s=600, on_degraded=pytest.fail) as store:
        yield store


class Watched:
    """A recording and the task that waits for its end."""

    def __init__(
        self, microphone: MicrophoneChain, recording: Recording, spool: MappedSpool, ended: asyncio.Task[str]
    ) -> None:
        self.microphone = microphone
        self.recording = recording
        self.spool = spool
        self.ended = ended

    async def goes_on(self, samples: int = 8000, seconds: float = 15) -> None:
        """Wait for half a second of new audio."""
        head = self.spool.head
        async with asyncio.timeout(seconds):
            while self.spool.head < head + samples:
                assert not self.ended.done(), self.ended.result()
                await asyncio.sleep(0.02)

    @property
    def missing_s(self) -> float:
        """Audio that the clock says is not in the recording."""
        return (self.spool.last_sample_ns - self.spool.first_sample_ns) / 1e9 - self.spool.head / 16_000


def all_back_ends() -> MicrophoneChain:
    """Return the chain of a daemon that was told nothing."""
    return MicrophoneChain([PipewireMicrophone(), PortaudioMicrophone(), ParecMicrophone()])


@asynccontextmanager
async def recording(store: SpoolDirectory, microphone: MicrophoneChain | None = None) -> AsyncIterator[Watched]:
    """Record, from the first sample on, until the block is left."""
    microphone = microphone or all_back_ends()
    spool = store.take(1)
    opened = await microphone.open(spool)
    await opened.first_sample()
    async with asyncio.TaskGroup() as group:
        ended = group.create_task(opened.ended())
        watched = Watched(microphone, opened, spool, ended)
        await watched.goes_on()
        yield watched
        ended.cancel()
        await opened.close()
    await microphone.aclose()
    spool.close()
