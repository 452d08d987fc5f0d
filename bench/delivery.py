"""How long a text takes from the call to its last character in real applications, beside the tools that could do it."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench._rows import Row
from v2m.domain.delivery import Certainty
from v2m.domain.ports import TextOutput
from v2m.infrastructure.output.wayland.input_method import InputMethodOutput
from v2m.infrastructure.output.wayland.paste import PasteOutput
from v2m.infrastructure.output.wayland.virtual_keyboard import VirtualKeyboardOutput
from v2m.infrastructure.output.x11.paste import PasteX11Output
from v2m.infrastructure.output.x11.xtest import XtestOutput

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from support.desktop import Sink
from support.exactness import CONFIRMED_WITHIN_S, running, warm_up
from support.pairs import APPLICATIONS, DESKTOPS, OUTPUTS, SHOWING, opened

Deliver = Callable[[str], tuple[Certainty, int]]

SENTENCE = "Please move the meeting to Thursday at ten, and tell Anna about it."
LONG = ((SENTENCE + " ") * 80)[:5000]
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
TOOLS = {
    "wayland": ("wtype", ["wtype", "-"]),
    "x11": ("xdotool", ["xdotool", "type", "--clearmodifiers", "--file", "-"]),
}


def measure(rounds: int = 15) -> list[Row]:
    """Return the rows; takes about eight minutes, most of it for the tools' long texts."""
    rows: list[Row] = []
    lost = 0
    for kind, applications in APPLICATIONS.items():
        for application in applications:
            with DESKTOPS[kind]() as desktop:
                sink = opened(desktop, application)
                for output_class in OUTPUTS[kind]:
                    with running(output_class(), desktop) as deliver:
                        rows += _of_output(output_class, application, deliver, sink, rounds)
                rows += _of_tool(kind, application, desktop.variables, sink, rounds)
                lost += not sink.alive
    return [*rows, Row("applications lost", lost, "", 0)]


def _of_output(
    output_class: type[TextOutput], application: str, deliver: Deliver, sink: Sink, rounds: int
) -> Iterator[Row]:
    short, long = BARS[output_class]
    short = max(short, FIREFOX_BAR_MS) if application == "firefox" else short
    long = None if output_class is XtestOutput and application != "terminal" else long
    shows = output_class is PasteX11Output or (output_class is InputMethodOutput and application in SHOWING)
    warm_up(deliver, sink, confirmed=shows)
    name = f"{output_class.name}, {application}"
    in_time: list[bool] = []

    def noted(text: str) -> None:
        started = time.monotonic()
        certainty, _ = deliver(text)
        in_time.append(certainty is Certainty.CONFIRMED and time.monotonic() - started <= CONFIRMED_WITHIN_S)

    yield _row(f"{name}, 67 characters", noted, SENTENCE, sink, rounds, short)
    if shows:
        late = 100 * in_time.count(False) / len(in_time)
        yield Row(f"{name}, not confirmed within 50 ms", late, "%", MOST_UNCONFIRMED_PERCENT, f"of {len(in_time)}")
    often = 1 if long is None else max(3, rounds // 3)
    yield _row(f"{name}, 5,000 characters", noted, LONG, sink, often, long)


def _of_tool(kind: str, application: str, variables: dict[str, str], sink: Sink, rounds: int) -> Iterator[Row]:
    name, command = TOOLS[kind]

    def deliver(text: str) -> None:
        subprocess.run(command, input=text.encode(), env={**os.environ, **variables}, check=True)

    yield _row(f"{name} child, {application}, 67 characters", deliver, SENTENCE, sink, max(3, rounds // 3), None)
    if application == "terminal":
        yield _row(f"{name} child, {application}, 5,000 characters", deliver, LONG, sink, 1, None)


def _row(name: str, deliver: Callable[[str], object], text: str, sink: Sink, rounds: int, bar: float | None) -> Row:
    taken = [_last_character_ms(deliver, text, sink) for _ in range(rounds)]
    exact = [ms for ms in taken if ms is not None]
    note = f"median of {len(exact)} exact of {rounds}, call to last character"
    if len(exact) < rounds:
        return Row(f"{name}, not exact", rounds - len(exact), "", None if bar is None else 0, note)
    return Row(name, statistics.median(exact), "ms", bar, f"{note}; worst {max(exact):.1f}")


def _last_character_ms(deliver: Callable[[str], object], text: str, sink: Sink) -> float | None:
    """Time one delivery by the application's own clock reading of its last change; None: something else is there."""
    sink.clear()
    time.sleep(PAUSE_S)
    started = time.monotonic_ns()
    deliver(text)
    try:
        sink.wait_text(text, timeout_s=LONG_S)
    except AssertionError:
        return None
    return (sink.last_ns() - started) / 1e6
