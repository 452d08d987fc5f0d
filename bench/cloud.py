"""Dictations through a speech service on loopback: when the last stretch leaves, what a connection costs.

The service answers at once: what is measured is v2m's own share. TLS and the listening process are real.
"""

import asyncio
import time
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

from bench._rows import Row
from support.cloud import Dictation, transcribed, twelve_seconds
from support.speech import RATE, until
from support.speech_server import SpeechServer, says
from v2m.infrastructure._spool import SpoolDirectory
from v2m.infrastructure.engines.openai_transcriber import OpenAiTranscriber

ROUNDS = 20
LENGTHS_S = (2, 4, 7)  # of the last stretch
GAP_S = 0.5
LONG_GAP_S = 6.0  # once: longer than the 5 s after which httpx2 closes a connection by default
BLOCK_S = 0.1  # of sound, handed over every 20 ms
MOST_UPLOAD_MS = 20


def measure(rounds: int = ROUNDS) -> list[Row]:
    """Measure so many dictations, with idle gaps between them."""
    return asyncio.run(_measure(rounds))


async def _measure(rounds: int) -> list[Row]:
    uploads_ms, texts_ms = [], []
    with TemporaryDirectory() as folder, SpoolDirectory(Path(folder), max_recording_s=60, on_degraded=print) as spools:
        async with transcribed() as (service, transcriber):
            service.default = says("So it was.")
            for number in range(rounds):
                await asyncio.sleep(LONG_GAP_S if number == rounds // 2 else GAP_S)
                seconds = LENGTHS_S[number % len(LENGTHS_S)]
                upload_ms, text_ms = await _dictate(service, transcriber, spools, number + 1, seconds)
                uploads_ms.append(upload_ms)
                texts_ms.append(text_ms)
            handshakes = service.handshakes
    note = f"{rounds} dictations"
    return [
        Row("key-up → upload begins p50", median(uploads_ms), "ms", MOST_UPLOAD_MS, note),
        Row("key-up → upload begins p95", quantiles(uploads_ms, n=20)[-1], "ms", note="shared machine: no bar"),
        Row("key-up → text of a service that needs no time, p50", median(texts_ms), "ms"),
        Row("TLS handshakes", handshakes, "", 1, f"{note}, idle between them"),
    ]


async def _dictate(
    service: SpeechServer, transcriber: OpenAiTranscriber, spools: SpoolDirectory, number: int, seconds: int
) -> tuple[float, float]:
    """Speak for some seconds; return the milliseconds from key-up to the upload's first byte, and to the text."""
    dictation = Dictation(transcriber, spools, number)
    pcm, block = twelve_seconds()[: 2 * RATE * seconds], round(2 * RATE * BLOCK_S)
    for start in range(0, len(pcm), block):
        dictation.say(pcm[start : start + block])
        await asyncio.sleep(BLOCK_S / 5)
    await until(lambda: dictation.utterance._ears.heard_until > dictation.spool.head - RATE // 20)  # as in real time
    began = time.monotonic()
    await dictation.stop()
    ended = time.monotonic()
    return (service.requests[-1].first_byte_at - began) * 1000, (ended - began) * 1000
