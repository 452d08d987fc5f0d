"""While the focus wanders: the wrong window gets nothing or one batch, and no text is lost, doubled or overstated.

A sample of `scripts/bench focus`.
"""

import pytest

from support.desktop import SwayDesktop, XDesktop
from support.focus import BATCH, BY_KEYS, places, wander
from v2m.infrastructure.output.wayland.input_method import InputMethodOutput
from v2m.infrastructure.output.wayland.paste import PasteOutput
from v2m.infrastructure.output.wayland.virtual_keyboard import VirtualKeyboardOutput
from v2m.infrastructure.output.x11.paste import PasteX11Output
from v2m.infrastructure.output.x11.xtest import XtestOutput

pytestmark = [pytest.mark.desktop, pytest.mark.timeout(180)]

ROUNDS = 24
WAYLAND = [InputMethodOutput, PasteOutput, VirtualKeyboardOutput]
X11 = [XtestOutput, PasteX11Output]


@pytest.fixture(scope="module")
def sway():
    with SwayDesktop() as desk:
        yield desk, places(desk)


@pytest.fixture(scope="module")
def xvfb():
    with XDesktop() as desk:
        yield desk, places(desk)


@pytest.mark.parametrize("output_class", [*WAYLAND, *X11], ids=lambda output: output.name)
def test_the_wrong_window_gets_no_more_than_it_may(output_class, sway, xvfb):
    desk, terminals = xvfb if output_class in X11 else sway
    found = wander(desk, output_class(), terminals, ROUNDS)
    if output_class.name in BY_KEYS:
        assert found.leaked <= BATCH
    else:  # the whole text goes with one request
        assert found.leaked_before == 0
    assert (found.lost, found.doubled, found.overstated) == (0, 0, 0)
    delivered, calm = found.undisturbed
    assert delivered >= 0.95 * calm
    assert found.switched >= ROUNDS // 2
    assert found.before >= ROUNDS // 6
