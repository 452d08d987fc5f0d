"""The Wayland outputs against a compositor that does what real ones cannot be asked to."""

import asyncio

import pytest

from support.compositor import GLOBALS, ScriptedCompositor
from v2m.domain.delivery import Certainty, Destination, Session
from v2m.domain.errors import OutputError, OutputReason
from v2m.infrastructure.output.wayland.input_method import COMMIT_BYTES, InputMethodOutput
from v2m.infrastructure.output.wayland.virtual_keyboard import BATCH, VirtualKeyboardOutput

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


# --- input method -----------------------------------------------------------------------------------


def _at_bind(compositor, **state):
    compositor.on(METHOD, "made", lambda method, _: compositor.activate(method, **state))


def test_an_application_that_shows_the_text_confirms_it():
    async def scenario(compositor):
        _at_bind(compositor, surrounding="Dear Anna, ")

        def show(method, _):
            compositor.surround(method, "Dear Anna, hello")
            compositor.event(method, 5)

        compositor.on(METHOD, 3, lambda method, _: asyncio.get_running_loop().call_later(0.005, show, method, _))
        return await _deliver(InputMethodOutput(), "hello", compositor), compositor.texts

    delivery, texts = _with(scenario)
    assert texts == ["hello"]
    assert (delivery.certainty, delivery.target, delivery.characters) == (Certainty.CONFIRMED, "editor", 5)


def test_a_text_that_stood_there_before_confirms_nothing():
    async def scenario(compositor):
        _at_bind(compositor, surrounding="hello")
        return await _deliver(InputMethodOutput(), "hello", compositor)

    assert _with(scenario).certainty is Certainty.SENT


@pytest.mark.parametrize("purpose", [8, 9], ids=["password", "PIN"])
def test_nothing_is_typed_into_a_password_field(purpose):
    async def scenario(compositor):
        _at_bind(compositor, purpose=purpose)
        with pytest.raises(OutputError, match="password") as caught:
            await _deliver(InputMethodOutput(), "hello", compositor)
        return caught.value, compositor.texts

    error, texts = _with(scenario)
    assert (error.reason, error.delivered, texts) == (OutputReason.SECRET_FIELD, 0, [])


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


# --- virtual keyboard -------------------------------------------------------------------------------


def test_a_wrong_window_gets_at_most_one_batch_of_keys():
    async def scenario(compositor):
        keys = []

        def move(_, arguments):
            keys.append(arguments)
            if len(keys) == 2 * BATCH:  # the press and release of each character of the first batch
                compositor.set_active(0xFF000001, False)

        compositor.on(KEYBOARD, 1, move)
        return await _deliver(VirtualKeyboardOutput(), "x" * 200, compositor), len(keys)

    delivery, keys = _with(scenario)
    assert keys == 2 * BATCH
    assert (delivery.certainty, delivery.characters) == (Certainty.UNCERTAIN, BATCH)


def test_nothing_is_typed_when_no_window_is_active():
    async def scenario(compositor):
        compositor.toplevel = lambda *_args, **_options: None
        with pytest.raises(OutputError, match="No window") as caught:
            await _deliver(VirtualKeyboardOutput(), "hello", compositor)
        return caught.value, [request for request in compositor.requests if request == (KEYBOARD, 1)]

    error, keys = _with(scenario)
    assert (error.delivered, keys) == (0, [])


def test_where_the_focus_cannot_be_seen_typing_is_uncertain():
    offers = {name: version for name, version in GLOBALS.items() if "toplevel" not in name}

    async def scenario(compositor):
        return await _deliver(VirtualKeyboardOutput(), "hello", compositor)

    assert _with(scenario, offers=offers).certainty is Certainty.UNCERTAIN


def test_cancelling_stops_between_batches():
    async def scenario(compositor):
        keys = []
        cancelled = asyncio.Event()

        def third_batch(_, arguments):
            keys.append(arguments)
            if len(keys) == 3 * 2 * BATCH:
                cancelled.set()

        compositor.on(KEYBOARD, 1, third_batch)
        async with asyncio.TaskGroup() as tasks:
            typing = tasks.create_task(_deliver(VirtualKeyboardOutput(), "x" * 400, compositor))
            await cancelled.wait()
            typing.cancel()
        return len(keys)

    assert _with(scenario) % 2 == 0
    assert _with(scenario) < 2 * 400
