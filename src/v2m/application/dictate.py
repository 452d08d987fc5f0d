"""The one owner of "are we recording?": start, stop, abort, toggle, pause, in the order they were asked for.

Every request takes its turn in one task, so that opening, stopping and aborting never overlap. What was
captured goes to the outbox, which transcribes and delivers in spoken order.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Never, TypeVar

from v2m.application.announce import Announcer
from v2m.application.job import Job
from v2m.application.ledger import Ledger
from v2m.application.outbox import Outbox, Ticket
from v2m.application.pipeline import Pipeline
from v2m.application.recorder import Open, Recorder
from v2m.application.turns import Answer, Turns, Work, settle
from v2m.core.events import EventBus
from v2m.domain.delivery import Deliver
from v2m.domain.dictation import DaemonState, Phase, Wishes
from v2m.domain.errors import BusyError, CaptureError, CaptureReason, StateError, V2mError
from v2m.domain.events import Discarded, Failed, StateChanged
from v2m.domain.ports import Transcriber

T = TypeVar("T")


class Dictations:
    """Starts, stops and aborts; `run` must be running for anything to happen."""

    def __init__(
        self,
        *,
        recorder: Recorder,
        pipeline: Pipeline,
        transcriber: Transcriber,
        ledger: Ledger,
        events: EventBus,
        announcer: Announcer,
        min_recording_ms: int,
        on_recording: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._recorder = recorder
        self._transcriber = transcriber
        self._ledger = ledger
        self._events = events
        self._announcer = announcer
        self._min_recording_ms = min_recording_ms
        self._on_recording = on_recording
        self._turns = Turns()
        self._outbox = Outbox(pipeline, self.changed)
        self._group = asyncio.TaskGroup()
        self._open: Open | None = None
        self._watch: asyncio.Task[None] | None = None
        self._paused = False
        self._closed = False
        self._ended = asyncio.Event()
        self._quiet = asyncio.Event()  # nothing is under way
        self._quiet.set()
        self._shown: tuple[DaemonState, int] | None = None
        self.since = time.time()

    # --- what can be seen ---

    @property
    def state(self) -> DaemonState:
        """`recording` while the microphone is open, else what the oldest dictation is doing."""
        if self._open is not None:
            return DaemonState.RECORDING
        if (stage := self._outbox.stage) is not None:
            return stage
        if self._paused:
            return DaemonState.PAUSED
        return DaemonState.WARMING if self._transcriber.state == "warming" else DaemonState.IDLE

    @property
    def queue(self) -> int:
        """How many dictations are on their way."""
        return len(self._outbox)

    @property
    def recording(self) -> Open | None:
        """The open recording."""
        return self._open

    @property
    def paused(self) -> bool:
        """Whether new recordings are refused."""
        return self._paused

    def changed(self) -> None:
        """Publish the state unless it is what was published last."""
        if self._is_quiet():
            self._quiet.set()
        else:
            self._quiet.clear()
        now = (self.state, self.queue)
        if now != self._shown:
            self._shown = now
            self._on_recording(now[0] is DaemonState.RECORDING)
            self.since = time.time()
            dictation = self._open.dictation if self._open else None
            self._events.publish(StateChanged(now[0].value, now[1], dictation))

    # --- what can be asked ---

    async def start(self, hint: Mapping[str, str], wishes: Wishes) -> int:
        """Open the microphone; return the dictation's id.

        Raises:
            StateError: already recording, or paused.
            BusyError: too many dictations are on their way.
            CaptureError: the microphone cannot be opened.
            LanguageError: the engine cannot do the language.
        """
        asked_ns = time.monotonic_ns()
        return await self._turns.take(lambda: self.begin(hint, asked_ns, wishes))

    async def stop(self, hint: Mapping[str, str], deliver: Deliver) -> Ticket | None:
        """Close the microphone; return the ticket of the dictation, None when it was only a tap.

        Raises:
            StateError: nothing is being recorded.
            CaptureError: the microphone never gave a sample.
        """
        return await self._turns.take(lambda: self.end(hint, deliver))

    async def toggle(self, hint: Mapping[str, str], deliver: Deliver, wishes: Wishes) -> int | Ticket | None:
        """Start, and return the dictation's id; or stop, as `stop` does. Raises what either raises."""
        asked_ns = time.monotonic_ns()

        async def turn() -> int | Ticket | None:
            if self._open is None:
                return await self.begin(hint, asked_ns, replace(wishes, toggled=True))
            return await self.end(hint, deliver)

        return await self._turns.take(turn)

    async def abort(self, dictation: int | None = None) -> int:
        """Throw away the open recording, else the newest dictation that is not being typed.

        Raises:
            StateError: there is nothing to throw away.
        """
        return await self._turns.take(lambda: self.drop(dictation))

    async def pause(self, *, on: bool) -> None:
        """Refuse recordings from now on (what was heard is finished), or take them again."""
        await self._turns.take(lambda: self._pause(on=on))

    async def suspend(self) -> None:
        """Close the open recording, its text held, and let the microphone go. Raises StateError while ending."""
        await self._turns.take(lambda: self._rest(hold="The machine went to sleep."))

    async def wake(self) -> None:
        """Have the microphone made ready anew. Raises StateError while ending."""

        async def turn() -> None:
            if self._open is None and not self._paused:
                await self._recorder.renew()

        await self._turns.take(turn)

    async def between(self, work: Callable[[], None]) -> bool:
        """Do work while no dictation is under way and none begins; tell whether it was done. Raises StateError."""

        async def turn() -> bool:
            if self._is_quiet():
                work()
                return True
            return False

        return await self._turns.take(turn)

    async def quiet(self) -> None:
        """Return when no dictation is under way."""
        await self._quiet.wait()

    def use(self, *, min_recording_ms: int) -> None:
        """Take another limit; between two dictations."""
        self._min_recording_ms = min_recording_ms

    def _is_quiet(self) -> bool:
        return self._open is None and not len(self._outbox)

    def submit(self, job: Job) -> Ticket:
        """Queue audio that was recorded earlier. Raises BusyError, StateError."""
        self._refuse_more()
        ticket = self._outbox.put(job)
        self.changed()
        return ticket

    async def see_through(self, work: Work[T]) -> T:
        """Do work that must come to its end even when whoever waits for it goes away. Raises StateError once ending."""
        self._refuse_when_ending()
        result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._group.create_task(settle(result, work))
        return await result

    # --- life ---

    async def run(self) -> None:
        """Work until `aclose` has been called and everything queued is finished."""
        try:
            async with self._group:
                self._group.create_task(self._outbox.run())
                await self._turns.run()
        finally:
            self._ended.set()

    async def aclose(self, *, finish: bool = True) -> None:
        """Release the microphone, keep what was heard, and return when `run` does.

        With `finish`, what was heard is transcribed and delivered first; without, it stays in the
        history with its audio. Twice is fine.
        """
        if not self._closed:
            self._closed = True
            try:
                await self._turns.take(self._rest)
            finally:
                self._outbox.close(finish=finish)
                self._turns.close()
        try:
            await self._ended.wait()
        finally:  # who waits for the rest hears it now, and its rows are left for the next start: no engine has failed
            self._outbox.close(finish=False)
        await self._ledger.catch_up()

    # --- in turn: for the hotkey, whose rules decide when a press's turn has come ---

    def post(self, work: Work[None], answer: Answer) -> None:
        """Queue work that nobody waits for; `answer` is called with its error, or None."""
        self._turns.post(work, answer)

    def has_abortable(self) -> bool:
        """Tell whether ABORT would find something."""
        return self._open is not None or self._outbox.abortable() is not None

    def _refuse_when_ending(self) -> None:
        if self._closed:
            raise StateError("The daemon is ending.", hint="toakd")

    def _refuse_more(self) -> None:
        self._refuse_when_ending()
        if self._outbox.full:
            raise BusyError("Too many dictations are on their way.", hint="Wait for them, or v2m abort")

    async def begin(self, hint: Mapping[str, str], asked_ns: int, wishes: Wishes) -> int:
        """Open the microphone; in turn only."""
        self._refuse_more()
        if self._paused:
            raise StateError("v2m is paused.", hint="v2m resume")
        if self._open is not None:
            raise StateError("A recording is already running.", hint="v2m stop")
        opened = await self._recorder.open(wishes, hint=hint, asked_ns=asked_ns, beside=self._group.create_task)
        self._open = opened
        self._watch = self._group.create_task(self._watched(opened))
        self.changed()
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
            spoken = lost is None and held_ms >= self._min_recording_ms  # nothing more comes, or it is only a tap
            report = await self._recorder.close(opened, tail=spoken and tail)
            stages["released"] = round((time.monotonic_ns() - stopped_ns) / 1e6, 2)
            if lost is None and max(held_ms, report.seconds_since_start * 1000) < self._min_recording_ms:
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
        if self._open is None:
            raise StateError("Nothing is being recorded.", hint="v2m resume" if self._paused else "v2m start")
        if self._watch is not None:
            self._watch.cancel()
        try:
            yield self._open
        finally:
            self._open = self._watch = None
            self.changed()

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
        if self._open is not None and dictation in (None, self._open.dictation):
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

    async def _pause(self, *, on: bool) -> None:
        if on:
            await self._rest()
        else:
            await self._recorder.warm()
        self._paused = on
        self.changed()

    async def _rest(self, *, hold: str = "") -> None:
        """End the open recording at once, and let the microphone go; silence has been told by an event."""
        try:
            if self._open is not None:
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
            if self._open is opened:
                self._watch = None
                await self.end({}, Deliver.TYPE, hold=hold, lost=lost)

        self._turns.post(close, self._tell_nobody_asked)

    def _tell_nobody_asked(self, error: V2mError | None) -> None:
        if error is not None:
            self._announcer.say(str(error), error.hint or "", urgent=True, sound="failed")


def _no_audio(source: str) -> CaptureError:
    where = source or "the microphone"
    return CaptureError(f"No audio came from {where}.", reason=CaptureReason.SILENT, hint="v2m devices")
