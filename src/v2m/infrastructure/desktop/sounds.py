"""Short tones for start, stop and failure, made here and played by the sound server's own player."""

import asyncio
import io
import struct
import tempfile
import wave
from math import pi, sin
from pathlib import Path
from typing import Final

from v2m.infrastructure._run import DEVNULL, end_group, find_tool

PLAYERS: Final = ("pw-play", "paplay")

_RATE_HZ: Final = 48_000
_LOUDNESS: Final = 0.2  # of full scale: heard beside music, startles nobody
_FADE_S: Final = 0.01  # a tone that begins or ends at once clicks
_TONES: Final = {  # name → (frequency in Hz, seconds) in turn; rising begins, falling ends
    "start": ((660.0, 0.07), (880.0, 0.09)),
    "stop": ((880.0, 0.07), (660.0, 0.09)),
    "failed": ((330.0, 0.12), (247.0, 0.2)),
}


class Sounds:
    """Plays one tone at a time and waits for none: a new one ends the one before."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._playing: asyncio.subprocess.Process | None = None

    async def play(self, name: str) -> bool:
        """Start the tone and return at once; False when there is no such tone, no player, or no start."""
        player = next(filter(None, map(find_tool, PLAYERS)), None)
        if player is None or name not in _TONES:
            return False
        await self._end()
        try:
            self._playing = await asyncio.create_subprocess_exec(
                player, str(self._file(name)), stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True
            )
        except OSError:
            return False
        return True

    async def aclose(self) -> None:
        """End what plays and remove the files; twice is fine."""
        await self._end()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    async def _end(self) -> None:
        if self._playing is not None:
            await end_group(self._playing)
            self._playing = None

    def _file(self, name: str) -> Path:
        """Return the tone as a file: the players read no pipe."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="v2m-sounds-")
        path = Path(self._folder.name, f"{name}.wav")
        if not path.exists():
            path.write_bytes(tone(name))
        return path


def tone(name: str) -> bytes:
    """Return a tone as a WAV file: 48 kHz, one channel, S16LE. Raises KeyError for an unknown name."""
    samples = [sample for hz, seconds in _TONES[name] for sample in _beep(hz, int(seconds * _RATE_HZ))]
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE_HZ)
        file.writeframes(struct.pack(f"<{len(samples)}h", *samples))
    return target.getvalue()


def _beep(hz: float, length: int) -> list[int]:
    fade = int(_FADE_S * _RATE_HZ)
    return [
        round(32_767 * _LOUDNESS * min(1.0, n / fade, (length - n) / fade) * sin(2 * pi * hz * n / _RATE_HZ))
        for n in range(length)
    ]
