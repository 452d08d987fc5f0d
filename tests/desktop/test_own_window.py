"""A window of our own: what is typed into it can be read back, and it knows whether it has the focus."""

import asyncio
import contextlib
import json
import os

import pytest

from support.desktop import SwayDesktop, XDesktop
from v2m.domain.delivery import Destination, Session
from v2m.domain.errors import OutputError, OutputReason
from v2m.infrastructure.output.clipboard import ClipboardOutput
from v2m.local.window.window import own_window, window_kinds

pytestmark = [pytest.mark.desktop, pytest.mark.timeout(120)]

READ_S = 5.0
# evdev codes
KEY_1, KEY_Q, KEY_A, KEY_V, KEY_E, ENTER, TAB, BACKSPACE, SHIFT, CTRL, ALTGR = (
    2,
    16,
    30,
    47,
    18,
    28,
    15,
    14,
    42,
    29,
    100,
)
BRACKET_LEFT, GRAVE, INSERT, ESCAPE, CAPS_LOCK, SHIFT_R = 26, 41, 110, 1, 58, 54
SHIFT_MASK, CTRL_MASK, ALTGR_MASK = 1, 4, 0x80
HELD = {SHIFT: SHIFT_MASK, CTRL: CTRL_MASK, ALTGR: ALTGR_MASK}


@pytest.fixture(scope="module")
def sway():
    with SwayDesktop() as desktop:
        yield desktop


@pytest.fixture(scope="module")
def xserver():
    with XDesktop() as desktop:
        yield desktop


@pytest.fixture(params=["sway", "xserver"])
def desktop(request):
    return request.getfixturevalue(request.param)


@contextlib.asynccontextmanager
async def window_on(desktop):
    async with own_window(Session(desktop.variables, "client")) as page:
        assert await page.focused(READ_S)
        yield page


async def in_thread(work, *arguments):
    await asyncio.get_running_loop().run_in_executor(None, work, *arguments)


async def tap(desktop, code, modifiers=0):
    """Press and release a key of the hardware keyboard of sway while others are held."""
    held = 0
    for key, mask in HELD.items():
        if modifiers & mask:
            held |= mask
            await in_thread(desktop.press, key, held)
    await in_thread(desktop.press, code, held)
    await in_thread(desktop.release, code, held)
    for key, mask in HELD.items():
        if modifiers & mask:
            held &= ~mask
            await in_thread(desktop.release, key, held)


def typed(desktop, *keys, layout="us", expected):
    """Return what a row of keys, each (code, modifiers), makes under a layout."""

    async def scene():
        desktop.use_layout(layout)
        try:
            async with window_on(desktop) as page:
                for code, modifiers in keys:
                    await tap(desktop, code, modifiers)
                return await page.reads(expected, READ_S)
        finally:
            desktop.use_layout("us")

    return asyncio.run(scene())


@pytest.mark.parametrize(
    ("layout", "keys", "text"),
    [
        ("us", [(KEY_A, 0), (KEY_A, SHIFT_MASK), (KEY_1, SHIFT_MASK)], "aA!"),
        ("de", [(BRACKET_LEFT, 0), (KEY_E, ALTGR_MASK), (KEY_Q, ALTGR_MASK)], "ü€@"),
        ("fr", [(KEY_Q, 0), (KEY_1, 0), (KEY_1, SHIFT_MASK)], "a&1"),
        ("us(dvorak)", [(KEY_Q, 0), (KEY_E, 0)], "'."),
        ("ru", [(KEY_Q, 0), (KEY_A, SHIFT_MASK)], "йФ"),
        ("us", [(KEY_A, 0), (ENTER, 0), (TAB, 0), (KEY_A, 0)], "a\n\ta"),
        ("us", [(KEY_A, 0), (KEY_Q, 0), (BACKSPACE, 0)], "a"),
        ("us", [(KEY_A, 0), (ESCAPE, 0), (KEY_Q, CTRL_MASK)], "a"),
    ],
)
def test_keys_make_what_the_layout_says(sway, layout, keys, text):
    assert typed(sway, *keys, layout=layout, expected=text) == text


@pytest.mark.parametrize(
    ("layout", "keys", "text"),
    [
        ("de", [(GRAVE, 0), (KEY_E, 0)], "ê"),  # dead circumflex
        ("fr", [(BRACKET_LEFT, SHIFT_MASK), (KEY_E, 0)], "ë"),
        ("de", [(GRAVE, 0), (57, 0)], "^"),
    ],
)
def test_dead_keys_are_composed(sway, layout, keys, text):
    assert typed(sway, *keys, layout=layout, expected=text) == text


@pytest.mark.parametrize(
    "chord",
    [(KEY_V, CTRL_MASK), (KEY_V, CTRL_MASK | SHIFT_MASK), (INSERT, SHIFT_MASK)],
    ids=["ctrl+v", "ctrl+shift+v", "shift+insert"],
)
@pytest.mark.parametrize("layout", ["us", "us+ru:2"])
def test_the_clipboard_is_pasted_under_wayland(sway, chord, layout):
    text = "你好 😀\n" * 2000  # more than a pipe holds at once

    async def scene():
        sway.use_layout(layout)
        clipboard = ClipboardOutput()
        try:
            async with window_on(sway) as page:
                await clipboard.deliver(text, Destination(Session(sway.variables, "client")))
                await tap(sway, *chord)
                return await page.reads(text, READ_S)
        finally:
            await clipboard.aclose()
            sway.use_layout("us")

    assert asyncio.run(scene()) == text


# --- X11 ---


def fake_keys(desktop, *keys):
    """Press keys (code, held codes) of the X server's keyboard; evdev codes."""
    from Xlib import X
    from Xlib.ext import xtest

    from v2m.infrastructure._x11.display import connect

    display = connect(Session(desktop.variables, "client"))
    for code, *held in keys:
        downs = [*held, code]
        for kind, codes in ((X.KeyPress, downs), (X.KeyRelease, downs[::-1])):
            for each in codes:
                xtest.fake_input(display, kind, each + 8)
    display.sync()
    display.close()


@pytest.mark.parametrize(
    ("layout", "keys", "text"),
    [
        (["us"], [(KEY_A,), (KEY_A, SHIFT), (KEY_1, SHIFT)], "aA!"),
        (["de"], [(BRACKET_LEFT,), (KEY_E, ALTGR), (KEY_Q, ALTGR)], "ü€@"),
        (["de"], [(GRAVE,), (KEY_E,)], "ê"),
        (["us", "-variant", "dvorak"], [(KEY_Q,), (KEY_E,)], "'."),
        (["ru"], [(KEY_Q,), (KEY_A, SHIFT)], "йФ"),
        (["us"], [(KEY_A,), (ENTER,), (TAB,), (KEY_Q,), (BACKSPACE,), (ESCAPE,)], "a\n\t"),
        (["us"], [(CAPS_LOCK,), (KEY_A,), (KEY_1,), (KEY_A, SHIFT), (CAPS_LOCK,)], "A1A"),
    ],
)
def test_keys_make_what_the_x_servers_layout_says(xserver, layout, keys, text):
    async def scene():
        await in_thread(xserver.run, "setxkbmap", *layout)
        try:
            async with window_on(xserver) as page:
                await in_thread(fake_keys, xserver, *keys)
                return await page.reads(text, READ_S)
        finally:
            await in_thread(xserver.run, "setxkbmap", "us")

    assert asyncio.run(scene()) == text


def test_the_second_group_of_an_x_server_is_followed(xserver):
    async def scene():
        await in_thread(xserver.run, "setxkbmap", "us,ru", "-option", "grp:shifts_toggle")
        try:
            async with window_on(xserver) as page:
                await in_thread(
                    fake_keys, xserver, (KEY_A,), (SHIFT_R, SHIFT), (KEY_A,), (KEY_A, SHIFT), (SHIFT_R, SHIFT)
                )
                return await page.reads("aфФ", READ_S)
        finally:
            await in_thread(xserver.run, "setxkbmap", "us", "-option")

    assert asyncio.run(scene()) == "aфФ"


@pytest.mark.parametrize("held", [[CTRL], [CTRL, SHIFT]], ids=["ctrl+v", "ctrl+shift+v"])
def test_the_clipboard_is_pasted_under_x11(xserver, held):
    text = "你好 😀\n" * 2000

    async def scene():
        clipboard = ClipboardOutput()
        async with window_on(xserver) as page:
            await clipboard.deliver(text, Destination(Session(xserver.variables, "client")))
            await in_thread(fake_keys, xserver, (KEY_V, *held))
            read = await page.reads(text, READ_S)
        await clipboard.aclose()
        return read

    assert asyncio.run(scene()) == text


# --- the window itself ---


def test_it_knows_that_another_window_got_the_focus(desktop):
    async def scene():
        async with window_on(desktop) as page:
            assert page.losses == 0
            await in_thread(desktop.terminal)
            async with asyncio.timeout(READ_S):
                while page.has_focus:
                    await asyncio.sleep(0.01)
            return page.losses

    assert asyncio.run(scene()) == 1


def test_it_is_gone_when_it_is_left(sway):
    async def scene():
        async with window_on(sway):
            shown = await asyncio.to_thread(sway.run, "swaymsg", "-rt", "get_tree")
        left = await asyncio.to_thread(sway.run, "swaymsg", "-rt", "get_tree")
        return shown, left

    shown, left = asyncio.run(scene())
    assert '"v2m-check"' in shown
    assert str(os.getpid()) in json.dumps(json.loads(shown))
    assert '"v2m-check"' not in left


@pytest.mark.parametrize(
    "variables",
    [{}, {"WAYLAND_DISPLAY": "/nonexistent/wayland-0"}, {"DISPLAY": ":9999"}, {"DISPLAY": "far.example:0"}],
    ids=str,
)
def test_without_a_desktop_the_error_says_so(variables):
    async def scene():
        async with own_window(Session(variables, "client")):
            pytest.fail("there is no window")

    with pytest.raises(OutputError) as caught:
        asyncio.run(scene())
    assert caught.value.reason is OutputReason.NO_DISPLAY
    assert caught.value.hint


def test_a_compositor_that_ends_takes_the_focus_with_it():
    async def scene():
        with SwayDesktop() as desktop:
            async with window_on(desktop) as page:
                os.kill(desktop.server_pid, 9)
                return await page.reads("nothing", 1.0)

    assert asyncio.run(scene()) == ""


def test_both_kinds_of_windows_are_known():
    both = Session({"WAYLAND_DISPLAY": "/run/wayland-1", "DISPLAY": ":0"})
    assert window_kinds(both) == ("wayland", "x11")
    assert window_kinds(Session({"DISPLAY": ":0"})) == ("x11",)
    assert window_kinds(Session()) == ()
