"""Any order of events against a model: where every word that was spoken ended, and how often it was typed.

The objects are the application's own, wired as the composition root wires them; ports are those of `orders_ports`,
the disk is real. A life ends by a crash, by SIGTERM or by being asked to; the disk and the desk go on.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from support.orders_clock import VirtualLoop
from support.orders_disk import Disk, DiskHistory, Sessions, Spools, Watch, Windows
from support.orders_outputs import Clipboard, Eraser, Output
from support.orders_ports import WORD_S, BreachError, Desk, Engine, Microphone, Mortal
from v2m.application.aim import Aim
from v2m.application.announce import Announcer
from v2m.application.deliver import Deliverer
from v2m.application.dictate import Dictations
from v2m.application.handlers import HistoryHandlers
from v2m.application.handover import Handover
from v2m.application.hotkey import Hotkey
from v2m.application.ledger import Ledger
from v2m.application.pipeline import Pipeline
from v2m.application.recorder import Limits, Recorder
from v2m.application.recover import Recovery
from v2m.application.second_thoughts import SecondThoughts
from v2m.application.sign import Sign
from v2m.application.tongue import Tongue
from v2m.core.events import EventBus
from v2m.daemon import DRAIN_S
from v2m.domain.events import Discarded
from v2m.domain.policy import Manner, Policy
from v2m.infrastructure.desktop.memory import MemoryGuard, MemoryNotifier

TAP_WORDS = 3  # fewer are a tap
LONGEST_WORDS = 100
SILENT_WORDS = 40  # after so many without speech a release was lost
# At rest within this, whatever hung: an engine is given up after `decoding.longest_decode_s`, an output after
# `deliver.patience_s`.
REST_S = 4 * 3600.0


@dataclass(frozen=True)
class Makers:
    """The classes and functions under test; a test that plants a bug replaces one."""

    ledger: Callable[..., Ledger] = Ledger
    recorder: Callable[..., Recorder] = Recorder
    pipeline: Callable[..., Pipeline] = Pipeline
    handover: Callable[..., Handover] = Handover
    deliverer: Callable[..., Deliverer] = Deliverer
    dictations: Callable[..., Dictations] = Dictations
    recovery: Callable[..., Recovery] = Recovery


def nothing(detail: str) -> None:
    """Be told of a weaker promise."""


class Events(EventBus):
    """The bus, and a list of what was thrown away."""

    def __init__(self) -> None:
        super().__init__()
        self.discarded: list[Discarded] = []

    def publish(self, event) -> None:
        if isinstance(event, Discarded):
            self.discarded.append(event)
        super().publish(event)


class Life:
    """One process."""

    def __init__(self, loop: VirtualLoop, desk: Desk, disk: Disk, makers: Makers) -> None:
        self.loop = loop
        self.tasks: list[asyncio.Task] = []
        self.events = Events()
        self.microphone, self.engine = Microphone(desk), Engine(desk)
        self.history = DiskHistory(disk.history, desk)
        self.spools = Spools(disk.spool, desk)
        self.notifier = MemoryNotifier()
        self.announcer = Announcer(self.notifier)
        sessions, windows, turn = Sessions(), Windows(desk), asyncio.Lock()
        outputs, clipboard = [Output(desk, "first"), Output(desk, "second")], Clipboard(desk, "clipboard")
        eraser = Eraser(desk)
        self.mortals: list[Mortal] = [self.microphone, self.engine, self.history, *outputs, clipboard, eraser]
        self.ledger = makers.ledger(self.history, on_trouble=nothing)
        aim = Aim(
            sessions=sessions,
            windows=windows,
            guard=MemoryGuard(),
            policy=Policy((), Manner(newline="space")),
            when_moved="hold",
        )
        self.deliverer = makers.deliverer(
            outputs=outputs,
            clipboard=clipboard,
            sessions=sessions,
            windows=windows,
            on_typing=lambda session: self.thoughts.typing(session),  # noqa: PLW0108 - made below
            on_placed=lambda placed: self.thoughts.remember(placed),  # noqa: PLW0108 - made below
            typing=turn,
        )
        told = {"ledger": self.ledger, "events": self.events, "announcer": self.announcer}
        self.handover = makers.handover(aim=aim, deliverer=self.deliverer, spools=self.spools, turn=turn, **told)
        tongue = Tongue(self.engine, language="auto", profiles={})
        recorder = makers.recorder(
            microphone=self.microphone,
            spools=self.spools,
            transcriber=self.engine,
            aim=aim,
            sign=Sign(announcer=self.announcer, events=self.events, degraded=nothing, restored=lambda: None),
            limits=Limits(LONGEST_WORDS * WORD_S, SILENT_WORDS * WORD_S, SILENT_WORDS * WORD_S, 0.5),
            tongue=tongue,
            tail_ms=0,
            private=False,
            **told,
        )
        self.dictations = makers.dictations(
            recorder=recorder,
            pipeline=makers.pipeline(handover=self.handover, **told),
            transcriber=self.engine,
            min_recording_ms=int(TAP_WORDS * WORD_S * 1000),
            **told,
        )
        self.hotkey = Hotkey(dictations=self.dictations, events=self.events, announcer=self.announcer)
        self.thoughts = SecondThoughts(
            erasers=[eraser],
            watch=Watch(),
            windows=windows,
            sessions=sessions,
            handover=self.handover,
            deliverer=self.deliverer,
            ledger=self.ledger,
            history=self.history,
            events=self.events,
            clock=loop.time,
        )
        self.handlers = HistoryHandlers(
            dictations=self.dictations,
            handover=self.handover,
            thoughts=self.thoughts,
            history=self.history,
            spools=self.spools,
            transcriber=self.engine,
            tongue=tongue,
        )
        self.recovery = makers.recovery(
            history=self.history,
            ledger=self.ledger,
            spools=self.spools,
            transcriber=self.engine,
            announcer=self.announcer,
            again=self._again,
            turn=turn,
        )

    async def _again(self, *arguments: Any, **options: Any) -> Any:
        return await self.dictations.see_through(lambda: self.handover.again(*arguments, **options))

    async def begin(self) -> None:
        """Bring to rest what the life before left, then obey."""
        await self.recovery.settle()
        jobs = (self.dictations.run, self.announcer.run, self.thoughts.run, self.ledger.run, self.recovery.run)
        self.tasks = [self.loop.create_task(job(), name=job.__qualname__) for job in jobs]

    async def drain(self, *, finish: bool) -> None:
        """As the daemon ends."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                await self.dictations.aclose(finish=finish)
                await self.announcer.aclose()
        for task in self.tasks:
            task.cancel()

    def check(self) -> None:
        """Raise BreachError when one of the jobs has broken."""
        for task in self.tasks:
            if task.done() and not task.cancelled() and task.exception() is not None:
                raise BreachError(f"{task.get_name()} broke") from task.exception()

    def end(self) -> None:
        """Nothing of it has any effect from now on."""
        for mortal in self.mortals:
            mortal.dead = True
