"""What the user touches is noticed, one hotkey is not counted, and who cannot know says so."""

import asyncio
import os
import signal
import socket

import pytest

from support import x11
from support.compositor import ScriptedCompositor
from support.desktop import SwayDesktop, XDesktop
from v2m.domain.delivery import Session
from v2m.infrastructure._wayland.wire import uints
from v2m.infrastructure.desktop.input_watch import chain
from v2m.infrastructure.desktop.input_watch.chain import LiveInputWatch
from v2m.infrastructure.desktop.input_watch.wayland import EXT, QUIET_MS
from v2m.infrastructure.desktop.input_watch.x11 import X11InputWatch

pytestmark = [pytest.mark.desktop, pytest.mark.timeout(120)]

KEY_A, KEY_B, SUPER_L, SUPER = 30, 48, 125, 64
LONG_S = 30.0  # no test takes that long: everything is within a hotkey's time


@pytest.fixture(scope="module")
def sway():
    with SwayDesktop() as desk:
        yield desk


@pytest.fixture(scope="module")
def xvfb():
    with XDesktop() as desk:
        yield desk


def watching(desk, scenario):
    """Run a scenario with a watch that has begun, and settled, in a quiet desktop."""

    async def main():
        watch = LiveInputWatch()
        try:
            async with asyncio.timeout(20):
                await begin(watch, desk)
                while await watch.touched(within_s=0) is not False:  # a busy machine looks like a busy user
                    await asyncio.sleep(0.1)
                    if await watch.touched(within_s=0) is not False:
                        await begin(watch, desk)
                return await scenario(watch)
        finally:
            await watch.aclose()
            await watch.aclose()

    return asyncio.run(main())


async def begin(watch, desk):
    await watch.begin(Session(desk.variables))
    await watch.settled()


def tap(desk, *codes):
    for code in codes:
        desk.press(code)
        desk.release(code)


def hotkey(desk):
    desk.press(SUPER_L, SUPER)
    tap(desk, KEY_A)
    desk.release(SUPER_L)


async def becomes(watch, answer, within_s):
    while await watch.touched(within_s=within_s) is not answer:
        await asyncio.sleep(0.01)


# --- a compositor that tells of idleness ------------------------------------------------------------


def test_on_wayland_a_key_is_noticed_and_not_taken_for_more_than_it_is_known_to_be(sway):
    async def scenario(watch):
        await asyncio.to_thread(tap, sway, KEY_A)
        await becomes(watch, None, 0)
        assert await watch.touched(within_s=LONG_S) is False

    watching(sway, scenario)


def test_on_wayland_one_hotkey_just_now_does_not_count(sway):
    async def scenario(watch):
        await asyncio.to_thread(hotkey, sway)
        await becomes(watch, None, 0)
        assert await watch.touched(within_s=LONG_S) is False

    watching(sway, scenario)


def test_on_wayland_more_than_a_hotkey_counts_and_then_nothing_wakes_us_any_more(sway):
    async def scenario(watch):
        for _ in range(5):  # further apart than what the compositor takes for one
            await asyncio.to_thread(tap, sway, KEY_A)
            await asyncio.sleep(2 * QUIET_MS / 1000)
        await becomes(watch, None, LONG_S)

    watching(sway, scenario)


def test_a_watch_that_begins_anew_has_forgotten(sway):
    async def scenario(watch):
        await asyncio.to_thread(tap, sway, KEY_A)
        await becomes(watch, None, 0)
        await begin(watch, sway)
        await becomes(watch, False, 0)

    watching(sway, scenario)


def test_on_wayland_keys_until_it_is_settled_may_be_our_own_and_do_not_count(sway):
    async def scenario(watch):
        await watch.begin(Session(sway.variables))
        for _ in range(5):
            await asyncio.to_thread(tap, sway, KEY_A)
            await asyncio.sleep(2 * QUIET_MS / 1000)
        assert await watch.touched(within_s=LONG_S) is None
        await watch.settled()
        await becomes(watch, False, LONG_S)

    watching(sway, scenario)


@pytest.mark.parametrize("version", [1, 2])
def test_the_newer_protocol_is_asked_in_its_own_order_of_words(version):
    asked = []

    async def main():
        async with ScriptedCompositor(offers={"wl_seat": 7, EXT: version}) as compositor:

            def watched(_, arguments):
                notification, timeout_ms = arguments.uint(), arguments.uint()
                asked.append(timeout_ms)
                compositor.event(notification, 0)
                asyncio.get_running_loop().call_later(0.05, compositor.event, notification, 1)

            compositor.on(EXT, version, watched)
            watch = LiveInputWatch()
            await watch.begin(Session({"WAYLAND_DISPLAY": compositor.path}))
            await watch.settled()
            await becomes(watch, False, 0)
            await becomes(watch, None, 0)
            await watch.aclose()

    asyncio.run(asyncio.wait_for(main(), 20))
    assert asked == [QUIET_MS]


@pytest.mark.parametrize("offers", [{"wl_seat": 7}, {}], ids=["no idle protocol", "nothing"])
def test_a_compositor_that_does_not_tell_is_not_known(offers):
    async def main():
        async with ScriptedCompositor(offers=offers) as compositor:
            watch = LiveInputWatch()
            await watch.begin(Session({"WAYLAND_DISPLAY": compositor.path}))
            await watch.settled()
            return await watch.touched(within_s=LONG_S)

    assert asyncio.run(main()) is None


def test_a_compositor_that_has_gone_is_not_known():
    async def main():
        async with ScriptedCompositor(offers={"wl_seat": 7, EXT: 1}) as compositor:
            compositor.on(EXT, 1, lambda _, arguments: compositor.event(arguments.uint(), 0, uints()))
            watch = LiveInputWatch()
            await watch.begin(Session({"WAYLAND_DISPLAY": compositor.path}))
            await watch.settled()
            await becomes(watch, False, LONG_S)
            compositor.hang_up()
            await becomes(watch, None, LONG_S)
            await watch.aclose()

    asyncio.run(asyncio.wait_for(main(), 20))


# --- an X server ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "within_s", "touched"),
    [
        (["key", "a"], 0, True),
        (["key", "a"], LONG_S, False),
        (["key", "super+a"], LONG_S, False),
        (["key", "ctrl+shift+a"], LONG_S, False),
        (["key", "a", "key", "a"], LONG_S, True),
        (["key", "a", "key", "super+b"], LONG_S, True),
        (["click", "1"], LONG_S, True),
        (["mousemove", "10", "10", "mousemove", "300", "300"], 0, False),
        (["keydown", "shift"], 0, True),
        (["keyup", "shift"], 0, False),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_on_x11_presses_count_and_one_hotkey_just_now_does_not(xvfb, words, within_s, touched):
    async def scenario(watch):
        await asyncio.to_thread(xvfb.run, "xdotool", *words)
        if touched:
            await becomes(watch, True, within_s)
        else:
            assert await watch.touched(within_s=within_s) is False

    watching(xvfb, scenario)


def test_on_x11_keys_of_programs_do_not_count_until_it_is_settled_and_do_then(xvfb):
    async def scenario(watch):
        await watch.begin(Session(xvfb.variables))
        await asyncio.to_thread(xvfb.run, "xdotool", "key", "a", "key", "b", "click", "1")
        assert await watch.touched(within_s=LONG_S) is None
        await watch.settled()
        assert await watch.touched(within_s=0) is False
        await asyncio.to_thread(xvfb.run, "xdotool", "key", "a")
        await becomes(watch, True, 0)

    watching(xvfb, scenario)


@pytest.mark.parametrize("at", ["before", "after"])
def test_on_x11_a_key_of_the_users_keyboard_counts_among_our_own_and_once(xvfb, at):
    async def scenario(watch):
        await watch.begin(Session(xvfb.variables))
        await asyncio.to_thread(xvfb.run, "xdotool", "key", "a", "key", "b")
        if at == "after":
            await watch.settled()
        await asyncio.to_thread(x11.press_key, xvfb, KEY_A + 8)
        await becomes(watch, True, 0)
        await watch.settled()
        assert await watch.touched(within_s=LONG_S) is False
        await asyncio.to_thread(x11.press_key, xvfb, KEY_B + 8)
        await becomes(watch, True, LONG_S)

    watching(xvfb, scenario)


def test_on_x11_a_grab_of_the_hotkeys_owner_hides_nothing(xvfb):
    from Xlib import X

    from v2m.infrastructure._x11.display import connect

    async def scenario(watch):
        owner = await asyncio.to_thread(connect, Session(xvfb.variables))
        owner.screen().root.grab_keyboard(True, X.GrabModeAsync, X.GrabModeAsync, X.CurrentTime)
        owner.sync()
        await asyncio.to_thread(xvfb.run, "xdotool", "key", "a", "key", "b")
        await becomes(watch, True, LONG_S)
        owner.close()

    watching(xvfb, scenario)


def test_an_x_server_that_has_gone_is_not_known():
    async def scenario(watch, desk):
        await asyncio.to_thread(desk.__exit__)
        await becomes(watch, None, LONG_S)

    desk = XDesktop()
    desk.__enter__()
    watching(desk, lambda watch: scenario(watch, desk))


def test_it_ends_by_itself(xvfb, monkeypatch):
    monkeypatch.setattr(chain, "LONGEST_UNDO_S", 0.2)

    async def scenario(watch):
        await begin(watch, xvfb)
        await becomes(watch, None, LONG_S)

    watching(xvfb, scenario)


def test_without_a_desktop_nothing_is_known():
    async def main():
        watch = LiveInputWatch()
        for session in (Session(), Session({"DISPLAY": ":987"}), Session({"WAYLAND_DISPLAY": "/nowhere"})):
            await watch.begin(session)
            assert await watch.touched(within_s=0) is None
        await watch.aclose()

    asyncio.run(main())


def test_a_server_that_dies_leaves_no_deaf_descriptor_in_the_loop():
    async def scenario():
        watch, loop = X11InputWatch(), asyncio.get_running_loop()
        with XDesktop() as desk:
            assert await watch.begin(Session(desk.variables))
            await watch.settled()
            os.kill(desk.server_pid, signal.SIGKILL)
            while watch.touched(0.5) is not None:
                await asyncio.sleep(0.01)
            await watch.aclose()
        pairs = [socket.socketpair() for _ in range(16)]  # one of them gets the number that the display had
        for ours, theirs in pairs:
            heard = asyncio.Event()
            loop.add_reader(ours, heard.set)
            theirs.send(b"x")
            async with asyncio.timeout(5):
                await heard.wait()
            loop.remove_reader(ours)
        for one in pairs:
            for end in one:
                end.close()

    asyncio.run(scenario())
