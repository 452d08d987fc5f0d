"""Typing on X11 goes to the window that is meant or nowhere, whoever knows it, and whatever is asked meanwhile."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from Xlib import X

from support import x11
from support.daemon import wait_until
from support.desktop import XDesktop
from v2m.domain.delivery import Certainty, Destination, Session, Window
from v2m.domain.errors import OutputError, OutputReason
from v2m.infrastructure._x11.display import connect
from v2m.infrastructure.desktop.windows.x11 import X11Windows
from v2m.infrastructure.output.pasting import RESTORE_DELAY_S
from v2m.infrastructure.output.x11.paste import PasteX11Output
from v2m.infrastructure.output.x11.user_keys import WAIT_S
from v2m.infrastructure.output.x11.xdotool import XdotoolOutput
from v2m.infrastructure.output.x11.xtest import BATCH, XtestOutput

pytestmark = [pytest.mark.desktop, pytest.mark.timeout(120)]

EVERY = pytest.mark.parametrize(
    "output_class", [XtestOutput, PasteX11Output, XdotoolOutput], ids=lambda output: output.name
)
RESIDENT = pytest.mark.parametrize("output_class", [XtestOutput, PasteX11Output], ids=lambda output: output.name)
ELSEWHERE = Session({"DISPLAY": ":987"})
F12 = 96


@pytest.fixture(scope="module")
def xvfb():
    with XDesktop() as desk:
        yield desk, desk.terminal()


@pytest.fixture
def desk(xvfb):
    return xvfb[0]


@pytest.fixture
def terminal(xvfb):
    xvfb[1].clear()
    return xvfb[1]


@pytest.fixture
def session(xvfb):
    return Session(xvfb[0].variables)


@pytest.fixture
def display(session):
    """A connection of our own."""
    display = connect(session)
    yield display
    display.close()


def _run(output, scenario):
    async def run():
        try:
            return await scenario(output)
        finally:
            await output.aclose()

    return asyncio.run(run())


# --- the window that is meant ---------------------------------------------------------------------------


@EVERY
def test_where_only_the_compositor_knows_the_window_it_is_asked_before_the_first_key(
    terminal, desk, session, tmp_path, output_class
):
    """Ids of a compositor mean nothing to the X server, so that each of its windows looks right."""
    asked = []

    async def stays():
        asked.append(True)
        return len(asked) > 1

    async def scenario(output):
        to = Destination(session, Window("sway:17"), stays=stays)
        with pytest.raises(OutputError, match="focus") as caught:
            await output.deliver("wrong", to)
        there = await asyncio.to_thread(x11.read, desk, "UTF8_STRING", tmp_path)
        await output.deliver("right", to)
        return caught.value, there

    with x11.owning(desk, tmp_path / "theirs", {"UTF8_STRING": b"theirs"}):
        error, there = _run(output_class(), scenario)
        assert (error.reason, error.delivered) == (OutputReason.REFUSED, 0)
        assert there == b"theirs"
        assert terminal.wait_text("right") == "right"


@EVERY
def test_another_window_than_the_one_that_is_meant_gets_nothing(terminal, session, output_class):
    async def scenario(output):
        with pytest.raises(OutputError, match="focus") as caught:
            await output.deliver("wrong", Destination(session, Window("x11:0x123456", "XTerm")))
        return caught.value

    error = _run(output_class(), scenario)
    assert (error.reason, error.delivered) == (OutputReason.REFUSED, 0)
    assert terminal.text() == ""


@EVERY
def test_without_a_window_manager_the_window_under_the_pointer_gets_the_text(output_class):
    """On a bare server the focus is nobody's; the window is known all the same."""

    async def scenario(output):
        windows = X11Windows()
        try:
            while (window := await windows.focused(session)) is None:
                await asyncio.sleep(0.01)
            return await output.deliver("here", Destination(session, window)), window
        finally:
            await windows.aclose()

    with XDesktop() as bare:
        terminal, session = bare.terminal(), Session(bare.variables)
        display = connect(session)
        window = int(bare.run("xdotool", "getwindowfocus"))
        os.kill(int(Path(bare.folder, "pids").read_text().split()[1]), signal.SIGTERM)  # the window manager
        root = display.screen().root
        wait_until(lambda: not root.get_full_property(display.intern_atom("_NET_SUPPORTED"), 0), what="no manager")
        display.create_resource_object("window", window).configure(x=0, y=0)
        root.warp_pointer(20, 20)
        display.set_input_focus(X.PointerRoot, X.RevertToNone, X.CurrentTime)
        display.sync()
        delivery, found = _run(output_class(), scenario)
        assert terminal.wait_text("here") == "here"
        assert delivery.certainty in (Certainty.SENT, Certainty.CONFIRMED)
        root.warp_pointer(1279, 719)
        display.sync()
        with pytest.raises(OutputError, match="focus") as caught:
            _run(output_class(), lambda output: output.deliver("nobody", Destination(session, found)))
        assert caught.value.delivered == 0
        display.close()


# --- a child that types ------------------------------------------------------------------------------------


def test_xdotool_is_ended_when_another_window_gets_the_focus_and_leaves_no_key_down(desk, terminal, session, display):
    mine = desk.run("xdotool", "getwindowfocus").strip()
    second = desk.terminal()
    other = desk.run("xdotool", "getwindowfocus").strip()
    desk.run("xdotool", "windowfocus", "--sync", mine)

    async def steal(output):
        async with asyncio.TaskGroup() as tasks:
            typing = tasks.create_task(_failure(output.deliver("Xx" * 1_000, Destination(session))))
            await asyncio.to_thread(terminal.wait_text, lambda received: len(received) > 0)
            await asyncio.to_thread(desk.run, "xdotool", "windowfocus", other)
        return typing.result()

    error = _run(XdotoolOutput(), steal)
    try:
        assert error.delivered is None
        assert len(second.text()) <= BATCH
        assert not any(display.query_keymap())
        assert len(terminal.text()) < 2_000
    finally:
        desk.run("xdotool", "windowfocus", "--sync", mine)
        os.kill(second.pid, signal.SIGTERM)


async def _failure(delivery):
    with pytest.raises(OutputError) as caught:
        await delivery
    return caught.value


# --- what is asked while a text is typed ---------------------------------------------------------------------


@RESIDENT
@pytest.mark.parametrize("other", [True, False], ids=["of another display", "that is given up"])
def test_a_probe_while_a_text_is_typed_leaves_it_alone(terminal, session, output_class, other):
    text = "word " * 2_000

    async def scenario(output):
        await output.deliver("first ", Destination(session))
        async with asyncio.TaskGroup() as tasks:
            typing = tasks.create_task(output.deliver(text, Destination(session)))
            if output_class is XtestOutput:
                await asyncio.to_thread(terminal.wait_text, lambda received: len(received) > 6 + BATCH)
            else:
                await asyncio.sleep(0)
            for _ in range(5):
                probe = tasks.create_task(output.probe(ELSEWHERE if other else session))
                await asyncio.sleep(0.002)
                if not other:
                    probe.cancel()
        return typing.result()

    delivery = _run(output_class(), scenario)
    assert terminal.wait_text("first " + text, timeout_s=60) == "first " + text
    assert delivery.characters == len(text)
    assert delivery.certainty in (Certainty.SENT, Certainty.CONFIRMED)


# --- the clipboard of somebody who keeps the text elsewhere ---------------------------------------------------


@pytest.mark.parametrize("keep", [True, False], ids=["comes back", "stays"])
def test_a_text_that_is_not_taken_makes_way_where_the_clipboard_is_to_be_kept(desk, terminal, session, tmp_path, keep):
    async def scenario(output):
        terminal.stop()
        try:
            delivery = await output.deliver("probe", Destination(session, keep_clipboard=keep))
            await asyncio.sleep(RESTORE_DELAY_S + 0.15)  # the delay is what is tested
            return delivery, await asyncio.to_thread(x11.read, desk, "UTF8_STRING", tmp_path)
        finally:
            terminal.resume()
            await asyncio.to_thread(desk.run, "xdotool", "type", "z")
            shown = {"z"} if keep else {"zprobe", "probez"}  # by now the paste key has been handled
            await asyncio.to_thread(terminal.wait_text, lambda received: received in shown)

    with x11.owning(desk, tmp_path / "theirs", {"UTF8_STRING": b"theirs"}):
        delivery, there = _run(PasteX11Output(), scenario)
    assert (delivery.certainty, delivery.characters) == (Certainty.UNCERTAIN, 0)
    assert there == (b"theirs" if keep else b"probe")
    assert ("clipboard" in delivery.detail) is not keep


# --- grabs while we dictate -----------------------------------------------------------------------------------


@RESIDENT
def test_a_lock_screen_is_waited_for_no_longer_because_we_dictate(desk, terminal, session, output_class):
    async def scenario(output):
        async with asyncio.timeout(4 * WAIT_S):
            with pytest.raises(OutputError, match="all keys") as caught:
                await output.deliver("secret", Destination(session))
        return caught.value

    with x11.program(desk, "grab"):
        error = _run(output_class(dictating=lambda: True), scenario)
    assert error.delivered == 0
    assert terminal.text() == ""


@RESIDENT
def test_the_owner_of_our_hotkey_has_all_keys_as_long_as_it_is_held(desk, terminal, session, display, output_class):
    looks = []

    def dictating():
        looks.append(True)
        return True

    async def scenario(output):
        async with asyncio.TaskGroup() as tasks:
            typing = tasks.create_task(output.deliver("later", Destination(session)))
            while len(looks) < 130:  # at 20 ms: longer than others are waited for
                await asyncio.sleep(0.01)
            early = terminal.text()
            await asyncio.to_thread(desk.run, "xdotool", "keyup", str(F12))
        return early, typing.result()

    root = display.screen().root
    root.grab_key(F12, X.AnyModifier, False, X.GrabModeAsync, X.GrabModeAsync)
    display.sync()
    desk.run("xdotool", "keydown", str(F12))
    try:
        early, delivery = _run(output_class(dictating=dictating), scenario)
    finally:
        desk.run("xdotool", "keyup", str(F12))
        root.ungrab_key(F12, X.AnyModifier)
        display.sync()
    assert early == ""
    assert terminal.wait_text("later") == "later"
    assert delivery.characters == 5
