"""Erasers against applications that count, answer and behave as real ones were seen to, or worse."""

import asyncio

import pytest

from support.compositor import GLOBALS, ScriptedCompositor
from v2m.domain.delivery import Certainty, Delivery, Destination, Session
from v2m.domain.errors import OutputError, OutputReason
from v2m.domain.ports import AtBest, Availability
from v2m.infrastructure._wayland.wire import string, uints
from v2m.infrastructure.output.erasers.input_method import InputMethodEraser
from v2m.infrastructure.output.erasers.keys import LONGEST, KeyEraser

pytestmark = pytest.mark.unit

METHOD = "zwp_input_method_v2"


class Application:
    """A field in a scripted compositor; `counts`: what it takes lengths for; `tells`: what it says by itself."""

    def __init__(self, compositor, text, *, counts="bytes", tells=True, selected=0, **state):
        self.compositor, self.text, self.counts, self.tells = compositor, text, counts, tells
        self.selected, self.state = selected, state
        compositor.on(METHOD, "made", lambda method, _: self.enter(method))
        compositor.on(METHOD, 2, self.deleting)
        compositor.on(METHOD, 3, self.committed)
        self.wanted = 0

    def enter(self, method):
        self.compositor.event(method, 0)
        if self.text:
            self.say(method)
        self.compositor.event(method, 4, uints(0, self.state.get("purpose", 0)))
        self.compositor.event(method, 5)

    def say(self, method):
        at = len(self.text.encode())
        self.compositor.event(method, 2, string(self.text) + uints(at, at - self.selected))

    def deleting(self, method, arguments):
        self.wanted = arguments.uint()

    def committed(self, method, arguments):
        if self.counts == "bytes":
            self.text = self.text.encode()[: -self.wanted].decode()
        elif self.counts == "characters":
            self.text = self.text[: -self.wanted]
        elif self.counts == "wrongly":
            self.text = self.text[:-1]
        if self.tells:
            self.say(method)
            self.compositor.event(method, 5)


def erase(text, stands, **behaviour):
    """Erase `text` where `stands` is what the field holds; return how that went, and what it holds then."""
    offers = behaviour.pop("offers", GLOBALS)

    async def main():
        async with ScriptedCompositor(offers=offers) as compositor:
            application = Application(compositor, stands, **behaviour)
            eraser = InputMethodEraser()
            to = Destination(Session({"WAYLAND_DISPLAY": compositor.path}))
            try:
                outcome = await eraser.erase(text, to)
            except OutputError as error:
                outcome = error
            await eraser.aclose()
            return outcome, application.text

    return asyncio.run(main())


@pytest.mark.parametrize("tells", [True, False], ids=["tells", "tells a new one only"])
@pytest.mark.parametrize("counts", ["bytes", "characters"])
@pytest.mark.parametrize("text", ["hello", "naïve café.", "日本語 and 😀 here, 3 €!", "x" * 3000])
def test_the_text_goes_and_what_stood_before_it_stays(text, counts, tells):
    delivery, left = erase(text, "Dear Ännä, " + text, counts=counts, tells=tells)
    assert left == "Dear Ännä, "
    assert (delivery.certainty, delivery.characters) == (Certainty.CONFIRMED, len(text))


def test_an_emptied_field_that_shows_nothing_is_not_confirmed():
    delivery, left = erase("hello", "hello", tells=False)
    assert (delivery.certainty, left) == (Certainty.SENT, "")


@pytest.mark.parametrize(
    ("stands", "behaviour", "reason"),
    {
        "something else": ("hello!", {}, OutputReason.REFUSED),
        "only its end": ("lo", {}, OutputReason.REFUSED),
        "a selection": ("hello", {"selected": 2}, OutputReason.REFUSED),
        "a password": ("hello", {"purpose": 8}, OutputReason.SECRET_FIELD),
        "nothing": ("", {}, OutputReason.UNSEEN),
    }.values(),
    ids=["something else", "only its end", "a selection", "a password", "nothing"],
)
def test_nothing_is_removed_where_something_else_is_seen(stands, behaviour, reason):
    error, left = erase("hello", stands, **behaviour)
    assert (error.delivered, error.reason, left) == (0, reason, stands)


def test_a_window_that_shows_only_the_end_of_a_long_text_is_left_to_others():
    error, left = erase("a long one. " * 300, ("a long one. " * 300)[-2000:])
    assert (error.delivered, error.reason, len(left)) == (0, OutputReason.UNSEEN, 2000)


def test_a_text_too_short_to_find_out_how_the_window_counts_is_left_to_others():
    error, left = erase("é", "caf" + "é")
    assert (error.delivered, error.reason, left) == (0, OutputReason.UNSEEN, "café")


@pytest.mark.parametrize("counts", ["not", "wrongly"])
def test_a_window_that_removes_nothing_or_something_else_is_uncertain(counts):
    error, _ = erase("hello", "Dear Anna, hello", counts=counts)
    assert error.delivered is None
    assert error.reason is OutputReason.TIMEOUT


def test_another_input_method_keeps_its_place():
    async def main():
        async with ScriptedCompositor() as compositor:
            compositor.on(METHOD, "made", lambda method, _: compositor.event(method, 6))
            with pytest.raises(OutputError, match="Another input method") as caught:
                await InputMethodEraser().erase("hello", Destination(Session({"WAYLAND_DISPLAY": compositor.path})))
            return caught.value

    assert asyncio.run(main()).reason is OutputReason.UNSEEN


def test_without_a_compositor_or_its_input_methods_the_probe_says_so(tmp_path):
    async def main():
        eraser = InputMethodEraser()
        async with ScriptedCompositor(offers={"wl_seat": 7}) as compositor:
            return [
                await eraser.probe(Session()),
                await eraser.probe(Session({"WAYLAND_DISPLAY": str(tmp_path / "gone")})),
                await eraser.probe(Session({"WAYLAND_DISPLAY": compositor.path})),
            ]

    assert [found.usable for found in asyncio.run(main())] == [False, False, False]


# --- keys -------------------------------------------------------------------------------------------


class Keyboard:
    """An output that remembers what it pressed and ends as it is told."""

    name = "virtual-keyboard"
    at_best = AtBest()

    def __init__(self, end=Certainty.SENT):
        self.pressed, self.end = "", end

    async def probe(self, session):
        return Availability(usable=True, reason="It is a list.")

    async def deliver(self, text, to):
        if isinstance(self.end, OutputError):
            raise self.end
        self.pressed += text
        return Delivery(self.name, self.end, len(text), "editor", "The focus moved.")

    async def aclose(self):
        raise AssertionError("the output is its owner's")


def press(text, end=Certainty.SENT):
    async def main():
        keyboard = Keyboard(end)
        eraser = KeyEraser(keyboard)
        assert (await eraser.probe(Session())).usable
        try:
            outcome = await eraser.erase(text, Destination(Session()))
        except OutputError as error:
            outcome = error
        await eraser.aclose()
        return outcome, keyboard.pressed

    return asyncio.run(main())


def test_backspace_is_pressed_once_per_grapheme():
    delivery, pressed = press("Grüße, 你好 😀")
    assert pressed == "\b" * 11
    assert (delivery.certainty, delivery.characters, delivery.target) == (Certainty.SENT, 11, "editor")


@pytest.mark.parametrize("text", ["👨\u200d👩\u200d👧", "e\u0323\u0301", "two\nlines", "x" * (LONGEST + 1)])
def test_texts_that_backspace_might_damage_are_refused(text):
    error, pressed = press(text)
    assert (error.reason, error.delivered, pressed) == (OutputReason.REFUSED, 0, "")


@pytest.mark.parametrize(
    ("end", "delivered"),
    [
        (Certainty.UNCERTAIN, None),
        (OutputError("No window.", reason=OutputReason.REFUSED, delivered=0), 0),
        (OutputError("It broke.", reason=OutputReason.TIMEOUT, delivered=3), None),
        (OutputError("It broke.", reason=OutputReason.TIMEOUT, delivered=None), None),
    ],
    ids=["uncertain", "refused", "broke after three", "broke somewhere"],
)
def test_keys_that_may_have_gone_elsewhere_are_uncertain(end, delivered):
    error, _ = press("hello", end)
    assert error.delivered == delivered
