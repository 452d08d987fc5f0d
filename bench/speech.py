"""Speech to text by the real process. Words, time per length, key-up → text, memory.

The word error rate is of an easy set (short, clean, mostly read): it guards against damage, it is no
claim about dictation.
"""

import asyncio
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench._rows import Row
from support.speech import RATE, clips, running, transcribe, wheel_clips, word_error_rate
from v2m.domain.ports import TranscribeOptions
from v2m.infrastructure._spool import SpoolDirectory
from v2m.infrastructure.engines._process import WorkerProcess

LENGTHS_S = (2, 5, 10, 15)
MOST_WORD_ERRORS_PERCENT = 4
MOST_KEY_UP_P95_MS = 300
ROUNDS = 7
OPTIONS = TranscribeOptions()


def measure(rounds: int = ROUNDS) -> list[Row]:
    """Measure with one process; `rounds` is the number of decodes per length."""
    return asyncio.run(_measure(rounds))


async def _measure(rounds: int) -> list[Row]:
    began = time.perf_counter()
    async with running() as transcriber:
        loaded_s = time.perf_counter() - began
        rows = [Row("speech process started → model loaded", loaded_s, "s")]
        rows += await accuracy(transcriber)
        speech = b"".join(clip.pcm for clip in wheel_clips() if clip.kind == "speech")
        for seconds in LENGTHS_S:
            rows += await at_once(transcriber, speech, seconds, rounds)
        rows += await while_speaking(transcriber, speech, rounds)
        rows.append(Row("speech process, most memory", peak_rss_mib(transcriber), "MiB"))
    return rows


async def accuracy(transcriber: WorkerProcess) -> list[Row]:
    """Word error rate over the set, and clips without speech that gave text."""
    pairs, spurious, noises = [], 0, 0
    for clip in clips():
        heard = await transcribe(transcriber, clip.pcm)
        if clip.kind == "speech":
            pairs.append((clip.text, heard.text))
        elif clip.kind == "nonspeech":
            noises += 1
            spurious += bool(heard.text)
    note = f"{len(pairs)} utterances"
    return [
        Row("wrong words", 100 * word_error_rate(pairs), "%", MOST_WORD_ERRORS_PERCENT, note),
        Row("clips without speech that gave text", spurious, "", 0, f"of {noises}"),
    ]


async def at_once(transcriber: WorkerProcess, speech: bytes, seconds: int, rounds: int) -> list[Row]:
    """A recording that the process sees only when it has ended."""
    pcm = speech[: seconds * RATE * 2]
    decode_ms, vad_ms = [], []
    for _ in range(rounds):
        heard = await transcribe(transcriber, pcm)
        decode_ms.append(heard.decode_ms)
        vad_ms.append(heard.vad_ms)
    note = f"and {median(vad_ms):.0f} ms for the VAD"
    return [Row(f"decode of {seconds} s, median", median(decode_ms), "ms", note=note)]


async def while_speaking(transcriber: WorkerProcess, speech: bytes, rounds: int) -> list[Row]:
    """Key-up → text of utterances of 5 s, recorded in real time; the key goes up wherever the speaker is."""
    step, block = 5 * RATE * 2, RATE // 50 * 2
    times_ms = []
    with TemporaryDirectory() as folder:
        store = SpoolDirectory(Path(folder) / "spool", max_recording_s=60, on_degraded=print)
        store.open()
        for number in range(2 * rounds):
            start = number * step // 2 % (len(speech) - step)
            spool = store.take(number)
            utterance = transcriber.open(number, spool.reader_fds(), OPTIONS)
            for at in range(start, start + step, block):
                spool.append(speech[at : at + block])
                await asyncio.sleep(0.02)
            began = time.perf_counter()
            spool.close()
            await utterance.finish(step // 2)
            times_ms.append((time.perf_counter() - began) * 1000)
        store.close()
    times_ms.sort()
    p95 = times_ms[round(0.95 * (len(times_ms) - 1))]
    return [
        Row("key-up → text, utterances of 5 s, median", median(times_ms), "ms"),
        Row("key-up → text, utterances of 5 s, p95", p95, "ms", MOST_KEY_UP_P95_MS),
    ]


def peak_rss_mib(transcriber: WorkerProcess) -> float:
    """Return the high-water mark of the process."""
    status = Path(f"/proc/{transcriber.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
