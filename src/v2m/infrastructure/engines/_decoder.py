"""The model thread: does what the agenda says with one engine, and tells the daemon what came of it."""

import time
from collections.abc import Callable
from dataclasses import asdict

from v2m.domain.audio import SAMPLE_RATE_HZ
from v2m.domain.errors import EngineError
from v2m.domain.ports import SpeechEngine
from v2m.domain.text.believable import believe
from v2m.domain.text.vocabulary import Vocabulary, corrected
from v2m.domain.transcript import Hypothesis, Segment
from v2m.infrastructure.engines._agenda import Agenda, Kind, Task
from v2m.infrastructure.engines._flow import Flow
from v2m.infrastructure.engines._listener import Guess, Listener, utterance
from v2m.infrastructure.engines._messages import Able, Error, Message, Partial, Working

Send = Callable[[Message], None]


class Decoder:
    """Works for ever, one task at a time."""

    def __init__(
        self,
        engine: SpeechEngine,
        agenda: Agenda,
        *,
        vocabulary: Vocabulary,
        send: Send,
        alive: Callable[[], None],
        finish: Callable[[Listener], None],
    ) -> None:
        """Take a loaded engine; its text is corrected by the vocabulary where it cannot favour words itself.

        `alive` is called with each sign of progress, `finish` when a recording is over.
        """
        self._engine = engine
        self._agenda = agenda
        self._vocabulary = vocabulary
        self._send = send
        self._alive = alive
        self._finish = finish
        self._can = engine.capabilities

    def run(self) -> None:
        """Do what the agenda says."""
        while True:
            task = self._agenda.take()
            try:
                self._do(task)
            except EngineError as error:
                task.listener.abandon()
                self._agenda.withdraw(task.listener)
                self._send(Error(task.listener.job, str(error), error.hint))
            finally:
                self._agenda.done()

    def _do(self, task: Task) -> None:
        listener = task.listener
        if task.kind is Kind.END:
            self._finish(listener)
            return
        if listener.abandoned:
            return
        match task.kind:
            case Kind.FEED:
                self._feed(listener)
            case Kind.GUESS:
                self._guess(task)
            case Kind.SEGMENT if listener.streaming:
                self._end_flow(task)
            case Kind.SEGMENT:
                self._decode(task)
        self._send(Working())
        if self._engine.capabilities != self._can:
            self._can = self._engine.capabilities
            self._send(Able(asdict(self._can)))

    def _decode(self, task: Task) -> None:
        """Note the text of a closed segment, unless it is dropped meanwhile."""
        listener, segment = task.listener, _segment(task)
        heard = listener.take_guess(segment)
        took_ms = 0.0
        if heard is None:
            heard, took_ms = self._hear(task)
        if self._agenda.keep(task):
            listener.decode_ms += took_ms
            listener.note(segment, heard)
            tell(listener, self._send)

    def _guess(self, task: Task) -> None:
        """Keep the text of an open stretch, for the case that nothing more is said in it."""
        listener, segment = task.listener, _segment(task)
        heard, took_ms = self._hear(task)
        if self._agenda.keep(task):
            listener.guess = Guess(segment, heard, took_ms)
            tell(listener, self._send, heard, segment)

    def _hear(self, task: Task) -> tuple[Hypothesis, float]:
        """Decode a segment; return its text and the milliseconds it took. Nonsense when the task was dropped."""
        started, segment = time.perf_counter(), _segment(task)
        stream = self._engine.open_stream(task.listener.opening.language)
        if not self._agenda.begin(task, stream):
            return Hypothesis(""), 0.0
        stream.feed(utterance(task.listener.audio, segment))
        heard = self._corrected(stream.finish(self._alive))
        return heard, (time.perf_counter() - started) * 1000

    def _corrected(self, heard: Hypothesis) -> Hypothesis:
        return heard if self._can.hotwords else corrected(heard, self._vocabulary)

    # --- an engine that streams -----------------------------------------------------------------------

    def _feed(self, listener: Listener) -> None:
        listener.feeding = False  # first: what comes from now on is fed by the next task
        begun = listener.begun
        if listener.flow is None:
            if begun is None:
                return
            listener.flow = self._open_flow(listener, begun)
        started, before = time.perf_counter(), listener.flow.text
        listener.flow.feed(listener.position)
        listener.decode_ms += (time.perf_counter() - started) * 1000
        if (text := listener.flow.text) != before:
            tell(listener, self._send, Hypothesis(text))

    def _end_flow(self, task: Task) -> None:
        listener, segment = task.listener, _segment(task)
        started = time.perf_counter()
        flow = listener.flow or self._open_flow(listener, segment.start)
        heard = self._corrected(flow.finish(segment.end, self._alive))
        listener.flow = None
        listener.decode_ms += (time.perf_counter() - started) * 1000
        listener.note(segment, heard)
        tell(listener, self._send)

    def _open_flow(self, listener: Listener, start: int) -> Flow:
        return Flow(self._engine.open_stream(listener.opening.language), listener.audio, start)


def tell(listener: Listener, send: Send, more: Hypothesis | None = None, segment: Segment | None = None) -> None:
    """Send the text so far to whoever asked for it; `more` is what the open stretch sounds like."""
    if not listener.opening.partials or listener.abandoned:
        return
    shown, continues = "", False
    if more is not None and segment is not None:
        continues = segment.continues
        speech_s = (segment.speech_end - segment.speech_start) / SAMPLE_RATE_HZ
        shown = believe(more.text, confidence=more.confidence, speech_s=speech_s).text
    elif more is not None:
        shown = more.text
    text, stable, passages = listener.notes.partial(shown, continues=continues)
    send(Partial(listener.job, text, stable, listener.heard_s, passages, listener.length_s))


def _segment(task: Task) -> Segment:
    assert task.segment is not None
    return task.segment
