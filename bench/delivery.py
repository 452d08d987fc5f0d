"""How long a text takes from the engine's answer to its last character in real applications, beside the usual tools.

Each output is measured twice: alone, from the call, and in its place behind the rest of the daemon, from the final
text on: where the text goes, whether that is a secret place, the probe, what the history keeps on the disk.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench._rows import Row
from v2m.domain.delivery import Certainty, Destination, Session
from v2m.domain.ports import TextOutput
from v2m.infrastructure.output.wayland.input_method import InputMethodOutput
from v2m.infrastructure.output.wayland.paste import PasteOutput
from v2m.infrastructure.output.wayland.virtual_keyboard import VirtualKeyboardOutput
from v2m.infrastructure.output.x11.paste import PasteX11Output
from v2m.infrastructure.output.x11.xtest import XtestOutput
from v2m.local.window.window import FOCUS_S, own_window

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from support.chain import dictating
from support.desktop import Sink
from support.exactness import CONFIRMED_WITHIN_S, focused, running, warm_up
from support.pairs import APPLICATIONS, DESKTOPS, OUTPUTS, confirms, fitting, opened

Deliver = Callable[[str], tuple[Certainty, int]]
Prepare = Callable[[str], object]

SENTENCE = "Please move the meeting to Thursday at ten, and tell Anna about it."
LONG = ((SENTENCE + " ") * 80)[:4999] + "."
PAUSE_S = 0.3  # between two texts; a paste waits 0.2 s until the clipboard of the one before is given back
LONG_S = 120  # what the tools need for a long text, and a toolkit for so many keys
# Milliseconds for 67 and for 5,000 characters. How fast a toolkit shows a long text of keys is its own matter: such
# texts are pasted.
BARS: dict[type[TextOutput], tuple[float, float | None]] = {
    InputMethodOutput: (10, 100),
    PasteOutput: (10, 100),
    VirtualKeyboardOutput: (25, None),
    XtestOutput: (15, 400),
    PasteX11Output: (10, 100),
}
FIREFOX_BAR_MS = 20  # instead of 10
MOST_UNCONFIRMED_PERCENT = 1
READ_BACK = {"wayland": InputMethodOutput, "x11": PasteX11Output}  # what confirms texts in our own window
READ_BACK_TEXTS = 100
READ_BACK_PAUSE_S = 0.1
READ_S = 5.0
TOOLS = {
    "wayland": ("wtype", ["wtype", "-"]),
    "x11": ("xdotool", ["xdotool", "type", "--clearmodifiers", "--file", "-"]),
}


def measure(rounds: int = 15) -> list[Row]:
    """Return the rows; takes about six minutes."""
    rows: list[Row] = []
    lost = 0
    for kind, applications in APPLICATIONS.items():
        rows.append(read_back(kind, READ_BACK_TEXTS))
        for application in applications:
            found, alive = of_application(kind, application, rounds)
            rows += found
            lost += not alive
    return [*rows, Row("applications lost", lost, "", 0)]


def of_application(kind: str, application: str, rounds: int) -> tuple[list[Row], bool]:
    """Return the rows of one application, and whether it is still alive."""
    rows: list[Row] = []
    with DESKTOPS[kind]() as desktop:
        sink = opened(desktop, application)
        for output_class in OUTPUTS[kind]:
            with running(output_class(), desktop) as deliver:
                rows += _of_output(output_class, application, deliver, sink, rounds)
            with dictating(output_class(), desktop) as (prepare, deliver):
                rows += _of_daemon(output_class, application, prepare, deliver, sink, rounds)
        rows += _of_tool(kind, application, desktop.variables, sink, rounds)
        return rows, sink.alive


def read_back(kind: str, texts: int) -> Row:
    """Return how many texts our own window does not confirm in time: the one of `v2m outputs --check` and doctor."""
    with DESKTOPS[kind]() as desktop:
        late = asyncio.run(_read_back(Session(desktop.variables), READ_BACK[kind](), texts))
    name = f"{READ_BACK[kind].name}, read-back window on {kind}, not confirmed within 50 ms"
    return Row(name, 100 * late / texts, "%", MOST_UNCONFIRMED_PERCENT, f"of {texts}")


async def _read_back(session: Session, output: TextOutput, texts: int) -> int:
    """Return how many of the texts were not confirmed in time, or did not arrive exactly."""
    late = 0
    async with own_window(session) as page:
        if not await page.focused(FOCUS_S):
            raise RuntimeError("the window does not get the focus")
        to = Destination(session, await focused(session))
        try:
            for number in range(-1, texts):  # the first one finds everything still closed
                page.clear()
                await asyncio.sleep(READ_BACK_PAUSE_S)
                started = time.monotonic()
                delivery = await output.deliver(SENTENCE, to)
                in_time = time.monotonic() - started <= CONFIRMED_WITHIN_S
                exact = await page.reads(SENTENCE, READ_S) == SENTENCE
                late += number >= 0 and not (in_time and exact and delivery.certainty is Certainty.CONFIRMED)
        finally:
            await output.aclose()
    return late


def _of_output(
    output_class: type[TextOutput], application: str, deliver: Deliver, sink: Sink, rounds: int
) -> Iterator[Row]:
    short, long = _bars(output_class, application)
    shows = confirms(output_class, application)
    warm_up(deliver, sink, confirmed=shows)
    name = f"{output_class.name}, {application}"
    in_time: list[bool] = []

    def noted(text: str) -> None:
        started = time.monotonic()
        certainty, _ = deliver(text)
        in_time.append(certainty is Certainty.CONFIRMED and time.monotonic() - started <= CONFIRMED_WITHIN_S)

    yield _row(f"{name}, 67 characters, output alone", noted, SENTENCE, sink, rounds, short)
    if shows:
        late = 100 * in_time.count(False) / len(in_time)
        yield Row(f"{name}, not confirmed within 50 ms", late, "%", MOST_UNCONFIRMED_PERCENT, f"of {len(in_time)}")
    if fitting(output_class, application, LONG) != LONG:
        return
    if long is not None or application == "terminal":
        often = 1 if long is None else max(3, rounds // 3)
        yield _row(f"{name}, 5,000 characters, output alone", noted, LONG, sink, often, long)


def _of_daemon(
    output_class: type[TextOutput], application: str, prepare: Prepare, deliver: Deliver, sink: Sink, rounds: int
) -> Iterator[Row]:
    short, long = _bars(output_class, application)
    name = f"{output_class.name}, {application}"
    yield _row(f"{name}, 67 characters", deliver, SENTENCE, sink, rounds, short, prepare)
    if long is not None and fitting(output_class, application, LONG) == LONG:
        yield _row(f"{name}, 5,000 characters", deliver, LONG, sink, max(3, rounds // 3), long, prepare)


def _bars(output_class: type[TextOutput], application: str) -> tuple[float, float | None]:
    short, long = BARS[output_class]
    short = max(short, FIREFOX_BAR_MS) if application == "firefox" else short
    return short, None if output_class is XtestOutput and application != "terminal" else long


def _of_tool(kind: str, application: str, variables: dict[str, str], sink: Sink, rounds: int) -> Iterator[Row]:
    name, command = TOOLS[kind]

    def deliver(text: str) -> None:
        subprocess.run(command, input=text.encode(), env={**os.environ, **variables}, check=True)

    yield _row(f"{name} child, {application}, 67 characters", deliver, SENTENCE, sink, max(3, rounds // 3), None)
    if application == "terminal":
        yield _row(f"{name} child, {application}, 5,000 characters", deliver, LONG, sink, 1, None)


def _row(
    name: str,
    deliver: Callable[[str], object],
    text: str,
    sink: Sink,
    rounds: int,
    bar: float | None,
    prepare: Prepare | None = None,
) -> Row:
    taken = [_last_character_ms(deliver, text, sink, prepare) for _ in range(rounds)]
    exact = [ms for ms in taken if ms is not None]
    note = f"median of {len(exact)} exact of {rounds}, {'final text' if prepare else 'call'} to last character"
    if len(exact) < rounds:
        return Row(f"{name}, not exact", rounds - len(exact), "", None if bar is None else 0, note)
    return Row(name, statistics.median(exact), "ms", bar, f"{note}; worst {max(exact):.1f}")


def _last_character_ms(
    deliver: Callable[[str], object], text: str, sink: Sink, prepare: Prepare | None
) -> float | None:
    """Time one delivery by the application's own clock reading of its last change; None: something else is there."""
    sink.clear()
    time.sleep(PAUSE_S)
    if prepare is not None:
        prepare(text)
    started = time.monotonic_ns()
    deliver(text)
    try:
        sink.wait_text(text, timeout_s=LONG_S)
    except AssertionError:
        return None
    return (sink.last_ns() - started) / 1e6
