"""Recorded human speech with its texts, spools made from it, a running speech process, and a scorer."""

import asyncio
import json
import math
import os
import random
import struct
from array import array
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from v2m.domain import audio
from v2m.domain.ports import TranscribeOptions, Transcriber
from v2m.domain.transcript import Transcript
from v2m.infrastructure.engines._audio_file import AudioFile
from v2m.infrastructure.engines._process import WorkerProcess

REPOSITORY = Path(__file__).resolve().parents[2]
RATE = audio.SAMPLE_RATE_HZ
OPTIONS = TranscribeOptions()


class Clip(NamedTuple):
    """One recording: S16LE mono 16 kHz; `kind` is `speech`, `long` or `nonspeech` (whose text is empty)."""

    id: str
    pcm: bytes
    text: str
    kind: str


# Where the recordings inside the engine's wheel are cut: (from, to) in seconds, at pauses.
BECKETT = [
    (0.10, 3.15, "Ever tried. Ever failed."),
    (3.25, 4.55, "No matter."),
    (4.65, 9.30, "Try again. Fail again. Fail better."),
]
EVERYTHING = (
    "we had everything before us, we had nothing before us,"
    " we were all going direct to Heaven, we were all going direct the other way,"
)
NOISIEST = (
    "that some of its noisiest authorities insisted on its being received, for good or for evil,"
    " in the superlative degree of comparison only."
)
TWO_CITIES = [
    (0.97, 4.83, "It was the best of times, it was the worst of times,"),
    (4.83, 8.55, "it was the age of wisdom, it was the age of foolishness,"),
    (8.55, 10.60, "it was the epoch of belief,"),
    (10.60, 13.15, "it was the epoch of incredulity,"),
    (13.15, 17.15, "it was the season of Light, it was the season of Darkness,"),
    (17.15, 19.00, "it was the spring of hope,"),
    (18.95, 20.90, "it was the winter of despair,"),
    (20.90, 28.70, EVERYTHING),
    (28.70, 32.55, "in short, the period was so far like the present period,"),
    (32.50, 42.20, NOISIEST),
]


def speech_folder() -> Path | None:
    """Return the folder of a larger speech set with a `manifest.json`, if this machine has one."""
    for folder in (os.environ.get("V2M_SPEECH_DIR"), REPOSITORY.parent / "shared" / "speech"):
        if folder and (Path(folder) / "manifest.json").is_file():
            return Path(folder)
    return None


@cache
def clips() -> list[Clip]:
    """Return the speech set of this machine, else utterances cut from the recordings inside the wheel."""
    folder = speech_folder()
    if folder is None:
        return wheel_clips()
    return [
        Clip(
            entry["id"],
            read_wav(folder / entry["file"]),
            entry["text"],
            "long" if entry["longform"] else entry["kind"],
        )
        for entry in json.loads((folder / "manifest.json").read_text())
    ]


@cache
def wheel_clips() -> list[Clip]:
    """Return 13 utterances of two speakers and two clips without speech; there wherever the engine is."""
    found = []
    for name, cuts in (("beckett", BECKETT), ("two_cities", TWO_CITIES)):
        pcm = read_wav(wheel_assets() / f"{name}.wav")
        for number, (start, end, text) in enumerate(cuts, 1):
            cut = pcm[round(start * RATE) * 2 : round(end * RATE) * 2]
            found.append(Clip(f"{name}-{number}", cut, text, "speech"))
    return [*found, Clip("noise", noise(4, -40), "", "nonspeech"), Clip("hum", hum(3), "", "nonspeech")]


def wheel_assets() -> Path:
    """Return the folder of the engine's wheel that holds recordings and the model."""
    spec = find_spec("moonshine_voice")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "assets"


def read_wav(path: Path) -> bytes:
    """Return a WAV file as S16LE mono 16 kHz."""
    file = AudioFile(os.open(path, os.O_RDONLY))
    samples = file.read_ahead(audio.MAX_FILE_S * RATE)
    assert samples is not None
    pcm = file.pcm(0, samples)
    file.close()
    return pcm


def silence(seconds: float) -> bytes:
    """Return digital zeros."""
    return bytes(2 * round(seconds * RATE))


def noise(seconds: float, level_db: float, seed: int = 1) -> bytes:
    """Return Gaussian noise of that level (RMS, relative to full scale), the same each time."""
    generator, sigma = random.Random(seed), 32768 * 10 ** (level_db / 20)
    values = (round(generator.gauss(0, sigma)) for _ in range(round(seconds * RATE)))
    return array("h", [max(-32768, min(32767, value)) for value in values]).tobytes()


def hum(seconds: float, hz: float = 100) -> bytes:
    """Return a tone."""
    step = 2 * math.pi * hz / RATE
    return array("h", [round(3000 * math.sin(step * at)) for at in range(round(seconds * RATE))]).tobytes()


def quieter(pcm: bytes, decibels: float) -> bytes:
    """Return a recording as it is so many decibels (below 0) away."""
    gain = 10 ** (decibels / 20)
    return array("h", [round(gain * sample) for sample in array("h", pcm)]).tobytes()


def write_spool(target: Path | int | None, pcm: bytes, *, dictation: int = 1, head: int | None = None) -> tuple[int]:
    """Write a closed spool to a path, a descriptor or (None) memory; return what `Spool.reader_fds` would."""
    fd = os.memfd_create("spool") if target is None else target
    if isinstance(fd, Path):
        fd = os.open(fd, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    stored = len(pcm) // audio.SAMPLE_BYTES if head is None else head
    header = bytearray(audio.SPOOL_HEADER_BYTES)
    header[: len(audio.SPOOL_MAGIC)] = audio.SPOOL_MAGIC
    struct.pack_into("=II", header, audio.OFFSET_VERSION, audio.SPOOL_VERSION, RATE)
    struct.pack_into("=Q", header, audio.OFFSET_DICTATION, dictation)
    struct.pack_into("=I", header, audio.OFFSET_FLAGS, audio.SpoolFlag.CLOSED)
    struct.pack_into("=QQ", header, audio.OFFSET_HEAD, stored, stored)
    os.pwrite(fd, header + pcm, 0)
    reader = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    os.close(fd)
    return (reader,)


@asynccontextmanager
async def running(
    *arguments: str,
    engine: str = "moonshine",
    ready: bool = True,
    patience_s: float = 5.0,
    residency: str = "warm",
    idle_s: float = math.inf,
    **options: Any,
) -> AsyncIterator[WorkerProcess]:
    """Run a speech process as the daemon does, its engine built with `options`; by default with its model loaded."""
    transcriber = WorkerProcess(
        engine=engine,
        options=options,
        arguments=arguments,
        patience_s=patience_s,
        residency=residency,
        idle_s=idle_s,
    )
    async with tended(transcriber, ready=ready):
        yield transcriber


@asynccontextmanager
async def tended(transcriber: Transcriber, *, ready: bool = True) -> AsyncIterator[None]:
    """Look after a transcriber as the daemon does, by default from when it is ready, and close it."""
    async with asyncio.TaskGroup() as group:
        group.create_task(transcriber.run())
        try:
            if ready:
                await transcriber.wait_ready()
            yield
        finally:
            await transcriber.aclose()


async def transcribe(transcriber: WorkerProcess, pcm: bytes, options: TranscribeOptions = OPTIONS) -> Transcript:
    """Have a recording transcribed that has ended already."""
    return await transcriber.open(1, write_spool(None, pcm), options).finish(len(pcm) // 2)


def heard(
    *recordings: bytes, arguments: Sequence[str] = (), options: TranscribeOptions = OPTIONS, folder: str = ""
) -> list[Transcript]:
    """Return the transcripts of recordings, one after the other in one process."""

    async def scene() -> list[Transcript]:
        async with running(*arguments, folder=folder) as transcriber:
            return [await transcribe(transcriber, pcm, options) for pcm in recordings]

    return asyncio.run(scene())


async def until(condition, timeout_s: float = 30.0) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)


def word_error_rate(pairs: Sequence[tuple[str, str]]) -> float:
    """Return wrong words per word of (reference, heard), after the Whisper normaliser, 0…1."""
    import jiwer
    from whisper_normalizer.english import EnglishTextNormalizer

    normalise = EnglishTextNormalizer()
    references, heard = ([normalise(text) or "nothing" for text in side] for side in zip(*pairs, strict=True))
    return float(jiwer.wer(references, heard))
