"""A recording that grows as fast as the speech process listens."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from support.audio import write_wav
from support.speech import OPTIONS, RATE, transcribe, until
from v2m.domain.ports import Spool, TranscribeOptions
from v2m.infrastructure._spool import SpoolDirectory
from v2m.infrastructure.engines._process import WorkerProcess
from v2m.infrastructure.engines._utterance import WorkerUtterance

STEP_BYTES = RATE // 2 * 2  # half a second


@asynccontextmanager
async def dictating(
    transcriber: WorkerProcess, folder: Path, *, max_recording_s: float = 60, **listeners: Any
) -> AsyncIterator[tuple[Spool, WorkerUtterance]]:
    """Open a recording; yield its spool and its utterance."""
    with SpoolDirectory(folder / "spool", max_recording_s=max_recording_s, on_degraded=print) as store:
        spool = store.take(1)
        utterance = transcriber.open(1, spool.reader_fds(), OPTIONS, **listeners)
        yield spool, utterance
        await utterance.abandon()
        spool.close()


async def say(spool: Spool, utterance: WorkerUtterance, pcm: bytes, *, timeout_s: float = 30.0) -> None:
    """Record half a second at a time, each when the last has been looked at."""
    for at in range(0, len(pcm), STEP_BYTES):
        spool.append(pcm[at : at + STEP_BYTES])
        await until(lambda: utterance.heard_until > spool.head - 512, timeout_s)


async def three_ways(transcriber: WorkerProcess, folder: Path, pcm: bytes) -> tuple[str, str, str]:
    """Return what a recording says when it is dictated, read from a file, and decoded once more."""
    folder.mkdir()
    async with dictating(transcriber, folder) as (spool, utterance):
        await say(spool, utterance, pcm)
        live = await utterance.finish(spool.head)
    file = os.open(write_wav(folder / "it.wav", pcm=pcm), os.O_RDONLY)
    read = await transcriber.open(0, [file], TranscribeOptions(file=True)).finish(0)
    again = await transcribe(transcriber, pcm, TranscribeOptions(live=False))
    return live.text, read.text, again.text
