"""Typing into a real Wayland compositor when something is in the way."""

import asyncio
import os
import pwd
import signal
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.daemon import wait_until
from support.desktop import SwayDesktop
from v2m.domain.delivery import Certainty, Destination, Session
from v2m.domain.errors import OutputError, OutputReason
from v2m.infrastructure.output.clipboard import ClipboardOutput
from v2m.infrastructure.output.pasting import SECRET_TYPE
from v2m.infrastructure.output.wayland.input_method import InputMethodOutput
from v2m.infrastructure.output.wayland.paste import PasteOutput
from v2m.infrastructure.output.wayland.virtual_keyboard import VirtualKeyboardOutput
from v2m.infrastructure.output.wayland.wtype import WtypeOutput
from v2m.infrastructure.output.x11.xdotool import XdotoolOutput
from v2m.infrastructure.output.x11.xtest import XtestOutput

pytestmark = [pytest.mark.desktop, pytest.mark.timeout(120)]

HAN = "".join(map(chr, range(0x4E00, 0x4E00 + 300)))
HELD = {"Ctrl": (29, 4), "Shift": (42, 1), "Alt": (56, 8), "Super": (125, 64)}  # evdev code, modifier mask


@pytest.fixture(scope="module")
def sway():
    with SwayDesktop() as desk:
        yield desk, desk.terminal()


@pytest.fixture
def terminal(sway):
    sway[1].clear()
    return sway[1]


@pytest.fixture
def session(sway):
    return Session(sway[0].variables)


def _run(output, *steps):
    """Run each step (a coroutine function of the output) and release the output."""

    async def scenario():
        try:
            return [await step(output) for step in steps]
        finally:
            await output.aclose()

    return asyncio.run(scenario())


def _deliver(text, session):
    return lambda output: output.deliver(text, Destination(session))


# --- what a keyboard has to survive -----------------------------------------------------------------


def test_more_characters_than_a_keymap_carries_are_typed_exactly(terminal, session):
    (delivery,) = _run(VirtualKeyboardOutput(), _deliver(HAN, session))
    assert terminal.wait_text(HAN)
    assert delivery.certainty is Certainty.SENT


def test_a_text_beyond_the_burst_limit_is_typed_as_fast_as_it_is_read_and_exactly(terminal, session):
    text = "A rather long text. " * 250
    (delivery,) = _run(VirtualKeyboardOutput(), _deliver(text, session))
    assert terminal.wait_text(text)
    assert delivery.certainty is Certainty.SENT


@pytest.mark.parametrize(("key", "mask"), HELD.values(), ids=HELD.keys())
@pytest.mark.parametrize(
    "output_class", [InputMethodOutput, VirtualKeyboardOutput, PasteOutput, WtypeOutput], ids=lambda output: output.name
)
def test_a_modifier_held_on_the_real_keyboard_does_no_harm(sway, terminal, session, output_class, key, mask):
    sway[0].press(key, mask)
    try:
        _run(output_class(), _deliver("Please type this.", session))
        assert terminal.wait_text("Please type this.")
    finally:
        sway[0].release(key)


def test_a_window_that_hangs_is_not_lost_by_keys_and_gets_them_later(terminal, session):
    text = ("0123456789" * 40)[:400]
    terminal.stop()
    try:
        _run(VirtualKeyboardOutput(), _deliver(text, session))
    finally:
        terminal.resume()
    assert terminal.wait_text(text)


def test_a_window_that_hangs_is_not_lost_by_a_long_text_and_the_delivery_is_uncertain(terminal, session):
    text = "0123456789" * 500

    async def hang_then_go_on(output):
        terminal.stop()
        try:
            delivery = await output.deliver(text, Destination(session))
        finally:
            terminal.resume()
        await asyncio.to_thread(terminal.wait_text, text)
        return delivery

    (delivery,) = _run(PasteOutput(), hang_then_go_on)
    assert delivery.certainty is Certainty.UNCERTAIN
    assert "clipboard" in delivery.detail


# --- compositors that go, come, hang or lack things ------------------------------------------------------


@pytest.mark.parametrize(
    "output_class", [InputMethodOutput, VirtualKeyboardOutput, PasteOutput], ids=lambda output: output.name
)
def test_a_compositor_that_was_restarted_at_the_same_place_is_typed_into(output_class):
    folder = Path(tempfile.mkdtemp(prefix="v2m-", dir="/tmp"))

    async def twice():
        output = output_class()
        try:
            for text in ("before", "after"):
                with SwayDesktop(folder) as desk:
                    sink = desk.terminal()
                    await output.deliver(text, Destination(Session(desk.variables)))
                    await asyncio.to_thread(sink.wait_text, text)
        finally:
            await output.aclose()

    asyncio.run(twice())


def test_a_compositor_that_hangs_is_given_up_and_nothing_was_typed(terminal, session, sway):
    async def hang(output):
        await output.deliver("works ", Destination(session))
        os.kill(sway[0].server_pid, signal.SIGSTOP)
        try:
            with pytest.raises(OutputError) as caught:
                await output.deliver("hangs", Destination(session))
        finally:
            os.kill(sway[0].server_pid, signal.SIGCONT)
        return caught.value

    (error,) = _run(VirtualKeyboardOutput(), hang)
    assert (error.reason, error.delivered) == (OutputReason.NO_DISPLAY, 0)
    assert terminal.wait_text("works ")


@contextmanager
def _cage(desk):
    """A compositor that lets nobody type: cage. It refuses root as sway does, so it runs as the desktop's user."""
    user = pwd.getpwnam(desk.user)
    groups = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups"]
    as_user = ["setpriv", *groups] if os.getuid() == 0 else []
    environment = {
        "XDG_RUNTIME_DIR": desk.folder,
        "PATH": os.environ["PATH"],
        "WLR_BACKENDS": "headless",
        "WLR_LIBINPUT_NO_DEVICES": "1",
        "WLR_RENDERER": "pixman",
    }
    before = _wayland_sockets(desk)
    cage = subprocess.Popen([*as_user, "cage", "--", "sleep", "120"], env=environment, stderr=subprocess.DEVNULL)
    try:
        yield wait_until(lambda: _wayland_sockets(desk) - before, what="cage").pop()
    finally:
        cage.terminate()
        cage.wait(10)


def _wayland_sockets(desk):
    return {str(path) for path in Path(desk.folder).glob("wayland-*") if path.is_socket()}


def test_where_a_compositor_lets_nobody_type_every_output_says_so(sway):
    async def probe(path):
        session = Session({"WAYLAND_DISPLAY": path})
        outputs = [InputMethodOutput(), VirtualKeyboardOutput(), WtypeOutput(), PasteOutput()]
        found = [await output.probe(session) for output in outputs]
        for output in outputs:
            await output.aclose()
        return found

    with _cage(sway[0]) as path:
        found = asyncio.run(probe(path))
    assert not any(answer.usable for answer in found)
    assert all("compositor" in answer.reason for answer in found)


def test_under_wayland_x11_typing_is_not_offered_for_a_window_that_is_none_of_x11():
    async def probe(session):
        outputs = [XtestOutput(), XdotoolOutput()]
        found = [await output.probe(session) for output in outputs]
        for output in outputs:
            await output.aclose()
        return found

    with SwayDesktop(xwayland=True) as desk:
        desk.terminal()
        session = Session(desk.variables)
        found = asyncio.run(probe(session))
    assert session.x11
    assert not any(answer.usable for answer in found)


# --- the clipboard ----------------------------------------------------------------------------------


def _clipboard(desk, *options):
    return desk.run("wl-paste", "--no-newline", *options)


def test_the_clipboard_holds_the_text_and_nothing_is_typed(sway, terminal, session):
    async def look(_output):
        return await asyncio.to_thread(_clipboard, sway[0])

    async def look_for_the_mark(_output):
        return await asyncio.to_thread(_clipboard, sway[0], "--type", SECRET_TYPE)

    delivery, shown, mark = _run(ClipboardOutput(), _deliver("é 你好 😀\n" * 3000, session), look, look_for_the_mark)
    assert mark == "secret"  # clipboard managers keep none of our texts
    assert shown == "é 你好 😀\n" * 3000
    assert (delivery.certainty, delivery.characters) == (Certainty.HELD, 0)
    assert delivery.copied
    assert terminal.text() == ""
