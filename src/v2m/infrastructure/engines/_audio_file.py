"""Sound files as what v2m works with, 16 kHz, mono, S16LE: read by libsndfile, or by another decoder into a spool.

Whoever reads one can do other work in between, and says how much is not wanted any more: what is held of a
file does not grow with its length.
"""

import os
import sys
import threading
from typing import Final

import numpy as np
import soundfile
import soxr

from v2m.domain.audio import (
    MAX_FILE_S,
    OFFSET_FLAGS,
    OFFSET_MAGIC,
    SAMPLE_BYTES,
    SAMPLE_RATE_HZ,
    SPOOL_HEADER_BYTES,
    SPOOL_MAGIC,
    SpoolFlag,
)
from v2m.domain.errors import EngineError, UnreadableAudioError
from v2m.infrastructure._translate import translate

RATES_HZ: Final = range(1000, 384_001)
MAX_CHANNELS: Final = 32
_MAX_SAMPLES: Final = MAX_FILE_S * SAMPLE_RATE_HZ
_BLOCK_S: Final = 1  # at most, and no more than
_BLOCK_FRAMES: Final = 1 << 16  # 8 MiB of all channels, whatever a header claims
_CONVERT: Final = "sox IN.wav -r 16000 -c 1 OUT.wav"


class Held:
    """The samples that are still wanted: added to and forgotten by one thread, read by two."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pcm = bytearray()
        self._forgotten = 0  # samples

    @property
    def head(self) -> int:
        """Samples converted so far."""
        return self._forgotten + len(self._pcm) // SAMPLE_BYTES

    def pcm(self, start: int, end: int) -> bytes:
        """Return converted samples `start` to `end` as S16LE; `start` was not forgotten."""
        with self._lock:
            assert start >= self._forgotten
            return bytes(self._pcm[(start - self._forgotten) * SAMPLE_BYTES : (end - self._forgotten) * SAMPLE_BYTES])

    def forget(self, before: int) -> None:
        """Let go of the samples before that one."""
        with self._lock:
            if before > self._forgotten:
                del self._pcm[: (before - self._forgotten) * SAMPLE_BYTES]
                self._forgotten = before

    def _hold(self, pcm: bytes) -> None:
        with self._lock:
            self._pcm += pcm
        if self.head > _MAX_SAMPLES:
            raise _too_long()


class AudioFile(Held):
    """A file that libsndfile reads (WAV, FLAC, OGG, MP3, AIFF and relatives), converted bit by bit."""

    def __init__(self, fd: int) -> None:
        """Take over the descriptor. Raises EngineError when it is odd or too long, UnreadableAudioError when none."""
        super().__init__()
        os.lseek(fd, 0, os.SEEK_SET)  # a worker that died may have read some of it
        with translate(_unreadable, soundfile.SoundFileError, OSError):
            self._file = soundfile.SoundFile(fd, closefd=True)
        # Else it seeks after each read, to where it is: MP3 frames, which need those before them, are decoded twice.
        self._file.seekable = lambda: False
        rate = self._file.samplerate
        if rate not in RATES_HZ:
            raise EngineError(f"A sound file of {rate} Hz cannot be transcribed.", hint=_CONVERT)
        if self._file.channels > MAX_CHANNELS:
            raise EngineError(f"A sound file of {self._file.channels} channels cannot be transcribed.", hint=_CONVERT)
        if self._file.frames > MAX_FILE_S * rate:
            raise _too_long()
        self.length_s: float | None = self._file.frames / rate
        self._block = min(_BLOCK_S * rate, _BLOCK_FRAMES)
        self._resampler = soxr.ResampleStream(rate, SAMPLE_RATE_HZ, 1, dtype="float32")
        self._ended = False

    @property
    def ready(self) -> bool:
        """Whether `read_ahead` has something to read now."""
        return not self._ended

    def read_ahead(self, samples: int) -> int | None:
        """Convert up to about that sample; return the length of the whole once it is known.

        Raises:
            UnreadableAudioError: the rest of the file is damaged.
        """
        while self.head < samples and not self._ended:
            with translate(_unreadable, soundfile.SoundFileError, OSError):
                block = self._file.read(self._block, dtype="float32", always_2d=True)
            self._ended = len(block) == 0
            mono = block.mean(axis=1, dtype=np.float32)
            converted = self._resampler.resample_chunk(mono, last=self._ended)
            self._hold((converted * 32768).round().clip(-32768, 32767).astype("<i2").tobytes())
        return self.head if self._ended else None

    def close(self) -> None:
        """Close the file; twice is fine."""
        self._file.close()


class ConvertedFile:
    """A spool that another decoder is writing a file to, read by descriptor: nothing of it is held."""

    length_s: float | None = None  # only the other decoder knows

    def __init__(self, fd: int) -> None:
        """Take over the descriptor."""
        self._fd = fd

    @property
    def head(self) -> int:
        """Samples converted so far."""
        return max(0, os.fstat(self._fd).st_size - SPOOL_HEADER_BYTES) // SAMPLE_BYTES

    @property
    def _closed(self) -> bool:
        return bool(int.from_bytes(os.pread(self._fd, 4, OFFSET_FLAGS), sys.byteorder) & SpoolFlag.CLOSED)

    @property
    def ready(self) -> bool:
        """Whether all of it is there; until then it is its head that says what can be read."""
        return self._closed

    def pcm(self, start: int, end: int) -> bytes:
        """Return converted samples `start` to `end` as S16LE."""
        return os.pread(self._fd, (end - start) * SAMPLE_BYTES, SPOOL_HEADER_BYTES + start * SAMPLE_BYTES)

    def read_ahead(self, samples: int) -> int | None:
        """Return the length of the whole once it is known; who converts it does not wait to be asked."""
        del samples
        closed = self._closed  # first: what it closes at does not change any more
        if self.head > MAX_FILE_S * SAMPLE_RATE_HZ:
            raise _too_long()
        return self.head if closed else None

    def forget(self, before: int) -> None:
        """There is nothing to let go of."""

    def close(self) -> None:
        """Close the file; twice is fine."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def open_file(fd: int) -> AudioFile | ConvertedFile:
    """Take over the descriptor of a sound file, or of a spool with one. Raises EngineError as `AudioFile`."""
    return ConvertedFile(fd) if os.pread(fd, len(SPOOL_MAGIC), OFFSET_MAGIC) == SPOOL_MAGIC else AudioFile(fd)


def _too_long() -> EngineError:
    return EngineError(f"The file is longer than {MAX_FILE_S // 3600} hours.", hint="Split it.")


def _unreadable(error: Exception) -> UnreadableAudioError:
    return UnreadableAudioError(
        f"The file is no sound file that can be read: {str(error).splitlines()[0]}",
        hint="Other kinds of files are read by ffmpeg: apt install ffmpeg",
    )
