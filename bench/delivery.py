"""How long a text takes from the call to its last character in a real terminal, beside the tools that could do it."""

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench._rows import Row
from v2m.domain.delivery import Destination, Session
from v2m.domain.ports import TextOutput
from v2m.infrastructure.output.wayland.input_method import InputMethodOutput
from v2m.infrastructure.output.wayland.paste import PasteOutput
from v2m.infrastructure.output.wayland.virtual_keyboard import VirtualKeyboardOutput
from v2m.infrastructure.output.x11.xtest import XtestOutput

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from support.desktop import Sink, SwayDesktop, XDesktop

SENTENCE = "Please move the meeting to Thursday at ten, and tell Anna about it."
LONG = ((SENTENCE + " ") * 80)[:5000]
PAUSE_S = 0.1  # between two texts, as between two dictations at their closest
# Milliseconds for 67 and for 5,000 characters. The virtual keyboard does not type long texts at full speed.
BARS: dict[type[TextOutput], tuple[float, float | None]] = {
    InputMethodOutput: (10, 100),
    PasteOutput: (10, 100),
    VirtualKeyboardOutput: (25, None),
    XtestOutput: (15, 400),
}
TOOLS = {"wtype": ["wtype", "-"], "xdotool": ["xdotool", "type", "--clearmodifiers", "--file", "-"]}


def measure(rounds: int = 15) -> list[Row]:
    """Return the rows; takes two minutes, most of it for the tools' long texts."""
    rows: list[Row] = []
    with SwayDesktop() as desk:
        sink, session = desk.terminal(), Session(desk.variables)
        for output in (InputMethodOutput, PasteOutput, VirtualKeyboardOutput):
            rows += _of_output(output, session, sink, rounds)
        rows += _of_tool("wtype", session, sink, rounds)
    with XDesktop() as desk:
        sink, session = desk.terminal(), Session(desk.variables)
        rows += _of_output(XtestOutput, session, sink, rounds)
        rows += _of_tool("xdotool", session, sink, rounds)
    return rows


def _of_output(output_class: type[TextOutput], session: Session, sink: Sink, rounds: int) -> Iterator[Row]:
    short, long = BARS[output_class]
    with _running(output_class, session) as deliver:
        deliver("warm ")
        yield _row(f"{output_class.name}, 67 characters", deliver, SENTENCE, sink, rounds, short)
        if long is not None:
            yield _row(f"{output_class.name}, 5,000 characters", deliver, LONG, sink, max(3, rounds // 3), long)


def _of_tool(name: str, session: Session, sink: Sink, rounds: int) -> Iterator[Row]:
    def deliver(text: str) -> None:
        environment = {**os.environ, **session.variables}
        subprocess.run(TOOLS[name], input=text.encode(), env=environment, check=True)

    yield _row(f"{name} child, 67 characters", deliver, SENTENCE, sink, max(3, rounds // 3), None)
    yield _row(f"{name} child, 5,000 characters", deliver, LONG, sink, 1, None)


@contextmanager
def _running(output_class: type[TextOutput], session: Session) -> Iterator[Callable[[str], object]]:
    """Keep one output and its loop, as the daemon does."""
    output = output_class()
    with asyncio.Runner() as runner:
        try:
            yield lambda text: runner.run(output.deliver(text, Destination(session)))
        finally:
            runner.run(output.aclose())


def _row(name: str, deliver: Callable[[str], object], text: str, sink: Sink, rounds: int, bar: float | None) -> Row:
    taken = [_last_character_ms(deliver, text, sink) for _ in range(rounds)]
    note = f"median of {rounds}, from the call to the last character; worst {max(taken):.1f}"
    return Row(name, statistics.median(taken), "ms", bar, note)


def _last_character_ms(deliver: Callable[[str], object], text: str, sink: Sink) -> float:
    """Time one delivery; the terminal's own clock reading of its last read counts."""
    time.sleep(PAUSE_S)
    sink.clear()
    started = time.monotonic_ns()
    deliver(text)
    sink.wait_text(text, timeout_s=120)
    return (sink.events()[-1][0] - started) / 1e6
