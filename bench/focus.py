"""The wrong window: 500 dictations whose focus is moved away at random moments, by every way of typing.

Each text is meant for one terminal; in two of three rounds another gets the focus within 12 ms of the moment
when the delivery begins.
"""

import math
from collections.abc import Sequence

from bench._rows import Row
from support.desktop import SwayDesktop, XDesktop
from support.focus import BATCH, BY_KEYS, Wander, places, wander
from v2m.infrastructure.output.wayland.input_method import InputMethodOutput
from v2m.infrastructure.output.wayland.paste import PasteOutput
from v2m.infrastructure.output.wayland.virtual_keyboard import VirtualKeyboardOutput
from v2m.infrastructure.output.x11.paste import PasteX11Output
from v2m.infrastructure.output.x11.xtest import XtestOutput

SWITCHES = 500
OUTPUTS = {
    SwayDesktop: (InputMethodOutput, PasteOutput, VirtualKeyboardOutput),
    XDesktop: (XtestOutput, PasteX11Output),
}
MOST_UNDELIVERED = 0.05  # of those whose focus stayed


def texts_for(switches: int) -> int:
    """Return how many texts each output gets, so that the focus is moved during at least so many in all."""
    each = math.ceil(switches / sum(map(len, OUTPUTS.values())))
    return 3 * math.ceil(each / 2)


def measure(rounds: int = SWITCHES) -> list[Row]:
    """Move the focus during at least `rounds` texts. Takes about five minutes."""
    found: dict[str, Wander] = {}
    for desktop, outputs in OUTPUTS.items():
        with desktop() as desk:
            terminals = places(desk)
            found |= {one.name: wander(desk, one(), terminals, texts_for(rounds)) for one in outputs}
    return rows_of(found, rounds)


def rows_of(found: dict[str, Wander], switches: int) -> list[Row]:
    """Return the rows of these outputs."""
    moved = sum(one.switched for one in found.values())
    few = Row("focus: switches fewer than wanted", max(0, switches - moved), "", 0, f"{moved} in all")
    return [few, *(row for name, one in found.items() for row in _rows(name, one))]


def _rows(name: str, found: Wander) -> Sequence[Row]:
    delivered, calm = found.undisturbed
    by_keys = name in BY_KEYS
    title = f"focus, {name}"
    wrong = f"{title}: characters in the wrong window"
    return [
        Row(f"{wrong}, moved before", found.leaked_before, "", BATCH if by_keys else 0, f"of {found.before} texts"),
        Row(f"{wrong}, most", found.leaked, "", BATCH if by_keys else None, f"in {found.misplaced} texts"),
        Row(f"{title}: texts lost", found.lost, "", 0, f"of {len(found.rounds)}; clipboard and history read back"),
        Row(f"{title}: texts doubled", found.doubled, "", 0),
        Row(f"{title}: deliveries that claim what is not so", found.overstated, "", 0),
        Row(
            f"{title}: not delivered though the focus stayed", 1 - delivered / calm, "", MOST_UNDELIVERED, f"of {calm}"
        ),
    ]
