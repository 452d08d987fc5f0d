"""A microphone that hears a WAV file: for a demonstration without a sound card, for tests and benches."""

import asyncio
import itertools
import threading
import time
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from v2m.domain.audio import SAMPLE_BYTES, SAMPLE_RATE_HZ, Device
from v2m.domain.errors import CaptureError, CaptureReason
from v2m.domain.ports import Spool
from v2m.infrastructure.capture._arrival import Arrival

_BLOCK_SAMPLES: Final = 320  # 20 ms in real time
_PLAYED: Final = "The file has been played to its end."


class WavFileMicrophone:
    """Plays `path` (16 kHz, mono, 16 bit) from its start into each recording.

    In real time silence follows the file until the recording is closed, as from a microphone to which
    nobody speaks; otherwise all of it comes at once and the recording ends with it.
    """

    name = "wav-file"

    def __init__(self, path: Path, *, realtime: bool = True) -> None:
        self._path = path
        self._realtime = realtime

    async def warm(self) -> None:
        """Nothing is kept between recordings."""

    async def open(self, spool: Spool) -> "_WavFileRecording":
        """Record into the spool from now on."""
        return _WavFileRecording(spool, _read(self._path), source=self._path.name, realtime=self._realtime)

    async def devices(self) -> Sequence[Device]:
        """Name the file."""
        return [Device(name=self._path.name, description=str(self._path), default=True)]

    async def release(self) -> None:
        """Nothing is kept between recordings."""

    async def aclose(self) -> None:
        """Nothing is kept between recordings."""


class _WavFileRecording(Arrival):
    """A thread that keeps time."""

    def __init__(self, spool: Spool, pcm: bytes, *, source: str, realtime: bool) -> None:
        super().__init__(spool, backend=WavFileMicrophone.name, source=source)
        self._closed = threading.Event()
        self._player = threading.Thread(target=self._play, args=(pcm, realtime), name="v2m-wav", daemon=True)
        self._player.start()

    def _play(self, pcm: bytes, realtime: bool) -> None:  # noqa: FBT001 - a thread's argument
        started, step = time.monotonic(), _BLOCK_SAMPLES * SAMPLE_BYTES
        for start in itertools.count(0, step) if realtime else range(0, len(pcm), step):
            due_s = started + start / SAMPLE_BYTES / SAMPLE_RATE_HZ - time.monotonic()
            if self._closed.wait(due_s if realtime and due_s > 0 else 0):
                return
            block = pcm[start : start + step]
            self.append(block.ljust(step, b"\0") if realtime else block)
        self.end(_PLAYED)

    async def _release(self) -> None:
        self._closed.set()
        await asyncio.to_thread(self._player.join)


def _read(path: Path) -> bytes:
    try:
        with wave.open(str(path), "rb") as audio:
            form = (audio.getframerate(), audio.getnchannels(), audio.getsampwidth())
            pcm = audio.readframes(audio.getnframes())
    except (OSError, EOFError, wave.Error) as error:
        raise CaptureError(
            f"{path} cannot be played: {error}.", reason=CaptureReason.NO_DEVICE, hint="v2m devices"
        ) from error
    if form != (SAMPLE_RATE_HZ, 1, SAMPLE_BYTES):
        raise CaptureError(
            f"{path} is not 16 kHz, mono, 16 bit.",
            reason=CaptureReason.NO_DEVICE,
            hint=f"sox {path} -r 16000 -c 1 -b 16 converted.wav",
        )
    return pcm
