"""Engines in the worker, and the worker as the daemon sees it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from v2m.domain.transcript import Hypothesis, PartialTranscript, Transcript


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
    confined: bool = False  # its process can write no file and open no socket
    exposed: str = ""  # why not, or not wholly


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

    def drop(self) -> None:
        """Cut connections that are kept, if there are any: the machine has slept, or is in another network."""

    async def aclose(self) -> None:
        """End the process; twice is fine."""
