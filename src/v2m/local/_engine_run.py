"""One engine over a set of recordings, in a speech process of its own, as the daemon would run it."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from v2m.config import Settings
from v2m.core.di.speech import make_engine
from v2m.domain.errors import EngineError
from v2m.domain.ports import TranscribeOptions, Transcriber
from v2m.domain.transcript import Transcript
from v2m.local._recordings import Recording

LOAD_S: Final = 120.0  # a large model on a slow disk
FILE_S: Final = 600.0  # for one recording


@dataclass(frozen=True, slots=True)
class EngineRun:
    """What came of it."""

    engine: str
    loaded_s: float
    heard: tuple[Transcript, ...]  # one per recording
    wall_s: float
    peak_mib: float | None  # of the speech process

    @property
    def speed(self) -> float:
        """Seconds of recording per second of work."""
        return sum(one.duration_s for one in self.heard) / self.wall_s if self.wall_s else 0.0


async def run_engine(settings: Settings, name: str, recordings: Sequence[Recording]) -> EngineRun:
    """Have an engine decode every recording.

    Raises:
        EngineError: it cannot be loaded, or a recording cannot be decoded.
    """
    engine = make_engine(settings, name)
    async with asyncio.TaskGroup() as group:
        group.create_task(engine.run())
        try:
            found: EngineRun | EngineError = await _measured(engine, name, recordings)
        except EngineError as error:  # a group would wrap it
            found = error
        finally:
            await engine.aclose()
    if isinstance(found, EngineError):
        raise found
    return found


async def _measured(engine: Transcriber, name: str, recordings: Sequence[Recording]) -> EngineRun:
    began = time.perf_counter()
    async with _deadline(LOAD_S, f"The engine {name} was not loaded after {LOAD_S:.0f} s."):
        await engine.wait_ready()
    loaded_s = time.perf_counter() - began
    heard = [await _transcribe(engine, recording) for recording in recordings]
    wall_s = sum(seconds for _, seconds in heard)
    return EngineRun(name, loaded_s, tuple(one for one, _ in heard), wall_s, _peak_mib(engine))


async def _transcribe(engine: Transcriber, recording: Recording) -> tuple[Transcript, float]:
    began = time.perf_counter()
    fd = os.open(recording.path, os.O_RDONLY | os.O_CLOEXEC)
    utterance = engine.open(0, [fd], TranscribeOptions(file=True))
    try:
        async with _deadline(FILE_S, f"{recording.path.name} was not decoded after {FILE_S:.0f} s."):
            return await utterance.finish(0), time.perf_counter() - began
    finally:
        await utterance.abandon()


@contextlib.asynccontextmanager
async def _deadline(seconds: float, sentence: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise EngineError(sentence, hint="v2m models suggest") from error


def _peak_mib(engine: Transcriber) -> float | None:
    """Return the most memory that the speech process had, where there is one."""
    pid = getattr(engine, "pid", None)
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return None
