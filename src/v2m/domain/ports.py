"""What v2m needs from the world, as the application sees it.

Each docstring says who calls it, where it runs, whether it may block, what cancelling does and which
errors come out. Adapters conform by shape (`typing.Protocol`); mypy proves it where the composition
root returns them.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from v2m.domain.audio import CaptureReport, Device, SpoolFlag
from v2m.domain.dictation import Delivery, HistoryEntry, Phase
from v2m.domain.transcript import Hypothesis, PartialTranscript, Transcript

# --- audio ------------------------------------------------------------------------------------------


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
        when the disk is full.
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
        """Return a spool for a recording that starts now."""

    def open_reader(self, path: Path) -> tuple[int, ...]:
        """Open kept audio for the worker; return read-only descriptors, as `Spool.reader_fds` does.

        Raises:
            StorageError: it is gone or is not a spool.
        """

    def samples(self, path: Path) -> int:
        """Return how many samples kept audio holds. Raises StorageError as `open_reader`."""

    def orphans(self, known: set[str]) -> list[tuple[Path, int, int]]:
        """Return (path, samples, wall-clock start in ns) of each spool whose path is not in `known`."""

    def delete(self, path: Path) -> None:
        """Remove kept audio; nothing happens if it is gone. Raises StorageError when it cannot be removed."""


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


# --- speech -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EngineCapabilities:
    """What an engine can do, so that nobody asks for its class."""

    name: str
    languages: tuple[str, ...]  # BCP 47 primary tags; ("*",) is any
    streaming: bool = False
    hotwords: bool = False
    prompt: bool = False
    network: bool = False
    gpu: bool = False
    notice: str = ""  # one sentence about a weaker choice (no CUDA: CPU …); may change with a decode


class SpeechStream(Protocol):
    """One utterance inside the worker; the engine itself stays stateless.

    The stream of a `streaming` engine decodes in `feed`, which then blocks, and may have a property `text`:
    what it has heard so far.
    """

    def feed(self, pcm: bytes | memoryview) -> None:
        """Take S16LE mono 16 kHz."""

    def finish(self, alive: Callable[[], None] = ...) -> Hypothesis:
        """Decode what was fed; `alive` is called with each step of progress, as often as there are any.

        Blocks. Raises EngineError.
        """

    def abandon(self) -> None:
        """Make a running `finish` return soon, with whatever text; called from the other thread."""


class SpeechEngine(Protocol):
    """A recogniser inside the worker process; called by its model thread, blocks as long as it decodes."""

    @property
    def capabilities(self) -> EngineCapabilities:
        """What it can do; asked for again after each decode."""

    def load(self) -> None:
        """Bring the model into memory and decode once. Raises ModelMissingError, EngineError."""

    def open_stream(self, language: str) -> SpeechStream:
        """Begin an utterance; `language` is a tag the capabilities name, or "auto"."""


class VoiceActivityDetector(Protocol):
    """Tells speech from the rest; called by the worker, one per recording."""

    def probability(self, window: bytes | memoryview) -> float:
        """Return how likely exactly 512 samples (32 ms, S16LE) hold speech, 0…1; keeps state."""

    def reset(self) -> None:
        """Forget the previous recording."""


@dataclass(frozen=True, slots=True)
class TranscribeOptions:
    """How one recording is to be decoded."""

    language: str = "auto"
    vad: bool = True  # False: decode the whole recording, whatever the VAD thinks
    file: bool = False  # True: the descriptor is a WAV or FLAC file of any rate, not a spool
    live: bool = True  # False, and every file: it makes way for whoever speaks


class Utterance(Protocol):
    """One recording on its way through the worker."""

    @property
    def speech_until(self) -> int:
        """Sample up to which the VAD has heard speech so far; 0 before the first. Follows the recording."""

    @property
    def speaking(self) -> bool:
        """Whether a word was being spoken when the VAD last looked, at most 50 ms ago."""

    async def quiet(self) -> None:
        """Return at the VAD's first verdict that no word is being spoken. Cancelling is harmless."""

    async def finish(self, samples: int) -> Transcript:
        """Decode up to `samples` and return the text; empty text means no speech.

        Survives the worker's death: it is started again and decodes the same audio once more.
        Cancelling drops the answer (the worker abandons the decode at its next token).

        Raises:
            EngineError: WorkerDiedError after two deaths; ModelMissingError; or what the engine said.
        """

    async def abandon(self) -> None:
        """Forget it: no decode is begun, a running one is dropped. Twice is fine."""


class Transcriber(Protocol):
    """The speech side as the daemon sees it: another process that maps spools read-only.

    Called from the loop, never blocks it.
    """

    @property
    def state(self) -> str:
        """`warming`, `ready`, `unloaded` or `failed`."""

    @property
    def loads(self) -> int:
        """How often a model was loaded."""

    @property
    def capabilities(self) -> EngineCapabilities | None:
        """None while the engine loads."""

    @property
    def detail(self) -> str:
        """Why it failed, in one sentence; else empty."""

    def open(
        self,
        dictation: int,
        audio_fds: Sequence[int],
        options: TranscribeOptions,
        on_partial: Callable[[PartialTranscript], None] | None = None,
    ) -> Utterance:
        """Announce a recording, by what `Spool.reader_fds` returned or by a file's descriptor.

        Takes the descriptors over and closes them. Accepted while warming. `on_partial` is called on the
        loop with what has been heard so far, each time there is more.
        """

    async def run(self) -> None:
        """Look after the process until `aclose`; the daemon awaits it beside everything else."""

    async def wait_ready(self) -> None:
        """Return when the model is loaded. Raises EngineError when it cannot be."""

    async def aclose(self) -> None:
        """End the process; twice is fine."""


# --- text -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Session:
    """The desktop that is live now, as variables for a typing tool."""

    variables: Mapping[str, str] = field(default_factory=dict)
    origin: str = "none"  # client, user manager, daemon, runtime directory, none

    @property
    def wayland(self) -> str | None:
        """Path of the Wayland socket, absolute."""
        return self.variables.get("WAYLAND_DISPLAY")

    @property
    def x11(self) -> str | None:
        """The X display."""
        return self.variables.get("DISPLAY")


class SessionEnvironment(Protocol):
    """Finds the desktop session at delivery time; a compositor that was restarted is followed."""

    async def current(self, hint: Mapping[str, str]) -> Session:
        """Return the first candidate whose sockets answer; never raises.

        In order: the hint (the client's variables), the user manager's environment, this process's
        own, the sockets in the runtime directory.
        """


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether an output can be used in a session, and why."""

    usable: bool
    reason: str  # one sentence, also when it is usable


class TextOutput(Protocol):
    """One way to bring text into the focused window (or to the clipboard).

    Called by the one consumer task, one text at a time. Works in threads or children when it would
    block; every wait has a deadline. The text has been filtered already (`domain.text.typed`).
    """

    name: str
    burst_limit: int | None  # characters at full speed; longer texts go to an output without a limit first

    async def probe(self, session: Session) -> Availability:
        """Say whether `deliver` can work in this session; touches no window and types nothing."""

    async def deliver(self, text: str, session: Session) -> Delivery:
        """Bring the text there.

        Cancelling stops between batches.

        Raises:
            OutputError: with `delivered`: how many characters went out, None when unknown.
        """

    async def aclose(self) -> None:
        """Release connections; twice is fine."""


class Notifier(Protocol):
    """Tells the user; never waited for by a dictation, never raises."""

    async def show(self, title: str, body: str = "", *, urgent: bool = False, sound: str = "") -> None:
        """Replace v2m's one notification; `sound` is `start`, `stop` or `failed`."""

    async def dismiss(self) -> None:
        """Take the notification away, if the settings want that."""

    async def aclose(self) -> None:
        """Close the bus connection; twice is fine."""


class History(Protocol):
    """Every dictation, from the moment its recording starts.

    Called from the loop; the work happens in one writer thread. `HistoryError` is raised by reads and
    by `begin`/`move` alike; the application turns it into `degraded: history`, never into a lost text.
    """

    def next_id(self) -> int:
        """Return the id of the next dictation; never the same twice, also after a restart. No I/O."""

    async def begin(self, entry: HistoryEntry) -> None:
        """Insert the row of a recording that has started."""

    async def move(self, dictation: int, phase: Phase, **changes: Any) -> None:  # noqa: ANN401 - row fields
        """Set the phase and other fields of HistoryEntry.

        Moving to DELIVERING returns only when the row is on the disk (synchronous=FULL).
        """

    async def get(self, dictation: int | None = None) -> HistoryEntry | None:
        """Return a row, or the newest one that has text."""

    async def entries(
        self, *, limit: int = 20, grep: str = "", before: int | None = None, with_text: bool = False
    ) -> Sequence[HistoryEntry]:
        """Return rows, newest first; `grep` is searched for in what was heard and typed."""

    async def unfinished(self) -> Sequence[HistoryEntry]:
        """Return rows whose phase is not final: what a crash left."""

    async def spools(self) -> set[str]:
        """Return the paths of all kept audio."""

    async def expired_audio(self, now_ns: int) -> Sequence[HistoryEntry]:
        """Return rows whose audio has been kept long enough."""

    async def forget_audio(self, dictation: int) -> None:
        """Note that the audio of a row is gone."""

    async def expire_rows(self, now_ns: int) -> int:
        """Delete rows older than the retention; never more than a fifth of all in one go. Return how many."""

    async def aclose(self) -> None:
        """Write what is pending and close; twice is fine."""
