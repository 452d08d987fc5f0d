"""What fields of real toolkits say about themselves, and what the ledger makes of it."""

import asyncio

import pytest

from support.desktop import SwayDesktop
from support.exactness import running, warm_up
from v2m.domain.delivery import Certainty, Destination, Session, Window
from v2m.domain.errors import OutputError, OutputReason
from v2m.infrastructure.output.wayland.input_method import InputMethodOutput

pytestmark = [pytest.mark.desktop, pytest.mark.timeout(180)]

TWO_WINDOWFULS = "ein Wörtchen nach dem andern, " * 400  # 12,400 bytes; a field shows about 4,000

BUSY_TRIES = 5  # a browser that has just started shows late what stands in its field


@pytest.fixture
def sway():
    with SwayDesktop() as desk:
        yield desk


@pytest.fixture(scope="module", params=["gtk", "firefox"])
def field(request):
    """A field that shows its text, and the desktop it is in."""
    with SwayDesktop() as desk, running(InputMethodOutput(), desk) as deliver:
        sink = desk.target(request.param)
        warm_up(deliver, sink, confirmed=True)
        yield sink, deliver


def test_a_text_of_several_commits_is_confirmed_part_by_part(field):
    sink, deliver = field
    sink.clear()
    certainty, characters = deliver(TWO_WINDOWFULS)
    assert sink.wait_text(TWO_WINDOWFULS)
    assert (certainty, characters) == (Certainty.CONFIRMED, len(TWO_WINDOWFULS))


def test_a_text_behind_the_same_text_is_confirmed_when_it_stands_there_twice(field):
    sink, deliver = field
    sink.clear()
    assert deliver("again ") == (Certainty.CONFIRMED, 6)
    assert deliver("again ") == (Certainty.CONFIRMED, 6)
    sink.wait_text("again again ")


def test_a_text_in_the_middle_of_a_long_one_is_confirmed(field):
    sink, deliver = field
    before, after = "links von hier " * 400, " rechts von hier" * 400
    sink.set(before + after, anchor=len(before), cursor=len(before))
    deliver("x")  # the field has shown itself once since
    certainty, _ = deliver("mitten")
    assert sink.wait_text(before + "xmitten" + after)
    assert certainty is Certainty.CONFIRMED


@pytest.mark.parametrize(("anchor", "cursor"), [(4, 9), (9, 4)], ids=["forwards", "backwards"])
def test_a_text_replaces_the_selection_and_certainty_is_not_overstated(field, anchor, cursor):
    sink, deliver = field
    sink.set("one hello two", anchor=anchor, cursor=cursor)
    certainty, _ = deliver("hello")
    assert sink.wait_text("one hello two")
    assert certainty is not Certainty.HELD


@pytest.mark.parametrize(
    ("target", "kind", "text", "held"),
    [
        ("gtk", "limited", "longer than ten", "longer tha"),
        ("firefox", "limited", "longer than ten", "longer tha"),
        ("firefox", "shouting", "loud", "LOUD"),
    ],
)
def test_a_field_that_changes_the_text_confirms_nothing(sway, target, kind, text, held):
    sink = sway.target(target, kind)
    with running(InputMethodOutput(), sway) as deliver:
        certainty, _ = deliver(text)
        assert sink.wait_text(held)
        again, _ = deliver(text)
    assert Certainty.CONFIRMED not in (certainty, again)


def _refusal(desk, text, window=None):
    """Return the error with which the output refuses."""

    async def scenario():
        with pytest.raises(OutputError) as caught:
            await InputMethodOutput().deliver(text, Destination(Session(desk.variables), window))
        return caught.value

    return asyncio.run(scenario())


@pytest.mark.parametrize("target", ["gtk", "qt"])
def test_nothing_is_typed_into_a_password_field(sway, target):
    sink = sway.target(target, "password")
    error = _refusal(sway, "hunter2")
    assert (error.reason, error.delivered) == (OutputReason.SECRET_FIELD, 0)
    assert sink.text() == ""


def test_a_password_field_that_does_not_say_so_is_known_by_its_dots(sway):
    sink = sway.target("firefox", "password")
    with running(InputMethodOutput(), sway) as deliver:
        told = [deliver("hunter2")]
        sink.wait_text("hunter2")
        while told[-1][0] is not Certainty.HELD and len(told) < BUSY_TRIES:
            told.append(deliver("hunter2"))
    assert told[-1] == (Certainty.HELD, 0)
    assert Certainty.CONFIRMED not in [certainty for certainty, _ in told]
    error = _refusal(sway, "hunter3")
    assert (error.reason, error.delivered) == (OutputReason.SECRET_FIELD, 0)
    assert "hunter3" not in sink.text()


def test_a_window_that_is_not_the_wanted_one_gets_nothing(sway):
    first, second = sway.target("gtk", "text"), sway.target("gtk", "entry")
    for window in (Window("sway:1", app="foot"), Window("sway:1", app="gtk.py", title="v2m target text")):
        error = _refusal(sway, "hello", window)
        assert (error.reason, error.delivered) == (OutputReason.REFUSED, 0)
    assert first.text() == second.text() == ""
