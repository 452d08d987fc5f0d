"""The one owner of "are we recording?": start, stop, abort, toggle, pause, in the order they were asked for.

Every request takes its turn in one task, so that opening, stopping and aborting never overlap. What was
captured (`takes.py`) goes to the outbox, which transcribes and delivers in spoken order.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from v2m.application.announce import Announcer
from v2m.application.job import Job
from v2m.application.ledger import Ledger
from v2m.application.outbox import Outbox, Ticket
from v2m.application.pipeline import Pipeline
from v2m.application.recorder import Open, Recorder
from v2m.application.takes import Takes
from v2m.application.turns import Answer, Turns, Work, settle
from v2m.core.events import EventBus
from v2m.domain.delivery import Deliver
from v2m.domain.dictation import DaemonState, Wishes
from v2m.domain.errors import BusyError, StateError
from v2m.domain.events import StateChanged
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
        self._on_recording = on_recording
        self._turns = Turns()
        self._outbox = Outbox(pipeline, self.changed)
        self._group = asyncio.TaskGroup()
        self._takes = Takes(
            recorder=recorder,
            outbox=self._outbox,
            turns=self._turns,
            ledger=ledger,
            events=events,
            announcer=announcer,
            min_recording_ms=min_recording_ms,
            changed=self.changed,
            beside=self._group.create_task,
        )
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
        if self._takes.open is not None:
            return DaemonState.RECORDING
        if (stage := self._outbox.stage) is not None:
            return stage
        if self._takes.paused:
            return DaemonState.PAUSED
        return DaemonState.WARMING if self._transcriber.state == "warming" else DaemonState.IDLE

    @property
    def queue(self) -> int:
        """How many dictations are on their way."""
        return len(self._outbox)

    def is_queued(self, dictation: int) -> bool:
        """Tell whether a dictation's audio waits for the engine, or its text for its window."""
        return dictation in self._outbox

    @property
    def recording(self) -> Open | None:
        """The open recording."""
        return self._takes.open

    @property
    def paused(self) -> bool:
        """Whether new recordings are refused."""
        return self._takes.paused

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
            dictation = self._takes.open.dictation if self._takes.open else None
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
            if self._takes.open is None:
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
        await self._turns.take(lambda: self._takes.pause(on=on))

    async def suspend(self) -> None:
        """Close the open recording, its text held, and let the microphone go. Raises StateError while ending."""
        await self._turns.take(lambda: self._takes.rest(hold="The machine went to sleep."))

    async def wake(self) -> None:
        """Have the microphone made ready anew. Raises StateError while ending."""

        async def turn() -> None:
            if self._takes.open is None and not self._takes.paused:
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
        self._takes.min_recording_ms = min_recording_ms

    def _is_quiet(self) -> bool:
        return self._takes.open is None and not len(self._outbox)

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
                await self._turns.take(self._takes.rest)
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
        return self._takes.open is not None or self._outbox.abortable() is not None

    def _refuse_when_ending(self) -> None:
        if self._closed:
            raise StateError("The daemon is ending.", hint="v2m daemon start")

    def _refuse_more(self) -> None:
        self._refuse_when_ending()
        if self._outbox.full:
            raise BusyError("Too many dictations are on their way.", hint="Wait for them, or v2m abort")

    async def begin(self, hint: Mapping[str, str], asked_ns: int, wishes: Wishes) -> int:
        """Open the microphone; in turn only."""
        self._refuse_more()
        return await self._takes.begin(hint, asked_ns, wishes)

    async def end(self, hint: Mapping[str, str], deliver: Deliver, *, hold: str = "") -> Ticket | None:
        """Close the microphone and queue what was heard; in turn only. With `hold` the text is not typed by itself."""
        return await self._takes.end(hint, deliver, hold=hold)

    async def drop(self, dictation: int | None) -> int:
        """Throw a dictation away; in turn only."""
        return await self._takes.drop(dictation)
