"""Typing with a virtual keyboard into a compositor that does what real ones cannot be asked to."""

import asyncio

import pytest

from support.compositor import GLOBALS, ScriptedCompositor
from v2m.domain.delivery import Certainty, Destination, Session
from v2m.domain.errors import OutputError, OutputReason
from v2m.infrastructure._wayland.backlog import Backlog
from v2m.infrastructure.output.wayland.virtual_keyboard import (
    BATCH,
    BURST_LIMIT,
    PACED_PAUSE_S,
    UNSEEN_LIMIT,
    VirtualKeyboardOutput,
)

pytestmark = pytest.mark.unit

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


def test_a_keymap_is_sent_once_and_again_only_for_new_characters():
    async def scenario(compositor):
        output, sent = VirtualKeyboardOutput(), []
        to = Destination(Session({"WAYLAND_DISPLAY": compositor.path}))
        for text in ("hello", "World 42!", "naïve", "naïveté", "naïve"):
            await output.deliver(text, to)
            sent.append(compositor.requests.count((KEYBOARD, 0)))
        await output.aclose()
        return sent

    assert _with(scenario) == [1, 1, 2, 3, 3]


def test_a_long_text_is_not_typed_blindly():
    async def scenario(compositor):
        blind = VirtualKeyboardOutput(watch=lambda _: Backlog(""))
        with pytest.raises(OutputError, match="too long") as caught:
            await _deliver(blind, "x" * (UNSEEN_LIMIT + 1), compositor)
        return caught.value, compositor.requests.count((KEYBOARD, 1))

    error, keys = _with(scenario)
    assert (error.reason, error.delivered, keys) == (OutputReason.REFUSED, 0, 0)


def test_blind_typing_beyond_a_burst_keeps_a_pace_that_an_application_survives():
    text = "x" * (BURST_LIMIT + 2 * BATCH)

    async def scenario(compositor):
        times = []
        compositor.on(KEYBOARD, 1, lambda *_: times.append(asyncio.get_running_loop().time()))
        delivery = await _deliver(VirtualKeyboardOutput(watch=lambda _: Backlog("")), text, compositor)
        return delivery, times

    delivery, times = _with(scenario)
    assert (delivery.certainty, len(times)) == (Certainty.SENT, 2 * len(text))
    assert times[2 * BATCH] - times[0] >= PACED_PAUSE_S


def test_a_look_at_another_compositor_leaves_the_text_that_is_being_typed_alone():
    async def scenario(compositor):
        output, keys = VirtualKeyboardOutput(), []
        async with ScriptedCompositor() as other, asyncio.TaskGroup() as tasks:

            def look_elsewhere(_, arguments):
                keys.append(arguments)
                if len(keys) == 2 * BATCH:
                    tasks.create_task(output.probe(Session({"WAYLAND_DISPLAY": other.path})))

            compositor.on(KEYBOARD, 1, look_elsewhere)
            return await _deliver(output, "x" * 200, compositor), len(keys), other.requests

    delivery, keys, seen = _with(scenario)
    assert seen  # it did look
    assert (delivery.certainty, delivery.characters, keys) == (Certainty.SENT, 200, 400)
