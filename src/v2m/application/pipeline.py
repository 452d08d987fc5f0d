"""From a captured recording to text in a window: transcribe, apply rules, deliver, and write down each step.

Called by the one consumer of `Dictations`, one dictation at a time. What goes wrong is part of the
outcome; the audio or the text is kept in every case.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from v2m.application.aim import Aimed
from v2m.application.announce import Announcer
from v2m.application.decoding import decoded
from v2m.application.handover import Handover, refusal
from v2m.application.job import Job, Outcome
from v2m.application.ledger import Ledger
from v2m.core.events import EventBus
from v2m.domain.audio import MUTED_DB, decibels
from v2m.domain.delivery import Deliver
from v2m.domain.dictation import DaemonState, Phase
from v2m.domain.errors import EngineError, NoSpeechError, V2mError
from v2m.domain.events import Failed, Partial, Suppressed, Transcribed
from v2m.domain.policy import worded
from v2m.domain.text.typed import typeable
from v2m.domain.transcript import Transcript

log = logging.getLogger(__name__)


class Pipeline:
    """The steps after STOP."""

    def __init__(self, *, handover: Handover, ledger: Ledger, events: EventBus, announcer: Announcer) -> None:
        self._handover = handover
        self._ledger = ledger
        self._events = events
        self._announcer = announcer

    async def carry(self, job: Job, changed: Callable[[], None]) -> Outcome:
        """Take a job to its end; `changed` is called when its stage changes.

        Cancelling (ABORT) is allowed until the stage is `delivering`, and leaves the row to the caller.
        """
        try:
            transcript = await decoded(job.utterance, job.report.samples, dictation=job.dictation)
        except EngineError as error:
            job.settled = True
            return await self._failed(job, error)
        job.settled = True
        self._mark(job, "transcribed")
        async with self._handover.turn:
            aimed = await self._aimed(job, transcript)
            if aimed.secret:
                return await self._forgotten(job, aimed.secret, written=False)
            text = worded(transcript.text, aimed.manner)
            if not text:
                return await self._suppressed(job, transcript)
            return await self._deliver(job, transcript, text, aimed, changed)

    async def _aimed(self, job: Job, transcript: Transcript) -> Aimed:
        """Find the window, before anything of the text goes anywhere; without words it is only looked at."""
        where = Deliver.COPY if job.deliver is Deliver.TYPE and not typeable(transcript.text) else job.deliver
        language = transcript.language or ("" if job.language == "auto" else job.language)
        aimed = await self._handover.aim.take(job.hint, where, sight=job.sight, held=bool(job.hold), language=language)
        return replace(aimed, hold=" ".join(filter(None, (job.hold, aimed.hold))))

    async def _deliver(
        self, job: Job, transcript: Transcript, text: str, aimed: Aimed, changed: Callable[[], None]
    ) -> Outcome:
        self._events.publish(Partial(job.dictation, transcript.text, len(transcript.text), final=True))
        self._events.publish(Transcribed(job.dictation, text))
        await self._ledger.move(
            job.dictation, Phase.TRANSCRIBED, raw=transcript.text, text=text, engine=transcript.engine
        )
        if not aimed.hold:
            job.stage = DaemonState.DELIVERING
            changed()
        self._mark(job, "handed_over")
        delivery = await self._handover.bring(job.dictation, text, job.deliver, aimed)
        self._mark(job, "delivered")
        if delivery.secret and not job.resumed:
            return await self._forgotten(job, delivery.detail, written=True)
        await self._handover.settle(job.dictation, job.deliver, delivery, stages=job.stages)
        log.info("%s by %s %s", delivery.certainty, delivery.method, job.stages)
        return Outcome(job.dictation, text, delivery, stages=job.stages)

    async def _forgotten(self, job: Job, reason: str, *, written: bool) -> Outcome:
        """End a dictation that was meant for a secret; an earlier one, decoded again, stays as it was."""
        if not job.resumed:
            await self._handover.forget(job.dictation, job.spool, reason, written=written)
        return Outcome(job.dictation, error=refusal(reason), stages=job.stages)

    async def broken(self, job: Job, error: Exception) -> Outcome:
        """End a job that met a programming error; text and audio stay in the history."""
        phase = Phase.UNCERTAIN if job.stage is DaemonState.DELIVERING else Phase.FAILED
        problem = V2mError("Something broke inside v2m.", hint="The log of toakd says what.")
        await self._rest(job, phase, error=problem.code, reason=type(error).__name__)
        self._events.publish(Failed(job.dictation, problem.code, str(problem)))
        self._announcer.say(str(problem), problem.hint or "", urgent=True, sound="failed")
        return Outcome(job.dictation, error=problem)

    async def _rest(self, job: Job, phase: Phase, **changes: Any) -> None:  # noqa: ANN401 - row fields
        """Bring a row to rest without a text; a dictation that was resumed keeps the row it had."""
        log.info("%s %s", phase.value, job.stages)
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
