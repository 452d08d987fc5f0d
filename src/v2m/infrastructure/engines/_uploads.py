"""One recording on its way through a speech service: its stretches are sent as they are closed, or at its end."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from v2m.domain.audio import SAMPLE_RATE_HZ
from v2m.domain.errors import EngineError, EngineReason, EngineUnavailableError
from v2m.domain.ports import TranscribeOptions, Utterance
from v2m.domain.transcript import Hypothesis, PartialTranscript, Passage, Segment, Transcript
from v2m.infrastructure.engines._notes import Notes

log = logging.getLogger(__name__)

UPLOAD_S: Final = 8.0  # a shorter stretch waits for the key: services bill 10 s at least, and hear less in less
MAX_WAITING: Final = 3  # short stretches; what is left to do at key-up has a bound

Task = asyncio.Task[None]


@dataclass(frozen=True, slots=True)
class Uploading:
    """What recordings of one service have in common."""

    transcribe: Callable[[bytes, str, float | None], Awaitable[Hypothesis]]  # FLAC, language, deadline
    running: Callable[[], Awaitable[object]]  # returns when `spawn` works, or never will again
    spawn: Callable[[Coroutine[Any, Any, None]], Task | None]
    room: asyncio.Semaphore  # how many uploads at once
    timeout_s: float  # from the end of a dictation to its text
    early: bool  # whether stretches are sent while somebody speaks
    engine: str
    names: frozenset[str]  # that keep their capital
    over: Callable[["UploadedUtterance", str | None], None]  # with what was wrong with the service, None: not known


@dataclass(slots=True, eq=False)
class _Part:
    """One stretch of the recording."""

    segment: Segment
    flac: bytes
    task: Task | None = None  # the last upload of it
    early: bool = False  # that was begun while somebody spoke: another try is due
    heard: Hypothesis | None = None
    error: Exception | None = None
    took_ms: float = 0.0

    @property
    def length_s(self) -> float:
        return (self.segment.end - self.segment.start) / SAMPLE_RATE_HZ


class UploadedUtterance:
    """One recording; its audio goes from the listening process to the service and is written nowhere.

    With a `floor` it is decoded on this machine as well, for the case that the service gives no text.
    """

    def __init__(
        self,
        plan: Uploading,
        options: TranscribeOptions,
        *,
        floor: Utterance | None = None,
        on_partial: Callable[[PartialTranscript], None] | None = None,
    ) -> None:
        self._plan = plan
        self._language = options.language
        self._live = options.live and not options.file
        self._floor = floor
        self._on_partial = on_partial
        self._ears: Utterance | None = None
        self._parts: list[_Part] = []
        self._notes = Notes(vad=options.vad, names=plan.names)
        self._noted = 0  # parts, in order
        self._length_s: float | None = None  # of a file
        self._deadline: float | None = None  # CLOCK_MONOTONIC
        self._ended = not self._live  # nobody speaks any more
        self._gone = False
        self._changed = asyncio.Event()
        self._listened: Transcript | Exception | None = None  # all parts are known
        self._floored: Transcript | Exception | None = None
        self._tasks: list[Task] = []

    # --- while it is recorded ---------------------------------------------------------------------------

    def listen(self, ears: Utterance) -> None:
        """Take this recording at the listening process."""
        self._ears = ears

    def progressed(self, partial: PartialTranscript) -> None:
        """Take note of what the listening process knows; its text is nobody's."""
        self._length_s = partial.length_s

    def encoded(self, segment: Segment, flac: bytes) -> None:
        """Take a closed stretch; send it if it is long enough, or if nobody speaks any more."""
        part = _Part(segment, flac)
        self._parts.append(part)
        if self._ended:
            self._send(part)
        elif self._plan.early:
            waiting = [part for part in self._parts if part.task is None]
            if part.length_s >= UPLOAD_S:
                self._send(part, early=True)
            elif len(waiting) > MAX_WAITING:
                self._send(waiting[0], early=True)

    @property
    def speech_until(self) -> int:
        """Sample up to which there is speech so far."""
        return self._ears.speech_until if self._ears else 0

    @property
    def speaking(self) -> bool:
        """Whether a word was being spoken at the last look."""
        return self._ears is not None and self._ears.speaking

    async def quiet(self) -> None:
        """Return when no word is being spoken."""
        if self._ears is not None:
            await self._ears.quiet()

    # --- its end ----------------------------------------------------------------------------------------

    async def finish(self, samples: int) -> Transcript:
        """Return the service's text, else the floor's; a dictation has `timeout_s` for that.

        Cancelling closes the connections and lets go of the recording everywhere.

        Raises:
            EngineError: EngineUnavailableError with the reason; or what the listening process said.
        """
        assert self._ears is not None
        self._ended = True
        if self._live:
            self._deadline = time.monotonic() + self._plan.timeout_s
        trouble: str | None = None
        try:
            await self._plan.running()
            if self._gone or not self._begin(self._listen_to_the_end(self._ears, samples)):
                return await self._ears.finish(samples)  # which says that it is over
            if self._floor is not None:
                self._begin(self._ask_the_floor(self._floor, samples))
            try:
                transcript = await self._served()
            except EngineError as error:
                trouble = self._trouble_of(error)
                return await self._from_the_floor(error)
            trouble = ""
            return transcript
        finally:
            await self._let_go()
            self._plan.over(self, trouble)

    async def abandon(self) -> None:
        """Send no more and forget it; a `finish` that waits raises EngineError. Twice is fine."""
        await self._let_go()
        self._plan.over(self, None)

    async def _served(self) -> Transcript:
        """Wait for the service's texts. Raises EngineError, at the deadline at the latest."""
        try:
            async with asyncio.timeout_at(self._deadline):
                for part in self._parts:
                    if part.task is None:
                        self._send(part)
                while not self._complete():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise EngineUnavailableError(
                f"{self._plan.engine} gave no text in {self._plan.timeout_s:.0f} s.",
                reason=EngineReason.TIMEOUT,
                hint="transcription.openai.timeout_s allows more; v2m retry asks again.",
            ) from None
        assert isinstance(self._listened, Transcript)
        return self._transcript(self._listened)

    def _complete(self) -> bool:
        """Tell whether every part has its text; one that failed early is tried again. Raises what is final."""
        if self._gone:
            raise EngineError("The recording was abandoned.")
        if isinstance(self._listened, Exception):
            raise self._listened
        for part in self._parts:
            if part.error is not None and not part.early:
                raise part.error
            if part.error is not None:
                self._send(part)
        return self._listened is not None and all(part.heard is not None for part in self._parts)

    async def _from_the_floor(self, error: EngineError) -> Transcript:
        """Return what was decoded on this machine, if it is there in time. Raises the error."""
        if self._floor is not None and not self._gone:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._deadline):
                    while self._floored is None:
                        self._changed.clear()
                        await self._changed.wait()
        if not isinstance(self._floored, Transcript):
            raise error
        log.warning("%s The text is of %s.", error, self._floored.engine)
        return self._floored

    def _trouble_of(self, error: EngineError) -> str | None:
        """Return what the error says about the service; None for a recording that nobody wants."""
        return None if self._gone else str(error)

    def _transcript(self, listened: Transcript) -> Transcript:
        text, suppressed = self._notes.whole()
        return replace(
            listened,
            text=text,
            engine=self._plan.engine,
            confidence=self._notes.confidence,
            decode_ms=sum(part.took_ms for part in self._parts),
            segments=len(self._parts),
            passages=tuple(Passage(*each) for each in self._notes.passages),
            suppressed=suppressed,
            language=self._notes.language,
        )

    # --- what runs beside -------------------------------------------------------------------------------

    def _begin(self, work: Coroutine[Any, Any, None]) -> Task | None:
        task = self._plan.spawn(work)
        if task is not None:
            self._tasks.append(task)
        return task

    def _send(self, part: _Part, *, early: bool = False) -> None:
        part.error = None
        part.early = early
        part.task = self._begin(self._upload(part))

    async def _upload(self, part: _Part) -> None:
        try:
            async with self._plan.room:
                started = time.monotonic()
                part.heard = await self._plan.transcribe(part.flac, self._language, self._deadline)
                part.took_ms = (time.monotonic() - started) * 1000
            part.flac = b""
            self._note()
        except Exception as error:  # noqa: BLE001 - raised again by `finish`, in the dictation it belongs to
            part.error = error
        self._changed.set()

    def _note(self) -> None:
        """Take down the texts that are there without a gap, and tell them."""
        before = self._noted
        for part in self._parts[before:]:
            if part.heard is None:
                break
            self._notes.add(part.segment, part.heard)
            self._noted += 1
        if self._noted > before and self._on_partial is not None:
            text, stable, passages = self._notes.partial()
            heard_s = self._parts[self._noted - 1].segment.end / SAMPLE_RATE_HZ
            told = tuple(Passage(*each) for each in passages)
            self._on_partial(PartialTranscript(text, stable, heard_s, told, self._length_s))

    async def _listen_to_the_end(self, ears: Utterance, samples: int) -> None:
        try:
            self._listened = await ears.finish(samples)
        except Exception as error:  # noqa: BLE001 - raised again by `finish`
            self._listened = error
        self._changed.set()

    async def _ask_the_floor(self, floor: Utterance, samples: int) -> None:
        try:
            self._floored = await floor.finish(samples)
        except EngineError as error:
            self._floored = error
        self._changed.set()

    async def _let_go(self) -> None:
        """Cancel what runs for it: connections are closed with whatever they have not sent."""
        self._gone = True
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        self._parts.clear()
        self._changed.set()
        for utterance in (self._ears, self._floor):
            if utterance is not None:
                await utterance.abandon()
