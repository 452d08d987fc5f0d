"""Dictations while the focus wanders: two terminals, a switch at a random moment, and what each of them got."""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from support.chain import Chain, chained
from support.desktop import Sink
from support.exactness import focused
from v2m.core.di.adapters import make_windows
from v2m.domain.delivery import Certainty, Delivery, Session, Window
from v2m.domain.dictation import HistoryEntry, Phase
from v2m.domain.ports import TextOutput
from v2m.infrastructure._wayland.input_method import InputMethod
from v2m.infrastructure.desktop.memory import MemoryGuard
from v2m.infrastructure.output.wayland.virtual_keyboard import VirtualKeyboard
from v2m.infrastructure.output.x11.keyboard import XtestKeyboard

AROUND_S = 0.012  # a switch happens at most so long before or after the delivery begins
WORDS = "please move the meeting to Thursday and tell Anna about it because Größe naïve 你好 😀 don't €"
SURE = (Certainty.SENT, Certainty.CONFIRMED)
BATCH = 16  # keys that may be on their way when the focus moves
BY_KEYS = ("virtual-keyboard", "xtest")
REQUESTS = {  # what an output calls when the text, its first keys or the paste key go
    "input-method": (InputMethod, "commit"),
    "paste": (VirtualKeyboard, "chord"),
    "virtual-keyboard": (VirtualKeyboard, "press"),
    "xtest": (XtestKeyboard, "press"),
    "paste-x11": (XtestKeyboard, "press_chord"),
}
READERS = {
    "wayland": ("wl-paste", "--no-newline"),
    "x11": ("xclip", "-selection", "clipboard", "-out"),
}


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
    before: bool  # whether it had moved when the output's first request went, or none went at all
    delivery: Delivery
    right: str = ""  # what the first window got
    wrong: str = ""  # what the second one got
    row: HistoryEntry | None = None  # of the history, afterwards
    clipboard: str = ""  # read back by another program; only of texts that were not surely delivered
    told: bool = False  # whether the user sees a notification about it

    @property
    def whole(self) -> bool:
        return self.right == self.text and not self.wrong

    @property
    def kept(self) -> bool:
        """Whether the user was told, and finds it on the clipboard and in the history."""
        row = self.row
        in_history = row is not None and row.text == self.text and row.phase in (Phase.HELD, Phase.UNCERTAIN)
        return self.told and in_history and self.clipboard == self.text

    @property
    def overstated(self) -> bool:
        if self.row is None or self.row.certainty is not self.delivery.certainty:
            return True
        if self.delivery.certainty is Certainty.HELD:
            return bool(self.right or self.wrong)
        return self.delivery.certainty in SURE and not self.whole


@dataclass(slots=True)
class Wander:
    """The rounds of one output."""

    rounds: list[Round] = field(default_factory=list)

    @property
    def switched(self) -> int:
        """Texts during which the focus was moved."""
        return sum(one.switched for one in self.rounds)

    @property
    def before(self) -> int:
        """Texts whose window had lost the focus before anything of them went out."""
        return sum(one.before for one in self.rounds)

    @property
    def leaked_before(self) -> int:
        """Most characters in the wrong window of a text whose window had lost the focus before."""
        return max((len(one.wrong) for one in self.rounds if one.before), default=0)

    @property
    def leaked(self) -> int:
        """Most characters in the wrong window."""
        return max((len(one.wrong) for one in self.rounds), default=0)

    @property
    def misplaced(self) -> int:
        """Texts of which something is in the wrong window."""
        return sum(bool(one.wrong) for one in self.rounds)

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
    session = Session(desk.variables)
    return [Place(desk.terminal(), asyncio.run(focused(session))) for _ in range(2)]


def wander(desk, output: TextOutput, terminals: Sequence[Place], rounds: int, *, seed: int = 0) -> Wander:
    """Dictate `rounds` texts to the first of two terminals; in two of three the second gets the focus meanwhile."""
    return asyncio.run(_wander(desk, output, terminals, rounds, random.Random(seed)))


async def _wander(desk, output, terminals, rounds, chance) -> Wander:
    watching, session = make_windows(), Session(desk.variables)
    sinks = [place.sink for place in terminals]
    first, second = (place.window for place in terminals)
    found = Wander()
    try:
        async with chained(desk, output, guard=MemoryGuard()) as chain:
            for number in range(rounds):
                await _focus(watching, session, first)
                for sink in sinks:
                    sink.clear()
                text = " ".join([f"{number:03d}", *chance.sample(WORDS.split(), 9)])
                switch_at = chance.uniform(-AROUND_S, AROUND_S) if number % 3 else None
                one = await _round(text, switch_at, chain, output.name, lambda: watching.activate(session, second))
                await _read(one, sinks, desk)
                found.rounds.append(one)
    finally:
        await watching.aclose()
    return found


@contextmanager
def noted_requests(name: str) -> Iterator[list[float]]:
    """Yield the times (CLOCK_MONOTONIC) at which an output of this name makes its requests."""
    owner, request = REQUESTS[name]
    real, times = getattr(owner, request), []

    def noting(*arguments, **options):
        times.append(time.monotonic())
        return real(*arguments, **options)

    setattr(owner, request, noting)
    try:
        yield times
    finally:
        setattr(owner, request, real)


async def _round(text, switch_at, chain: Chain, name, move) -> Round:
    job = await chain.speak(text)
    switched_at: list[float] = []

    async def switch() -> None:
        await asyncio.sleep(max(0.0, switch_at + AROUND_S))
        assert await move(), "the other terminal does not get the focus"
        switched_at.append(time.monotonic())

    with noted_requests(name) as requests:
        async with asyncio.TaskGroup() as tasks:
            if switch_at is not None:
                tasks.create_task(switch())
                await asyncio.sleep(AROUND_S)
            delivery = await chain.carry(job)
    before = bool(switched_at) and (not requests or switched_at[0] < requests[0])
    row = await chain.history.get(job.dictation)
    told = delivery.certainty not in SURE and await chain.told()
    return Round(text, switch_at is not None, before, delivery, row=row, told=told)


async def _read(one: Round, sinks: Sequence[Sink], desk) -> None:
    """Wait until nothing more comes: what was sent arrives within milliseconds, what was not never does."""
    if one.delivery.certainty in SURE:
        with_patience = time.monotonic() + 2.0
        while sinks[0].text() != one.text and time.monotonic() < with_patience:
            await asyncio.sleep(0.005)
    else:
        reader = READERS["wayland" if "WAYLAND_DISPLAY" in desk.variables else "x11"]
        one.clipboard = await asyncio.to_thread(desk.run, *reader)  # we serve it meanwhile
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
