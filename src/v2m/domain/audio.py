"""What audio is inside v2m: 16 kHz, one channel, signed 16 bit little endian, in a spool.

A spool is a 4,096-byte header, then PCM. The layout is shared by the C capture callback
(`native/capture/spool.h`), the daemon that owns the file and the worker that maps it read-only;
a test pins the C constants to these.
"""

from dataclasses import dataclass
from enum import IntFlag
from math import log10
from typing import Final

SAMPLE_RATE_HZ: Final = 16_000
SAMPLE_BYTES: Final = 2
MUTED_DB: Final = -60.0  # a room is never quieter at any gain people use; digital silence is -90 and below
MAX_FILE_S: Final = 4 * 3600  # of a file: what its text and passages may take in one answer

SPOOL_MAGIC: Final = b"V2MSPOOL"
SPOOL_VERSION: Final = 1
SPOOL_HEADER_BYTES: Final = 4096
# Offsets into the header. `head` and `allocated` are u64 counts of samples, written with release and
# read with acquire order (plain aligned 8-byte stores on the machines Python runs on).
OFFSET_MAGIC: Final = 0  # 8 bytes
OFFSET_VERSION: Final = 8  # u32
OFFSET_RATE: Final = 12  # u32, Hz
OFFSET_DICTATION: Final = 16  # u64
OFFSET_STARTED_WALL_NS: Final = 24  # i64, CLOCK_REALTIME
OFFSET_STARTED_MONOTONIC_NS: Final = 32  # i64, CLOCK_MONOTONIC
OFFSET_FLAGS: Final = 40  # u32, SpoolFlag
OFFSET_HEAD: Final = 64  # u64 samples stored
OFFSET_ALLOCATED: Final = 72  # u64 samples that may be stored (the pages exist)
OFFSET_OVERRUN: Final = 80  # u64 samples that found no room
OFFSET_FIRST_NS: Final = 88  # i64, CLOCK_MONOTONIC of the first sample's arrival, 0 before
OFFSET_LAST_NS: Final = 96  # i64, CLOCK_MONOTONIC of the latest arrival
OFFSET_PEAK: Final = 104  # u32, greatest |sample| so far
OFFSET_LEVEL: Final = 108  # u32, greatest |sample| since the reader last set it to 0
OFFSET_CONTINUED_AT: Final = 112  # u64 sample from which the audio is in memory, not in this file; 0: all is here
OFFSET_PREROLL: Final = 120  # u64 samples at the beginning that were heard before START


class SpoolFlag(IntFlag):
    """What is known about a spool without reading its audio."""

    CLOSED = 1
    ABORTED = 2
    GAP = 4


@dataclass(frozen=True, slots=True)
class CaptureReport:
    """What a finished recording holds."""

    samples: int
    preroll: int = 0  # of them, heard before START
    overrun: int = 0  # samples lost because no page was ready for them
    gap: bool = False  # audio is missing inside the recording
    peak: int = 0  # 0…32768
    source: str = ""  # the microphone's name, as a user knows it
    backend: str = ""
    lost: str | None = None  # why the device went away before STOP, in the user's terms

    @property
    def seconds(self) -> float:
        """Length of the recording."""
        return self.samples / SAMPLE_RATE_HZ

    @property
    def seconds_since_start(self) -> float:
        """Length of what was heard from START on."""
        return (self.samples - self.preroll) / SAMPLE_RATE_HZ


@dataclass(frozen=True, slots=True)
class Device:
    """A microphone that can be chosen."""

    name: str  # stable across reboots: PipeWire's node.name
    description: str
    default: bool


def decibels(peak: int) -> float:
    """Return the level of a peak sample in dB relative to full scale; 16 bits end at -90."""
    return 20 * log10(max(peak, 1) / 32768)
