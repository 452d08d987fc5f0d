"""From a captured recording to text in a window: transcribe, apply rules, deliver, and write down each step.

Called by the one consumer of `Dictations`, one dictation at a time. What goes wrong is part of the
outcome; the audio or the text is kept in every case.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from v2m.application.announce import Announcer
from v2m.application.deliver import Deliverer
from v2m.application.ledger import Ledger
from v2m.core.events import EventBus
from v2m.domain.audio import CaptureReport, decibels
from v2m.domain.delivery import Certainty, Deliver, Delivery
from v2m.domain.dictation import DaemonState, Phase
from v2m.domain.errors import EngineError, NoSpeechError, V2mError
from v2m.domain.events import Delivered, Failed, Held, Partial, Suppressed, Transcribed
from v2m.domain.ports import Utterance
from v2m.domain.transcript import Transcript

log = logging.getLogger(__name__)

MUTED_DB = -60.0  # a room is never quieter at any gain people use; digital silence is -90 and below


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a dictation ended, for whoever waits for it."""

    dictation: int
    text: str = ""
    delivery: Delivery | None = None
    error: V2mError | None = None
    stages: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Job:
    """A recording whose microphone is closed, on its way to a window."""

    dictation: int
    utterance: Utterance
    report: CaptureReport
    deliver: Deliver
    hint: Mapping[str, str]
    stopped_ns: int  # CLOCK_MONOTONIC of the key's release, as the daemon handled it
    spool: Path | None = None  # the audio, where it is a file
    resumed: bool = False  # an earlier dictation: its row stays as it is until there is a new text
    settled: bool = False  # the engine has answered: too late to abort
    hold: str = ""  # why the text must not be typed by itself; empty: type it
    stage: DaemonState = DaemonState.TRANSCRIBING
    stages: dict[str, float] = field(default_factory=dict)


class Pipeline:
    """The steps after STOP."""

    def __init__(self, *, deliverer: Deliverer, ledger: Ledger, events: EventBus, announcer: Announcer) -> None:
        self._deliverer = deliverer
        self._ledger = ledger
        self._events = events
        self._announcer = announcer
        self._rows = asyncio.Lock()  # a row is delivered by one at a time, from `delivering` to its end

    async def carry(self, job: Job, changed: Callable[[], None]) -> Outcome:
        """Take a job to its end; `changed` is called when its stage changes.

        Cancelling (ABORT) is allowed until the stage is `delivering`, and leaves the row to the caller.
        """
        try:
            transcript = await job.utterance.finish(job.report.samples)
        except EngineError as error:
            job.settled = True
            return await self._failed(job, error)
        job.settled = True
        self._mark(job, "transcribed")
        text = self._deliverer.as_typed(transcript.text)
        if not text:
            return await self._suppressed(job, transcript)
        self._events.publish(Partial(job.dictation, transcript.text, len(transcript.text), final=True))
        self._events.publish(Transcribed(job.dictation, text))
        async with self._rows:
            delivery = await self._deliver(job, transcript, text, changed)
        log.info("%s by %s %s", delivery.certainty, delivery.method, job.stages)
        return Outcome(job.dictation, text, delivery, stages=job.stages)

    async def _deliver(self, job: Job, transcript: Transcript, text: str, changed: Callable[[], None]) -> Delivery:
        where = Deliver.COPY if job.hold else job.deliver
        await self._ledger.move(
            job.dictation, Phase.TRANSCRIBED, raw=transcript.text, text=text, engine=transcript.engine
        )
        job.stage = DaemonState.DELIVERING
        changed()
        self._mark(job, "handed_over")
        delivery = await self._hand_over(job.dictation, text, where, job.hint)
        self._mark(job, "delivered")
        await self._settle(job.dictation, where, delivery, hold=job.hold, stages=job.stages)
        return delivery

    async def broken(self, job: Job, error: Exception) -> Outcome:
        """End a job that met a programming error; text and audio stay in the history."""
        phase = Phase.UNCERTAIN if job.stage is DaemonState.DELIVERING else Phase.FAILED
        problem = V2mError("Something broke inside v2m.", hint="The log of toakd says what.")
        await self._rest(job, phase, error=problem.code, reason=type(error).__name__)
        self._events.publish(Failed(job.dictation, problem.code, str(problem)))
        self._announcer.say(str(problem), problem.hint or "", urgent=True, sound="failed")
        return Outcome(job.dictation, error=problem)

    async def again(self, dictation: int, text: str, where: Deliver, hint: Mapping[str, str]) -> Delivery:
        """Deliver the text of an earlier dictation once more."""
        async with self._rows:
            delivery = await self._hand_over(dictation, text, where, hint)
            await self._settle(dictation, where, delivery)
        return delivery

    async def _hand_over(self, dictation: int, text: str, where: Deliver, hint: Mapping[str, str]) -> Delivery:
        """Deliver; that it begins is on the disk before the first key."""
        await self._ledger.move(dictation, Phase.DELIVERING)
        return await self._deliverer.deliver(text, where, hint)

    async def _settle(
        self,
        dictation: int,
        where: Deliver,
        delivery: Delivery,
        *,
        hold: str = "",
        **changes: Any,  # noqa: ANN401
    ) -> None:
        """Write down and tell how a delivery went."""
        phase = self._phase(where, delivery, hold=hold)
        reason = "" if phase is Phase.DELIVERED else self._reason(delivery, hold)
        await self._ledger.move(
            dictation,
            phase,
            method=delivery.method,
            certainty=delivery.certainty,
            characters=delivery.characters,
            target=delivery.target,
            reason=reason,
            **changes,
        )
        self._tell(dictation, phase, delivery, reason)

    @staticmethod
    def _reason(delivery: Delivery, hold: str) -> str:
        """Say why a text was not plainly delivered, and where it is."""
        kept = "The text is kept: v2m last" if delivery.method == "none" else ""
        return " ".join(filter(None, (hold, delivery.detail, kept)))

    @staticmethod
    def _phase(where: Deliver, delivery: Delivery, *, hold: str) -> Phase:
        if hold or (where is not Deliver.NONE and delivery.certainty is Certainty.HELD):
            return Phase.HELD
        return Phase.UNCERTAIN if delivery.certainty is Certainty.UNCERTAIN else Phase.DELIVERED

    def _tell(self, dictation: int, phase: Phase, delivery: Delivery, reason: str) -> None:
        if phase is Phase.DELIVERED:
            certainty = delivery.certainty
            self._events.publish(
                Delivered(dictation, delivery.method, certainty is Certainty.CONFIRMED, certainty.value)
            )
            self._announcer.dismiss()
            return
        self._events.publish(Held(dictation, reason))
        title = "Perhaps not typed" if phase is Phase.UNCERTAIN else "Not typed"
        self._announcer.say(title, reason, urgent=True, sound="failed")

    async def _rest(self, job: Job, phase: Phase, **changes: Any) -> None:  # noqa: ANN401 - row fields
        """Bring a row to rest without a text; a dictation that was resumed keeps the row it had."""
        if not job.resumed:
            await self._ledger.move(job.dictation, phase, stages=job.stages, **changes)

    async def _failed(self, job: Job, error: EngineError) -> Outcome:
        await self._rest(job, Phase.FAILED, error=error.code, reason=str(error))
        self._events.publish(Failed(job.dictation, error.code, str(error)))
        kept = f" The recording is kept: v2m retry {job.dictation}" if job.spool else ""
        self._announcer.say("Not transcribed", f"{error}{kept}", urgent=True, sound="failed")
        return Outcome(job.dictation, error=error, stages=job.stages)

    async def _suppressed(self, job: Job, transcript: Transcript) -> Outcome:
        reason = self._silence(job, transcript)
        heard = transcript.suppressed or transcript.text
        await self._rest(job, Phase.SUPPRESSED, reason=reason, engine=transcript.engine, raw=heard)
        self._events.publish(Suppressed(job.dictation, reason))
        self._announcer.say("Nothing heard", reason, sound="failed")
        hint = f"v2m retry {job.dictation} --no-vad" if job.spool else None
        error = NoSpeechError(f"Nothing was heard: {reason}.", hint=hint)
        return Outcome(job.dictation, error=error, stages=job.stages)

    @staticmethod
    def _silence(job: Job, transcript: Transcript) -> str:
        """Say why there is no text."""
        level = decibels(job.report.peak)
        peak = "" if job.resumed else f" (peak −{abs(level):.0f} dB)"  # kept audio does not say
        if level <= MUTED_DB and peak:
            return f"peak −{abs(level):.0f} dB from {job.report.source or 'the microphone'} — muted?"
        if transcript.suppressed:
            return f"only what engines write for noise was heard{peak}"
        return f"no speech was found{peak}"

    @staticmethod
    def _mark(job: Job, stage: str) -> None:
        """Note the milliseconds since the key was released."""
        job.stages[stage] = round((time.monotonic_ns() - job.stopped_ns) / 1e6, 2)
