"""Reads a sound file of any rate and number of channels as what v2m works with: 16 kHz, mono, S16LE."""

import os
from typing import Any, Final

import numpy as np
import soundfile
from numpy.typing import NDArray

from v2m.domain.audio import SAMPLE_BYTES, SAMPLE_RATE_HZ
from v2m.domain.errors import EngineError
from v2m.infrastructure._translate import translate

MAX_S: Final = 4 * 3600  # what the converted audio may take: 460 MB
RATES_HZ: Final = range(1000, 384_001)
MAX_CHANNELS: Final = 32
_BLOCK_S: Final = 1  # at most, and no more than
_BLOCK_FRAMES: Final = 1 << 16  # 8 MiB of all channels, whatever a header claims
_CONVERT: Final = "sox IN.wav -r 16000 -c 1 OUT.wav"


class AudioFile:
    """Converts a file bit by bit, so that whoever reads it can do other work in between."""

    def __init__(self, fd: int) -> None:
        """Take over the descriptor of a WAV or FLAC file. Raises EngineError when it is none, odd or too long."""
        os.lseek(fd, 0, os.SEEK_SET)  # a worker that died may have read some of it
        with translate(_unreadable, soundfile.SoundFileError, OSError):
            self._file = soundfile.SoundFile(fd, closefd=True)
        if self._file.samplerate not in RATES_HZ:
            raise EngineError(f"A sound file of {self._file.samplerate} Hz cannot be transcribed.", hint=_CONVERT)
        if self._file.channels > MAX_CHANNELS:
            raise EngineError(f"A sound file of {self._file.channels} channels cannot be transcribed.", hint=_CONVERT)
        if self._file.frames > MAX_S * self._file.samplerate:
            raise EngineError(f"The sound file is longer than {MAX_S // 3600} hours.", hint="Split it.")
        self._block = min(_BLOCK_S * self._file.samplerate, _BLOCK_FRAMES)
        self._resampler = Resampler(self._file.samplerate)
        self._pcm = bytearray()
        self._ended = False

    @property
    def head(self) -> int:
        """Samples converted so far."""
        return len(self._pcm) // SAMPLE_BYTES

    def pcm(self, start: int, end: int) -> bytes:
        """Return converted samples `start` to `end` as S16LE."""
        return bytes(self._pcm[start * SAMPLE_BYTES : end * SAMPLE_BYTES])

    def read_ahead(self, samples: int) -> int | None:
        """Convert up to about that sample; return the length of the whole once it is known.

        Raises:
            EngineError: the rest of the file is damaged.
        """
        while self.head < samples and not self._ended:
            with translate(_unreadable, soundfile.SoundFileError, OSError):
                block = self._file.read(self._block, dtype="float32", always_2d=True)
            self._ended = len(block) == 0
            mono = block.mean(axis=1, dtype=np.float32)
            converted = self._resampler.flush() if self._ended else self._resampler.convert(mono)
            self._pcm += (converted * 32767).round().clip(-32768, 32767).astype("<i2").tobytes()
        return self.head if self._ended else None

    def close(self) -> None:
        """Close the file; twice is fine."""
        self._file.close()


class Resampler:
    """Band-limited conversion to 16 kHz: a windowed sinc, one set of weights per phase."""

    ZERO_CROSSINGS: Final = 16  # on each side; leaves 0.5 dB at 7 kHz, aliases below -60 dB

    def __init__(self, rate_hz: int) -> None:
        divisor = int(np.gcd(rate_hz, SAMPLE_RATE_HZ))
        self._up, self._down = SAMPLE_RATE_HZ // divisor, rate_hz // divisor
        stretch = max(1.0, self._down / self._up)
        self._reach = int(np.ceil(self.ZERO_CROSSINGS * stretch))  # input samples on each side
        phases = np.arange(self._up)[:, None] / self._up
        distance = (np.arange(-self._reach + 1, self._reach + 1)[None] - phases) / stretch
        window = np.cos(np.clip(distance / self.ZERO_CROSSINGS, -1, 1) * np.pi / 2) ** 2
        weights = np.sinc(distance) * window
        self._weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
        self._input: NDArray[np.float32] = np.zeros(self._reach - 1, np.float32)
        self._phase = 0  # of the next output sample, in 1/up of an input sample, from the start of the input

    def convert(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take input; return the output that it completes."""
        self._input = np.concatenate([self._input, samples])
        room = (len(self._input) - 2 * self._reach + 1) * self._up - self._phase
        count = max(0, -(-room // self._down))
        places = self._phase + np.arange(count) * self._down
        output = np.zeros(count, np.float32)
        if count:
            frames: NDArray[Any] = np.lib.stride_tricks.sliding_window_view(self._input, 2 * self._reach)
            output = np.einsum("ij,ij->i", frames[places // self._up], self._weights[places % self._up])
        self._phase += count * self._down
        done, self._phase = divmod(self._phase, self._up)
        self._input = self._input[done:]
        return output

    def flush(self) -> NDArray[np.float32]:
        """Return what the last input samples still owe."""
        return self.convert(np.zeros(self._reach, np.float32))


def _unreadable(error: Exception) -> EngineError:
    return EngineError(
        f"The file is no sound file that can be read: {str(error).splitlines()[0]}",
        hint="WAV and FLAC files are understood.",
    )
