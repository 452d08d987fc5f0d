"""An hour of a film and of a sound file to text: the speech process's memory, time, and what ffmpeg needs."""

import asyncio
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from bench._rows import Row
from bench.speech import peak_rss_mib
from support.media import media, speech
from support.speech import running, silence
from v2m.application.files import Files
from v2m.application.tongue import Tongue
from v2m.core.events import EventBus
from v2m.infrastructure.media.ffmpeg import FfmpegMedia

MINUTES = 60
MOST_MEMORY_MIB = 300
SPEECH_SHARE = 0.5  # of an hour in which somebody speaks: talks have more, meetings less


def measure(rounds: int = MINUTES) -> list[Row]:
    """Measure with files of so many minutes."""
    return asyncio.run(_measure(rounds))


async def _measure(minutes: int) -> list[Row]:
    once = speech()[0]
    once += silence(len(once) / 32000 * (1 / SPEECH_SHARE - 1))
    pcm = once * (minutes * 60 * 32000 // len(once))
    rows = []
    with TemporaryDirectory() as folder:
        for kind in ("mp4", "mp3"):
            path = media(Path(folder), kind, pcm=pcm)
            rows += await _transcribed(path, kind, len(pcm) / 32000)
    return rows


async def _transcribed(path: Path, kind: str, seconds: float) -> list[Row]:
    files, note = FfmpegMedia(path.parent), f"{seconds / 60:.0f} min"
    began = time.perf_counter()
    async with files.convert(path) as source:
        await source.ended()
    converted_s = time.perf_counter() - began
    async with running() as transcriber:
        tongue = Tongue(transcriber, language="auto", profiles={})
        use_case = Files(transcriber=transcriber, media=files, tongue=tongue, events=EventBus())
        began = time.perf_counter()
        answer = await use_case.transcribe(path, language=None)
        took_s = time.perf_counter() - began
        peak_mib = peak_rss_mib(transcriber)
    return [
        Row(f"{kind}, speech process, most memory", peak_mib, "MiB", MOST_MEMORY_MIB, note),
        Row(f"{kind}, time for an hour", took_s / seconds * 3600, "s", note=f"{len(answer['passages'])} passages"),
        Row(f"{kind}, of that ffmpeg alone", converted_s / seconds * 3600, "s"),
    ]
