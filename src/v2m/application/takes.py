"""The open recording, in turn only: begun, ended, thrown away; what was heard goes to the outbox."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Never

from v2m.application.announce import Announcer
from v2m.application.job import Job
from v2m.application.ledger import Ledger
from v2m.application.outbox import Outbox, Ticket
from v2m.application.recorder import Open, Recorder
from v2m.application.turns import Turns
from v2m.core.events import EventBus
from v2m.domain.delivery import Deliver
from v2m.domain.dictation import Phase, Wishes
from v2m.domain.errors import CaptureError, CaptureReason, StateError, V2mError
from v2m.domain.events import Discarded, Failed


class Takes:
    """At most one recording is open; every method is called in its turn.

    `changed` is called when it opens and closes, `beside` starts what nobody waits for.
    """

    def __init__(
        self,
        *,
        recorder: Recorder,
        outbox: Outbox,
        turns: Turns,
        ledger: Ledger,
        events: EventBus,
        announcer: Announcer,
        min_recording_ms: int,
        changed: Callable[[], None],
        beside: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self.min_recording_ms = min_recording_ms
        self.open: Open | None = None
        self.paused = False
        self._recorder = recorder
        self._outbox = outbox
        self._turns = turns
        self._ledger = ledger
        self._events = events
        self._announcer = announcer
        self._changed = changed
        self._beside = beside
        self._watch: asyncio.Task[None] | None = None

    async def begin(self, hint: Mapping[str, str], asked_ns: int, wishes: Wishes) -> int:
        """Open the microphone; in turn only."""
        if self.paused:
            raise StateError("v2m is paused.", hint="v2m resume")
        if self.open is not None:
            raise StateError("A recording is already running.", hint="v2m stop")
        opened = await self._recorder.open(wishes, hint=hint, asked_ns=asked_ns, beside=self._beside)
        self.open = opened
        self._watch = self._beside(self._watched(opened))
        self._changed()
        return opened.dictation

    async def end(
        self,
        hint: Mapping[str, str],
        deliver: Deliver,
        *,
        hold: str = "",
        lost: CaptureError | None = None,
        tail: bool = True,
    ) -> Ticket | None:
        """Close the microphone and queue what was heard; in turn only. With `hold` the text is not typed by itself.

        `tail`: a word that is being spoken may end.
        """
        stopped_ns = time.monotonic_ns()
        with self._ending() as opened:
            held_ms = opened.seconds_open * 1000
            stages = opened.stages()
            spoken = lost is None and held_ms >= self.min_recording_ms  # nothing more comes, or it is only a tap
            report = await self._recorder.close(opened, tail=spoken and tail)
            stages["released"] = round((time.monotonic_ns() - stopped_ns) / 1e6, 2)
            if lost is None and max(held_ms, report.seconds_since_start * 1000) < self.min_recording_ms:
                await self._discard(opened, Phase.DISCARDED, "tap")
                return None
            if report.samples == 0:
                await self._silent(opened, lost or _no_audio(report.source))
            self._announcer.say("Transcribing", sound="stop")
            await self._ledger.move(opened.dictation, Phase.CAPTURED, duration_s=round(report.seconds, 3))
            return self._outbox.put(
                Job(
                    opened.dictation,
                    opened.utterance,
                    report,
                    deliver,
                    hint or opened.hint,
                    stopped_ns,
                    spool=opened.spool.path,
                    hold=hold,
                    sight=opened.sight,
                    language=opened.language,
                    stages=stages,
                )
            )

    @contextmanager
    def _ending(self) -> Iterator[Open]:
        """Give the open recording to whoever ends it; it counts as open until that has been done."""
        if self.open is None:
            raise StateError("Nothing is being recorded.", hint="v2m resume" if self.paused else "v2m start")
        if self._watch is not None:
            self._watch.cancel()
        try:
            yield self.open
        finally:
            self.open = self._watch = None
            self._changed()

    async def _discard(self, opened: Open, phase: Phase, reason: str) -> None:
        await self._recorder.throw_away(opened, phase, reason)
        self._announcer.dismiss()
        self._events.publish(Discarded(opened.dictation, reason))

    async def _silent(self, opened: Open, error: CaptureError) -> Never:
        await self._recorder.throw_away(opened, Phase.FAILED, str(error), error=error.code)
        self._events.publish(Failed(opened.dictation, error.code, str(error)))
        raise error

    async def drop(self, dictation: int | None) -> int:
        """Throw a dictation away; in turn only."""
        if self.open is not None and dictation in (None, self.open.dictation):
            with self._ending() as opened:
                await self._discard(opened, Phase.ABORTED, "aborted")
                return opened.dictation
        ticket = self._outbox.abortable(dictation)
        if ticket is None:
            raise StateError("There is nothing to throw away.", hint="v2m status")
        job = ticket.job
        await self._outbox.abort(ticket, StateError("The dictation was aborted."))
        if not job.resumed:  # audio and text of an earlier dictation are what they were
            await self._recorder.forget(job.dictation, job.spool)
        self._announcer.dismiss()
        self._events.publish(Discarded(job.dictation, "aborted"))
        return job.dictation

    async def pause(self, *, on: bool) -> None:
        """Refuse recordings from now on, or take them again; in turn only."""
        if on:
            await self.rest()
        else:
            await self._recorder.warm()
        self.paused = on
        self._changed()

    async def rest(self, *, hold: str = "") -> None:
        """End the open recording at once and let the microphone go; silence has been told by an event. In turn only."""
        try:
            if self.open is not None:
                with suppress(CaptureError):
                    await self.end({}, Deliver.TYPE, hold=hold, tail=False)
        finally:
            await self._recorder.rest()

    # --- beside it ---

    async def _watched(self, opened: Open) -> None:
        """End a recording that nobody ends; what was heard is never thrown away."""
        hold, lost = "", None
        try:
            hold = await self._recorder.watch(opened)
        except CaptureError as error:
            lost = error
        if opened.spool.head and (hold or lost):
            self._announcer.say("Recording ended", hold or str(lost), urgent=True, sound="failed")

        async def close() -> None:
            if self.open is opened:
                self._watch = None
                await self.end({}, Deliver.TYPE, hold=hold, lost=lost)

        self._turns.post(close, self._tell_nobody_asked)

    def _tell_nobody_asked(self, error: V2mError | None) -> None:
        if error is not None:
            self._announcer.say(str(error), error.hint or "", urgent=True, sound="failed")


def _no_audio(source: str) -> CaptureError:
    where = source or "the microphone"
    return CaptureError(f"No audio came from {where}.", reason=CaptureReason.SILENT, hint="v2m devices")
