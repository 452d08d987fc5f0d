"""Audio as FLAC, without loss: what a speech service gets."""

import io

import soundfile

from v2m.domain.audio import SAMPLE_RATE_HZ


def encode(pcm: bytes | memoryview) -> bytes:
    """Return S16LE mono 16 kHz as the bytes of a FLAC file, about half as many; 15 s take some milliseconds."""
    memory = io.BytesIO()
    with soundfile.SoundFile(memory, "w", SAMPLE_RATE_HZ, 1, format="FLAC", subtype="PCM_16") as file:
        file.buffer_write(pcm, dtype="int16")
    return memory.getvalue()
