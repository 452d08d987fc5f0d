"""Microphones, the audio they write, and files that are turned into audio."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from v2m.domain.audio import CaptureReport, Device, SpoolFlag


class Spool(Protocol):
    """The audio of one recording: written by the capture callback, read by the worker.

    The daemon's loop owns it. `path` is None for one that lives in memory only.
    """

    path: Path | None
    dictation: int

    @property
    def head(self) -> int:
        """Samples stored so far."""

    @property
    def preroll(self) -> int:
        """Samples at the beginning that were heard before START."""

    @property
    def overrun(self) -> int:
        """Samples that found no room."""

    @property
    def peak(self) -> int:
        """Greatest absolute sample so far, 0…32768."""

    @property
    def first_sample_ns(self) -> int:
        """CLOCK_MONOTONIC of the first sample, 0 before."""

    @property
    def last_sample_ns(self) -> int:
        """CLOCK_MONOTONIC of the latest samples, 0 before."""

    @property
    def header_address(self) -> int:
        """Address of the header in this process, for the C callback; PCM follows it."""

    @property
    def capacity(self) -> int:
        """Samples the mapping has addresses for."""

    def take_level(self) -> int:
        """Return the greatest absolute sample since the last call."""

    def append(self, pcm: bytes | bytearray | memoryview) -> int:
        """Store S16LE mono 16 kHz; return how many samples found room. For adapters written in Python."""

    def reader_fds(self) -> tuple[int, ...]:
        """Open new read-only descriptors for the worker, which the caller closes.

        The file's or the memory's; with a file a second one, of the memory in which the recording goes on
        when the disk is full. Raises StorageError: there is no descriptor left.
        """

    def set_flags(self, flags: SpoolFlag) -> None:
        """Add flags to the header."""

    def close(self) -> None:
        """End the recording: cut the file to what was stored and unmap. Twice is fine, a failing disk too."""

    def delete(self) -> None:
        """Close and remove the audio for good. Twice is fine.

        Raises:
            StorageError: its file cannot be removed; the spool is closed all the same.
        """


class SpoolStore(Protocol):
    """Makes spools ahead of time, keeps the open one growing and synced, finds what a crash left.

    `take` runs on the loop and does no file work when the spare is ready (else ≤ 1 ms). Allocation
    ahead, page population and the sync each second happen in a thread that sleeps while nothing records.
    A full or read-only disk: the spool is a memfd, and `on_degraded` is called with one sentence. A disk
    that fills up meanwhile: the recording goes on in a memfd, whose content is copied to the file as soon
    as there is room, and is read from there until then.
    """

    def take(self, dictation: int, *, private: bool = False) -> Spool:
        """Return a spool for a recording that starts now. Raises StorageError: there is no room in memory either."""

    def open_reader(self, path: Path) -> tuple[int, ...]:
        """Open kept audio for the worker; return read-only descriptors, as `Spool.reader_fds` does.

        Raises:
            StorageError: it is gone or is not a spool.
        """

    def samples(self, path: Path) -> int:
        """Return how many samples kept audio holds. Raises StorageError as `open_reader`."""

    def mend(self) -> list[Path]:
        """Save the audio of spools whose header is broken; return where the files are as they were found."""

    def orphans(self, known: set[str]) -> list[tuple[Path, int, int]]:
        """Return (path, samples, wall-clock start in ns) of each spool whose path is not in `known`."""

    def delete(self, path: Path, *, shred: bool = False) -> None:
        """Remove kept audio, with `shred` after its bytes; nothing happens if it is gone.

        Raises:
            StorageError: it cannot be removed.
        """

    def expire(self, until_s: float) -> None:
        """Remove a file that was found broken up to this time, in seconds since 1970; one at a time."""


class Recording(Protocol):
    """An open microphone. Made by `Microphone.open`; the link exists until `close` returns."""

    @property
    def source(self) -> str:
        """Description of the device that is heard; empty until linked."""

    @property
    def backend(self) -> str:
        """Name of the adapter that records now."""

    @property
    def notice(self) -> str:
        """One sentence for the user about a weaker choice (pinned device gone …); empty when all is well."""

    async def first_sample(self) -> None:
        """Return once audio has arrived. Cancelling is harmless.

        Raises:
            CaptureError: nothing came in the adapter's own patience (≤ 1 s), or the device went away.
        """

    async def ended(self) -> str:
        """Wait until the source ends by itself; return why, in the user's terms. Cancelling is harmless.

        A watchdog that cures a fault (new stream, new connection, next back end) does so behind this:
        it returns only when every step of the ladder has failed.
        """

    async def close(self) -> CaptureReport:
        """Release the device: wait for the callback in flight (≤ 8 ms), unlink, report. Twice is fine."""


class Microphone(Protocol):
    """A way to record, kept warm between dictations.

    The application calls `open` from the loop; it returns when the device has been asked for (the first
    sample comes later) and never blocks the loop for more than 3 ms. One recording at a time.
    Nothing of it is in the audio graph while no recording is open, unless `armed` was asked for.
    """

    name: str

    async def warm(self) -> None:
        """Connect what can be kept connected, so that the first START is as fast as the others.

        With policy armed the node is there afterwards. Never raises; cancelling is harmless.
        """

    async def open(self, spool: Spool) -> Recording:
        """Record into the spool from now on.

        Raises:
            CaptureError: within 1 s, with the reason: NO_DEVICE when it is known that there is no
                microphone. Cancelling releases the device.
        """

    async def devices(self) -> Sequence[Device]:
        """List the microphones. Raises CaptureError when the sound server is not there."""

    async def release(self) -> None:
        """Let go of what is kept armed, sound in memory included, until the next `warm` or `open`.

        Called while no recording is open. Never raises; twice is fine.
        """

    async def aclose(self) -> None:
        """Release everything; twice is fine."""


class MediaSource(Protocol):
    """A sound or video file that is being turned into 16 kHz mono S16LE. Made by `MediaOpener.convert`."""

    @property
    def duration_s(self) -> float | None:
        """How long the file says that it is; None before it has, or when it does not."""

    def open_reader(self) -> int:
        """Return a new descriptor of the spool that the samples are written to; the caller closes it."""

    async def ended(self) -> str:
        """Wait until no more samples come; return in one sentence what was damaged, else nothing.

        Raises:
            EngineError: it is no sound or video file, has no sound, is too long, or its decoder got stuck.
        """


class MediaOpener(Protocol):
    """Opens the files that are to be transcribed. Called from the loop, never blocks it."""

    async def open(self, path: Path) -> int:
        """Return a descriptor of the file itself; the caller closes it. A FIFO or a device is not touched.

        Raises:
            ProtocolError: there is no such file, it is empty, or may not be read.
        """

    def convert(self, path: Path) -> AbstractAsyncContextManager[MediaSource]:
        """Have a decoder read the file while the context is open; leaving, or cancelling, ends it at once.

        Raises:
            ProtocolError: as `open`.
            EngineError: there is no decoder.
        """
