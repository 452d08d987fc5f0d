"""Deliveries while the focus wanders: two terminals, a switch at a random moment, and what each of them got."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from support.desktop import Sink
from v2m.application.aim import Aim, Sight
from v2m.application.deliver import Deliverer
from v2m.core.di.adapters import make_clipboard, make_windows
from v2m.domain.delivery import Certainty, Deliver, Delivery, Session, Window
from v2m.domain.policy import Manner, Policy
from v2m.domain.ports import TextOutput
from v2m.infrastructure.desktop.memory import MemoryGuard

AROUND_S = 0.012  # a switch happens at most so long before or after the delivery begins
WORDS = "please move the meeting to Thursday and tell Anna about it because Größe naïve 你好 😀 don't €"
SURE = (Certainty.SENT, Certainty.CONFIRMED)


@dataclass(frozen=True, slots=True)
class Place:
    """A terminal and its window."""

    sink: Sink
    window: Window


@dataclass(slots=True)
class Round:
    """One text that was meant for the first window."""

    text: str
    switched: bool  # whether the focus was moved at all
    before: bool  # whether it had moved when the delivery was asked for
    delivery: Delivery
    right: str = ""  # what the first window got
    wrong: str = ""  # what the second one got

    @property
    def whole(self) -> bool:
        return self.right == self.text and not self.wrong

    @property
    def kept(self) -> bool:
        """Whether the user was told, and finds it on the clipboard and in the history."""
        return self.delivery.certainty in (Certainty.HELD, Certainty.UNCERTAIN)

    @property
    def overstated(self) -> bool:
        if self.delivery.certainty is Certainty.HELD:
            return bool(self.right or self.wrong)
        return self.delivery.certainty in SURE and not self.whole


@dataclass(slots=True)
class Wander:
    """The rounds of one output."""

    rounds: list[Round] = field(default_factory=list)

    @property
    def leaked_before(self) -> int:
        """Most characters in the wrong window of a text whose window had lost the focus before."""
        return max((len(one.wrong) for one in self.rounds if one.before), default=0)

    @property
    def leaked(self) -> int:
        """Most characters in the wrong window."""
        return max((len(one.wrong) for one in self.rounds), default=0)

    @property
    def lost(self) -> int:
        """Texts that are neither whole in their window nor kept for the user."""
        return sum(not (one.whole or one.kept) for one in self.rounds)

    @property
    def doubled(self) -> int:
        """Texts of which more arrived than there is."""
        return sum(len(one.right) + len(one.wrong) > len(one.text) for one in self.rounds)

    @property
    def overstated(self) -> int:
        """Deliveries that claim more, or less, than what arrived."""
        return sum(one.overstated for one in self.rounds)

    @property
    def undisturbed(self) -> tuple[int, int]:
        """How many were delivered of those whose focus stayed, and how many those are."""
        calm = [one for one in self.rounds if not one.switched]
        return sum(one.whole and one.delivery.certainty in SURE for one in calm), len(calm)


def places(desk) -> list[Place]:
    """Open two terminals."""

    async def focused() -> Window:
        windows = make_windows()
        try:
            async with asyncio.timeout(5):
                while (window := await windows.focused(Session(desk.variables))) is None:
                    await asyncio.sleep(0.01)
            return window
        finally:
            await windows.aclose()

    return [Place(desk.terminal(), asyncio.run(focused())) for _ in range(2)]


def wander(desk, output: TextOutput, terminals: Sequence[Place], rounds: int, *, seed: int = 0) -> Wander:
    """Deliver `rounds` texts to the first of two terminals; in two of three the second gets the focus meanwhile."""
    return asyncio.run(_wander(Session(desk.variables), output, terminals, rounds, random.Random(seed)))


class _Sessions:
    def __init__(self, session: Session) -> None:
        self._session = session

    async def current(self, hint):
        return self._session


async def _wander(session, output, terminals, rounds, chance) -> Wander:
    windows, watching = make_windows(), make_windows()
    sessions = _Sessions(session)
    manner = Manner(newline="space", casing="keep", trailing_space=False, refine=False, submit=False)
    aim = Aim(sessions=sessions, windows=windows, guard=MemoryGuard(), policy=Policy((), manner), when_moved="hold")
    deliverer = Deliverer(outputs=[output], clipboard=make_clipboard(), sessions=sessions, windows=windows)
    sinks = [place.sink for place in terminals]
    first, second = (place.window for place in terminals)
    found = Wander()
    try:
        for number in range(rounds):
            await _focus(watching, session, first)
            for sink in sinks:
                sink.clear()
            text = " ".join([f"{number:03d}", *chance.sample(WORDS.split(), 9)])
            switch_at = chance.uniform(-AROUND_S, AROUND_S) if number % 3 else None
            found.rounds.append(await _round(text, switch_at, session, aim, deliverer, watching, second))
            await _read(found.rounds[-1], sinks)
    finally:
        await deliverer.aclose()
        await windows.aclose()
        await watching.aclose()
    return found


async def _round(text, switch_at, session, aim, deliverer, watching, second) -> Round:
    sight = Sight()
    await aim.remember({}, sight)
    switched_at: list[float] = []

    async def switch() -> None:
        await asyncio.sleep(max(0.0, switch_at + AROUND_S))
        await watching.activate(session, second)
        switched_at.append(time.monotonic())

    async with asyncio.TaskGroup() as tasks:
        if switch_at is not None:
            tasks.create_task(switch())
            await asyncio.sleep(AROUND_S)
        aimed = await aim.take({}, Deliver.TYPE, sight=sight)
        asked_at = time.monotonic()
        if aimed.hold:
            delivery = await deliverer.hold(text, aimed.to, aimed.hold)
        else:
            delivery = await deliverer.deliver(text, Deliver.TYPE, aimed.to, aimed.manner)
    before = bool(switched_at) and switched_at[0] < asked_at
    return Round(text, switch_at is not None, before, delivery)


async def _read(one: Round, sinks: Sequence[Sink]) -> None:
    """Wait until nothing more comes: what was sent arrives within milliseconds, what was not never does."""
    if one.delivery.certainty in SURE:
        with_patience = time.monotonic() + 2.0
        while sinks[0].text() != one.text and time.monotonic() < with_patience:
            await asyncio.sleep(0.005)
    before, seen = None, ("", "")
    while seen != before:
        before = seen
        await asyncio.sleep(0.06)
        seen = (sinks[0].text(), sinks[1].text())
    one.right, one.wrong = seen


async def _focus(windows, session: Session, window: Window) -> None:
    async with asyncio.timeout(5):
        while not await windows.activate(session, window):
            await asyncio.sleep(0.01)
