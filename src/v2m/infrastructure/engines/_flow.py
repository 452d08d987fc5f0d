"""One recording on its way through a streaming engine: fed as it grows, cut nowhere."""

from collections.abc import Callable
from typing import Final, Protocol

from v2m.domain.audio import SAMPLE_RATE_HZ
from v2m.domain.ports import SpeechStream
from v2m.domain.transcript import Hypothesis

_PIECE: Final = SAMPLE_RATE_HZ  # samples per `feed`: an abandoned recording is noticed in between


class Pcm(Protocol):
    """Where the samples are."""

    def pcm(self, start: int, end: int) -> bytes | memoryview:
        """Return samples as S16LE."""


class Flow:
    """What the model thread holds of a recording while it streams."""

    def __init__(self, stream: SpeechStream, audio: Pcm, start: int) -> None:
        """Take a stream to which the audio goes from sample `start` on."""
        self._stream = stream
        self._audio = audio
        self.fed = start

    @property
    def text(self) -> str:
        """What the engine has heard so far, where it tells that before the end; all of it may change."""
        return str(getattr(self._stream, "text", ""))

    def feed(self, until: int) -> None:
        """Hand over the audio up to a sample. Blocks. Raises EngineError."""
        while self.fed < until:
            end = min(until, self.fed + _PIECE)
            self._stream.feed(self._audio.pcm(self.fed, end))
            self.fed = end

    def finish(self, until: int, alive: Callable[[], None]) -> Hypothesis:
        """Hand over the rest and return the text. Blocks. Raises EngineError."""
        self.feed(until)
        return self._stream.finish(alive)

    def abandon(self) -> None:
        """Let a running `finish` return soon; called from the other thread."""
        self._stream.abandon()
