"""Whether what an output was given is what an application holds, and whether the ledger says no more than that."""

import asyncio
import time
from contextlib import contextmanager
from dataclasses import dataclass, field

from v2m.core.di.adapters import make_windows
from v2m.domain.delivery import Certainty, Destination, Session
from v2m.domain.errors import OutputError

CONFIRMED_WITHIN_S = 0.050


@dataclass
class Report:
    """What became of some texts."""

    texts: int = 0
    wrong: list[tuple[str, str]] = field(default_factory=list)  # given, held
    overstated: list[str] = field(default_factory=list)
    confirmed: int = 0
    in_time: int = 0  # confirmed within 50 ms
    last_character_ms: list[float] = field(default_factory=list)

    @property
    def exact(self):
        return self.texts - len(self.wrong)


@contextmanager
def running(output, desktop):
    """Keep one output and its loop, as the daemon does; yields the function that delivers a text.

    Every text is for the window that has the focus when the first one is delivered.
    """
    session, aimed = Session(desktop.variables), []
    with asyncio.Runner() as runner:

        def deliver(text):
            if not aimed:
                aimed.append(Destination(session, runner.run(focused(session))))
            return runner.run(_ledger(output, text, aimed[0]))

        try:
            yield deliver
        finally:
            runner.run(output.aclose())


async def focused(session):
    """Return the window that has the focus, once there is one."""
    windows = make_windows()
    try:
        async with asyncio.timeout(5):
            while (window := await windows.focused(session)) is None:
                await asyncio.sleep(0.01)
        return window
    finally:
        await windows.aclose()


def check(deliver, sink, texts, *, patience_s=10.0):
    """Deliver each text into the empty field and compare."""
    report = Report()
    for text in texts:
        if not sink.alive:  # whoever compares counts fewer texts
            break
        sink.clear()
        started = time.monotonic_ns()
        certainty, characters = deliver(text)
        taken_s = (time.monotonic_ns() - started) / 1e9
        held = _held(sink, text, patience_s)
        report.texts += 1
        if held == text:
            report.last_character_ms.append((sink.last_ns() - started) / 1e6)
        else:
            report.wrong.append((text, held))
        if certainty is Certainty.CONFIRMED:
            report.confirmed += 1
            report.in_time += taken_s <= CONFIRMED_WITHIN_S
        if fault := overstated(text, held, certainty, characters):
            report.overstated.append(fault)
    return report


def overstated(text, held, certainty, characters):
    """Say what is wrong with the ledger, empty when nothing is: it may promise less than there is, never more."""
    if certainty is Certainty.CONFIRMED and held != text:
        return f"confirmed, but it holds {held[:100]!r} instead of {text[:100]!r}"
    if certainty is Certainty.HELD and (held or characters):
        return f"held, but it holds {held[:100]!r}"
    if characters > len(text) or len(held) > len(text):
        return f"{characters} characters of {len(text)} told, {len(held)} there"
    return ""


async def _ledger(output, text, to):
    """Return what the ledger says: certainty and characters; an error with nothing typed is `held`."""
    try:
        delivery = await output.deliver(text, to)
    except OutputError as error:
        return (Certainty.HELD, 0) if error.delivered == 0 else (Certainty.UNCERTAIN, 0)
    return delivery.certainty, delivery.characters


def _held(sink, text, patience_s):
    try:
        return sink.wait_text(text, patience_s)
    except AssertionError:
        return sink.text()


def warm_up(deliver, sink, *, confirmed=False, tries=50):
    """Deliver until the application keeps up: one that has just started is busy with itself."""
    enough = {Certainty.CONFIRMED} if confirmed else {Certainty.CONFIRMED, Certainty.SENT}
    for _ in range(tries):
        sink.clear()
        certainty, _ = deliver("warm")
        if _held(sink, "warm", 1.0) == "warm" and certainty in enough:
            return
    raise AssertionError("the application does not keep up")
