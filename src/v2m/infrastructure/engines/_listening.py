"""The listening thread: obeys the daemon, lets every recording be looked at, puts what is closed on the agenda."""

import importlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Final

from v2m.domain.errors import EngineError, StorageError, UnreadableAudioError
from v2m.domain.ports import EngineCapabilities, SpeechEngine, VoiceActivityDetector
from v2m.domain.segments import SegmentRules
from v2m.domain.text.vocabulary import Vocabulary
from v2m.domain.transcript import Hypothesis, Segment
from v2m.infrastructure._spool_reader import SpoolReader
from v2m.infrastructure.engines._agenda import Agenda, Kind, Task
from v2m.infrastructure.engines._channel import Channel
from v2m.infrastructure.engines._decoder import Decoder, tell
from v2m.infrastructure.engines._listener import Audio, FileAudio, Listener
from v2m.infrastructure.engines._messages import (
    Abandon,
    Encoded,
    Error,
    Finish,
    Heard,
    Message,
    Open,
    Ready,
    Working,
)

TICK_S: Final = 0.032  # how often a growing recording is looked at: a window's length
LIVE_WINDOWS: Final = 32  # per recording and turn, about 30 ms of work
FILE_WINDOWS: Final = 8  # of one file, in a turn in which no dictation needed any
ALIVE_S: Final = 0.5  # how often, at most, the daemon hears that the work goes on

# What answers where no model is: a speech service that the daemon asks.
NO_ENGINE: Final = EngineCapabilities(name="none", languages=("*",))


class Listening:
    """All recordings, and the agenda that the model thread works off."""

    def __init__(
        self,
        channel: Channel,
        *,
        build_vad: Callable[[], VoiceActivityDetector] | None,
        rules: SegmentRules,
        names: frozenset[str] = frozenset(),
    ) -> None:
        """Take what to listen with; without `build_vad` a recording is one utterance, silent or not.

        `names` keep their capital where texts are joined.
        """
        self._channel = channel
        self._build_vad = build_vad
        self._rules = rules
        self._names = names
        self._listeners: dict[int, Listener] = {}
        self._idle_vads = [build_vad()] if build_vad else []
        self._agenda = Agenda()
        self._can: EngineCapabilities | None = None  # None until the daemon knows that the engine is loaded
        self._streaming = False
        self._alive = _Pace()  # of both threads: a message more or less does no harm
        self._reports = _Pace()

    def run(self) -> None:
        """Work until the daemon goes away. Raises EOFError then."""
        while True:
            for message, fds in self._channel.receive(self._patience_s()):
                self._obey(message, fds)
            self._look()

    def decode(self, engine: SpeechEngine, vocabulary: Vocabulary) -> None:
        """Load an engine and work off the agenda: the model thread. Raises EngineError when it cannot be loaded."""
        engine.load()
        self._ready(engine.capabilities)
        Decoder(
            engine,
            self._agenda,
            vocabulary=vocabulary,
            send=self._channel.send,
            alive=self._tell_alive,
            finish=self._finish,
        ).run()

    def do_without(self) -> None:
        """Decode nothing: recordings are cut, encoded and given an empty text."""
        _import_flac()
        self._ready(NO_ENGINE)

    def _look(self) -> None:
        """Give each dictation a turn, then, if none needs another, the recording that waits longest."""
        for listener in self._open_ones():
            if listener.live:
                self._advance(listener, LIVE_WINDOWS)
        open_ones = self._open_ones()
        if any(listener.starved for listener in open_ones):
            self._tell_alive()
        behind = [listener for listener in open_ones if listener.behind]
        if behind and not any(listener.live for listener in behind):
            self._advance(min(behind, key=lambda listener: listener.looked_at), FILE_WINDOWS)

    def _open_ones(self) -> list[Listener]:
        return [listener for listener in list(self._listeners.values()) if not listener.ended]

    def _ready(self, capabilities: EngineCapabilities) -> None:
        self._streaming = capabilities.streaming  # before the daemon hears of it and opens a recording
        self._channel.send(Ready(asdict(capabilities)))
        self._can = capabilities

    def _patience_s(self) -> float | None:
        """Return how long to wait for the daemon: nothing is looked at while nothing is open."""
        open_ones = self._open_ones()
        if any(listener.behind for listener in open_ones):
            return 0
        return TICK_S if open_ones else None

    # --- recordings begin and end ---------------------------------------------------------------------

    def _obey(self, message: Message, fds: Sequence[int]) -> None:
        if isinstance(message, Open):
            self._open(message, fds)
        elif isinstance(message, Finish | Abandon) and (listener := self._listeners.get(message.job)):
            if isinstance(message, Finish):
                listener.finish(message.samples)
            else:
                self._abandon(listener)

    def _open(self, message: Open, fds: Sequence[int]) -> None:
        try:
            if message.encoded:
                _import_flac()
            audio, file = _audio(message, fds)
            self._listeners[message.job] = Listener(
                message,
                audio,
                vad=self._take_vad() if message.vad else None,
                rules=self._rules,
                names=self._names,
                file=file,
                streaming=self._streaming,
            )
        except (EngineError, StorageError) as error:
            self._refuse(message.job, error)

    def _refuse(self, job: int, error: EngineError | StorageError) -> None:
        unreadable = isinstance(error, UnreadableAudioError)
        self._channel.send(Error(job, str(error), error.hint, unreadable=unreadable))

    def _take_vad(self) -> VoiceActivityDetector | None:
        if self._build_vad is None:
            return None
        vad = self._idle_vads.pop() if self._idle_vads else self._build_vad()
        vad.reset()
        return vad

    def _abandon(self, listener: Listener) -> None:
        listener.abandon()
        self._agenda.withdraw(listener)
        if not listener.ended:
            listener.ended = True
            self._end(listener)

    def _end(self, listener: Listener) -> None:
        """Listen no more; answer now if everything is known, else when the model thread comes to it."""
        if listener.vad is not None:
            self._idle_vads.append(listener.vad)
        if self._can is not None and self._agenda.is_settled(listener):
            self._finish(listener)
        else:
            self._agenda.put(Task(Kind.END, listener))

    def _finish(self, listener: Listener) -> None:
        """Answer; called by either thread, once."""
        if not listener.abandoned:
            self._channel.send(listener.result())
        del self._listeners[listener.job]
        listener.close()

    # --- recordings go on -----------------------------------------------------------------------------

    def _advance(self, listener: Listener, windows: int) -> None:
        """Look at more of a recording; pass on what that closes."""
        before, started = listener.position, time.perf_counter()
        try:
            segments = listener.advance(windows)
        except EngineError as error:
            self._refuse(listener.job, error)
            self._abandon(listener)
            return
        listener.looked_at = started
        listener.vad_ms += (time.perf_counter() - started) * 1000
        for segment in segments:
            self._close(listener, segment)
        if listener.position > before:
            self._report(listener)
        if listener.behind:
            self._tell_alive()
        if listener.ended:
            self._end(listener)
        elif listener.streaming:
            self._feed(listener)
        elif self._can is not None and not self._can.network:
            self._speculate(listener)

    def _close(self, listener: Listener, segment: Segment) -> None:
        """Pass a closed segment on: encoded to the daemon, and to the model unless it is known already."""
        if listener.opening.encoded:
            self._encode(listener, segment)
        if self._can is NO_ENGINE:
            listener.note(segment, Hypothesis(""))
            return
        known = listener.take_guess(segment) if self._agenda.is_settled(listener) else None
        if known is None:
            self._agenda.put(Task(Kind.SEGMENT, listener, segment))
        else:
            listener.note(segment, known)
            tell(listener, self._channel.send)

    def _encode(self, listener: Listener, segment: Segment) -> None:
        from v2m.infrastructure.engines import _flac

        flac = _flac.encode(listener.audio.pcm(segment.start, segment.end))
        self._channel.send(Encoded(listener.job, segment.start, segment.end, segment.continues, *segment.key, flac))

    def _speculate(self, listener: Listener) -> None:
        """Have the open stretch decoded if it may have ended and the model has nothing else to do."""
        if listener.is_outdated():
            self._agenda.retract(listener)
            listener.guessed_at = None
        elif (segment := listener.tentative()) is not None:
            listener.guessed_at = segment.key
            if not self._agenda.offer(Task(Kind.GUESS, listener, segment)):
                listener.guessed_at = None

    def _feed(self, listener: Listener) -> None:
        """Hand an engine that streams what has come, once there is a word in it."""
        if not listener.feeding and (listener.flow is not None or listener.begun is not None):
            listener.feeding = True
            self._agenda.put(Task(Kind.FEED, listener))

    def _report(self, listener: Listener) -> None:
        """Tell how far a recording was looked at: of a dictation each time, of a file now and then."""
        if listener.live or self._reports.is_due():
            self._channel.send(Heard(listener.job, listener.position, listener.speech_until, listener.speaking))

    def _tell_alive(self) -> None:
        """Give a sign of life, unless there was one just now; a slow machine is not a hanging process."""
        if self._alive.is_due():
            self._channel.send(Working())


class _Pace:
    """Lets something happen every ALIVE_S, at most."""

    def __init__(self) -> None:
        self._last = -math.inf  # CLOCK_MONOTONIC

    def is_due(self) -> bool:
        """Tell whether it is time; if so, it was now."""
        now = time.monotonic()
        due = now - self._last >= ALIVE_S
        if due:
            self._last = now
        return due


def _import_flac() -> None:
    """Load the encoder now and not when the key is released: its libraries take 0.15 s."""
    importlib.import_module("v2m.infrastructure.engines._flac")


def _audio(message: Open, fds: Sequence[int]) -> tuple[Audio, FileAudio | None]:
    """Open what came with a message. Raises EngineError, StorageError."""
    if not message.file:
        return SpoolReader(*fds), None
    from v2m.infrastructure.engines._audio_file import open_file

    file = open_file(*fds)
    return file, file
