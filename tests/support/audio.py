"""Sound files for microphones and transcriptions."""

import random
import wave
from array import array
from functools import cache
from pathlib import Path


@cache
def murmur(seconds: float, level: int = 2000) -> bytes:
    """Return reproducible noise, S16LE 16 kHz: something a microphone would hear."""
    source = random.Random(7)
    return array("h", (source.randint(-level, level) for _ in range(int(seconds * 16000)))).tobytes()


def write_wav(path: Path, *, pcm: bytes | None = None, seconds: float = 5.0, rate: int = 16000) -> Path:
    """Write S16LE mono, or noise of so many seconds; return the path."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(murmur(seconds) if pcm is None else pcm)
    return path
