"""The wrong window: 500 texts while the focus wanders at random moments, by every way of typing.

Each text is meant for one terminal; in two of three rounds another gets the focus within 12 ms of the moment
when the delivery begins.
"""

from collections.abc import Sequence

from bench._rows import Row
from support.desktop import SwayDesktop, XDesktop
from support.focus import Wander, places, wander
from v2m.domain.ports import TextOutput
from v2m.infrastructure.output.wayland.input_method import InputMethodOutput
from v2m.infrastructure.output.wayland.paste import PasteOutput
from v2m.infrastructure.output.wayland.virtual_keyboard import VirtualKeyboardOutput
from v2m.infrastructure.output.x11.paste import PasteX11Output
from v2m.infrastructure.output.x11.xtest import XtestOutput

ROUNDS = 500
BATCH = 16  # keys that may be on their way when the focus moves
MOST_UNDELIVERED = 0.05  # of those whose focus stayed
BY_KEYS = ("virtual-keyboard", "xtest")


def measure(rounds: int = ROUNDS) -> list[Row]:
    """Deliver `rounds` texts in all."""
    rows = []
    each = max(3, rounds // 5)
    for desktop, outputs in (
        (SwayDesktop, [InputMethodOutput(), PasteOutput(), VirtualKeyboardOutput()]),
        (XDesktop, [XtestOutput(), PasteX11Output()]),
    ):
        with desktop() as desk:
            rows += _on(desk, outputs, each)
    return rows


def _on(desk, outputs: Sequence[TextOutput], rounds: int) -> list[Row]:
    terminals = places(desk)
    return [row for output in outputs for row in _rows(output.name, wander(desk, output, terminals, rounds))]


def _rows(name: str, found: Wander) -> list[Row]:
    delivered, calm = found.undisturbed
    before = sum(one.before for one in found.rounds)
    most = BATCH if name in BY_KEYS else None
    title = f"focus, {name}"
    return [
        Row(f"{title}: characters in the wrong window, moved before", found.leaked_before, "", 0, f"of {before} texts"),
        Row(f"{title}: characters in the wrong window, most", found.leaked, "", most, f"of {len(found.rounds)} texts"),
        Row(f"{title}: texts lost", found.lost, "", 0),
        Row(f"{title}: texts doubled", found.doubled, "", 0),
        Row(f"{title}: deliveries that claim what is not so", found.overstated, "", 0),
        Row(
            f"{title}: not delivered though the focus stayed", 1 - delivered / calm, "", MOST_UNDELIVERED, f"of {calm}"
        ),
    ]
