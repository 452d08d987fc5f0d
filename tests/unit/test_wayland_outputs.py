"""The Wayland outputs against a compositor that does what real ones cannot be asked to."""

import asyncio

import pytest

from support.compositor import ScriptedCompositor
from v2m.domain.delivery import Certainty, Destination, Session, Window
from v2m.domain.errors import OutputError, OutputReason
from v2m.infrastructure._wayland.input_method import FieldState
from v2m.infrastructure.output.wayland.input_method import COMMIT_BYTES, InputMethodOutput
from v2m.infrastructure.output.wayland.virtual_keyboard import (
    VirtualKeyboardOutput,
)

pytestmark = pytest.mark.unit

METHOD = "zwp_input_method_v2"
KEYBOARD = "zwp_virtual_keyboard_v1"


async def _deliver(output, text, compositor):
    try:
        return await output.deliver(text, Destination(Session({"WAYLAND_DISPLAY": compositor.path})))
    finally:
        await output.aclose()


def _with(scenario, **options):
    async def run():
        async with ScriptedCompositor(**options) as compositor:
            return await scenario(compositor)

    return asyncio.run(run())


def _at_bind(compositor, **state):
    compositor.on(METHOD, "made", lambda method, _: compositor.activate(method, **state))


def test_an_application_that_shows_the_text_confirms_it():
    async def scenario(compositor):
        _at_bind(compositor, surrounding="Dear Anna, ")

        def show(method, _):
            compositor.surround(method, "Dear Anna, hello")
            compositor.event(method, 5)

        def show_later(method, _):
            if compositor.texts[-1]:
                asyncio.get_running_loop().call_later(0.005, show, method, _)

        compositor.on(METHOD, 3, show_later)
        return await _deliver(InputMethodOutput(), "hello", compositor), compositor.texts

    delivery, texts = _with(scenario)
    assert texts[:2] == ["", "hello"]  # the empty one asks whether the application is there
    assert (delivery.certainty, delivery.target, delivery.characters) == (Certainty.CONFIRMED, "editor", 5)


def test_a_text_that_stood_there_before_confirms_nothing():
    async def scenario(compositor):
        _at_bind(compositor, surrounding="hello")
        return await _deliver(InputMethodOutput(), "hello", compositor)

    assert _with(scenario).certainty is Certainty.SENT


@pytest.mark.parametrize(
    "state",
    [{"purpose": 8}, {"purpose": 9}, {"hint": 0x40}, {"hint": 0x80}, {"surrounding": "●●●●●"}],
    ids=["password", "PIN", "hidden", "sensitive", "dots"],
)
def test_nothing_is_typed_into_a_password_field(state):
    async def scenario(compositor):
        _at_bind(compositor, **state)
        with pytest.raises(OutputError, match="password") as caught:
            await _deliver(InputMethodOutput(), "hello", compositor)
        return caught.value, compositor.texts

    error, texts = _with(scenario)
    assert (error.reason, error.delivered, texts) == (OutputReason.SECRET_FIELD, 0, [])


def test_a_password_field_that_is_known_by_its_dots_only_afterwards_is_told():
    async def scenario(compositor):
        _at_bind(compositor, surrounding="")

        def show(method, _):
            compositor.surround(method, "●●●●●" if any(compositor.texts) else "")
            compositor.event(method, 5)

        compositor.on(METHOD, 3, show)
        with pytest.raises(OutputError, match="password") as caught:
            await _deliver(InputMethodOutput(), "hello", compositor)
        return caught.value

    error = _with(scenario)
    assert (error.reason, error.delivered) == (OutputReason.SECRET_FIELD, 5)


def test_an_application_that_answers_with_what_it_had_is_asked_again():
    async def scenario(compositor):
        _at_bind(compositor, surrounding="Dear ")
        shown = iter(["Dear ", "Dear ", "Dear ", "Dear Anna"])

        def show(method, _):
            compositor.surround(method, next(shown, "Dear Anna"))
            compositor.event(method, 5)

        compositor.on(METHOD, 3, show)
        return await _deliver(InputMethodOutput(), "Anna", compositor), compositor.texts

    delivery, texts = _with(scenario)
    assert texts == ["", "Anna", "", ""]
    assert delivery.certainty is Certainty.CONFIRMED


OLD = "links " * 500
SHOWN = [
    ("", "hello", "hello", True),
    ("Dear Anna, ", "hello", "Dear Anna, hello", True),
    ("hello", "hello", "hello", False),
    ("hello", "hello", "hellohello", True),
    ("hellohello", "hello", "hello", False),  # the cursor went elsewhere
    ("Dear ", "hello", "Dear HELLO", False),
    ("Dear ", "hello", "Dear hel", False),
    ("Dear ", "hello", "hello", False),
    ("", "one\ntwo", "two", False),  # GTK shows the line of the cursor only
    (OLD, "hello", (OLD + "hello")[-2000:], True),
    (OLD, "hello", "\ufffd" + (OLD + "hello")[-2000:], True),
    (OLD, "hello", OLD[-2000:], False),
    (OLD, "hello" * 600, ("hello" * 600)[-2000:], False),  # less than the text is shown
    ("", "hello" * 600, ("hello" * 600)[-1000:], False),
]


@pytest.mark.parametrize(("before", "text", "now", "confirmed"), SHOWN, ids=range(len(SHOWN)))
def test_only_the_text_right_where_the_cursor_was_confirms(before, text, now, confirmed):
    assert FieldState(active=True, before=now).shows(text, FieldState(active=True, before=before)) is confirmed


def test_what_is_selected_is_replaced_and_a_selection_afterwards_confirms_nothing():
    earlier = FieldState(active=True, before="one ", selected="two", after=" three")
    assert FieldState(active=True, before="one hello", after=" three").shows("hello", earlier)
    assert not FieldState(active=True, before="one hello", selected="x").shows("hello", earlier)


@pytest.mark.parametrize("output_class", [InputMethodOutput, VirtualKeyboardOutput], ids=lambda output: output.name)
@pytest.mark.parametrize(
    ("window", "refused"),
    [
        (Window("sway:1", app="terminal"), True),
        (Window("sway:1", app="Editor"), False),
        (Window("sway:1", app="editor", title="the other"), True),
        (Window("sway:1", app="editor", title="before it was renamed"), False),
        (Window("sway:1"), False),
    ],
)
def test_a_window_that_is_not_the_wanted_one_gets_nothing(output_class, window, refused):
    async def scenario(compositor):
        _at_bind(compositor)
        announce = compositor.toplevel

        def two(handle, app, *, active):
            announce(handle, app, active=active)
            announce(handle + 1, app, active=False, title="the other")

        compositor.toplevel = two
        output = output_class()
        to = Destination(Session({"WAYLAND_DISPLAY": compositor.path}), window)
        try:
            await output.deliver("hello", to)
        except OutputError as error:
            return error.delivered
        finally:
            await output.aclose()
        return None

    assert _with(scenario) == (0 if refused else None)


def test_another_input_method_keeps_its_place():
    async def scenario(compositor):
        compositor.on(METHOD, "made", lambda method, _: compositor.event(method, 6))
        with pytest.raises(OutputError, match="Another input method") as caught:
            await _deliver(InputMethodOutput(), "hello", compositor)
        return caught.value

    assert _with(scenario).delivered == 0


def test_a_window_without_text_input_is_left_to_the_next_output():
    async def scenario(compositor):
        with pytest.raises(OutputError, match="takes no text") as caught:
            await _deliver(InputMethodOutput(), "hello", compositor)
        return caught.value, compositor.texts

    error, texts = _with(scenario)
    assert (error.reason, error.delivered, texts) == (OutputReason.REFUSED, 0, [])


def test_nothing_more_is_committed_after_the_focus_moved():
    async def scenario(compositor):
        _at_bind(compositor)

        def leave(method, _):
            compositor.event(method, 1)
            compositor.event(method, 5)
            compositor.set_active(0xFF000001, False)

        compositor.on(METHOD, 3, leave)
        return await _deliver(InputMethodOutput(), "x" * 10_000, compositor), compositor.texts

    delivery, texts = _with(scenario)
    assert len(texts) == 1
    assert (delivery.certainty, delivery.characters) == (Certainty.UNCERTAIN, COMMIT_BYTES)
    assert "focus" in delivery.detail


def test_a_text_that_crossed_the_applications_own_words_is_uncertain():
    async def scenario(compositor):
        _at_bind(compositor)
        compositor.on(METHOD, 3, lambda method, _: compositor.event(method, 5))
        return await _deliver(InputMethodOutput(), "hello", compositor)

    assert _with(scenario).certainty is Certainty.UNCERTAIN


@pytest.mark.parametrize(("at", "delivered"), [("made", 0), (3, None)], ids=["before the text", "with the text"])
def test_a_compositor_that_dies_under_a_commit_leaves_no_doubt_about_the_doubt(at, delivered):
    async def scenario(compositor):
        _at_bind(compositor)
        compositor.on(METHOD, at, lambda *_: compositor.hang_up())
        with pytest.raises(OutputError) as caught:
            await _deliver(InputMethodOutput(), "hello", compositor)
        return caught.value

    assert _with(scenario).delivered == delivered
