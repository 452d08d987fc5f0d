"""Everything between the engine's answer and a window: the application's own parts around one output."""

import asyncio
import tempfile
import time
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from v2m.application.aim import Aim, Sight
from v2m.application.announce import Announcer
from v2m.application.deliver import Deliverer
from v2m.application.handover import Handover
from v2m.application.job import Job
from v2m.application.ledger import Ledger
from v2m.application.pipeline import Pipeline
from v2m.core.di.adapters import make_clipboard, make_guard, make_windows
from v2m.core.events import EventBus
from v2m.domain.audio import CaptureReport
from v2m.domain.delivery import Certainty, Deliver, Session
from v2m.domain.dictation import HistoryEntry, Phase
from v2m.domain.policy import Manner, Policy
from v2m.domain.transcript import Transcript
from v2m.infrastructure.desktop.memory import MemoryNotifier
from v2m.infrastructure.history.sqlite import SqliteHistory

AS_IT_IS = Manner(newline="space", casing="keep", trailing_space=False, refine=False, submit=False)


class Said:
    """An utterance whose text is there at once."""

    def __init__(self, text):
        self._text = text

    async def finish(self, samples):
        return Transcript(self._text, "said")


class _Sessions:
    def __init__(self, session):
        self._session = session

    async def current(self, hint):
        return self._session


class Chain:
    """One output between the pipeline and a desktop; the history is a file, as the daemon's is."""

    def __init__(self, session, output, history, *, guard=None):
        self.history, self.notifier = history, MemoryNotifier()
        self._windows, sessions, events = make_windows(), _Sessions(session), EventBus()
        self.announcer = Announcer(self.notifier)
        self._aim = Aim(
            sessions=sessions,
            windows=self._windows,
            guard=guard or make_guard(),
            policy=Policy((), AS_IT_IS),
            when_moved="hold",
        )
        self._deliverer = Deliverer(
            outputs=[output], clipboard=make_clipboard(), sessions=sessions, windows=self._windows
        )
        ledger = Ledger(history, on_trouble=_fail)
        handover = Handover(
            aim=self._aim,
            deliverer=self._deliverer,
            ledger=ledger,
            events=events,
            announcer=self.announcer,
            spools=None,
            turn=asyncio.Lock(),
        )
        self._pipeline = Pipeline(handover=handover, ledger=ledger, events=events, announcer=self.announcer)

    async def speak(self, text):
        """Do what START and STOP do: look at the window, begin the row; return the dictation on its way."""
        self.notifier.shown.clear()
        number, sight = self.history.next_id(), Sight()
        await self.history.begin(HistoryEntry(number, time.time_ns(), Phase.RECORDING))
        await self._aim.remember({}, sight)
        await self.history.move(number, Phase.CAPTURED, duration_s=1.0)
        report, stopped_ns = CaptureReport(16000), time.monotonic_ns()
        return Job(number, Said(text), report, Deliver.TYPE, hint={}, stopped_ns=stopped_ns, sight=sight)

    async def carry(self, job):
        """Bring it to its end, from the text on; return the delivery."""
        outcome = await self._pipeline.carry(job, lambda: None)
        assert outcome.error is None, outcome.error
        return outcome.delivery

    async def told(self):
        """Return whether a notification has come up since the dictation began; waits a second for one."""
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                while not self.notifier.shown:
                    await asyncio.sleep(0.001)
        return bool(self.notifier.shown)

    async def aclose(self):
        await self._deliverer.aclose()
        await self._windows.aclose()
        await self.history.aclose()


def _fail(trouble):
    raise AssertionError(trouble)


@asynccontextmanager
async def chained(desktop, output, **options):
    """Yield the chain of one output on a desktop; closing it closes the output."""
    with tempfile.TemporaryDirectory(prefix="v2m-history-") as folder:
        file = Path(folder, "history.db")
        history = SqliteHistory(file, retention_days=1, keep_audio_s=0, keep_trouble_audio_s=0)
        await history.open()
        chain = Chain(Session(desktop.variables), output, history, **options)
        telling = asyncio.create_task(chain.announcer.run())
        try:
            yield chain
        finally:
            await chain.announcer.aclose()
            await telling
            await chain.aclose()


@contextmanager
def dictating(output, desktop):
    """Keep one output and its loop, as the daemon does; yields what prepares a dictation and what carries it out."""
    with asyncio.Runner() as runner:
        manager = chained(desktop, output)
        chain = runner.run(manager.__aenter__())
        jobs: list[Job] = []

        def deliver(_text) -> tuple[Certainty, int]:
            delivery = runner.run(chain.carry(jobs.pop()))
            return delivery.certainty, delivery.characters

        try:
            yield lambda text: jobs.append(runner.run(chain.speak(text))), deliver
        finally:
            runner.run(manager.__aexit__(None, None, None))
