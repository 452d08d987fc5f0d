"""Typing into a real X server when something is in the way."""

import asyncio
import os
import signal

import pytest

from support.desktop import XDesktop
from v2m.domain.delivery import Certainty, Destination, Session
from v2m.domain.errors import OutputError, OutputReason
from v2m.infrastructure._x11.display import connect
from v2m.infrastructure.output.clipboard import ClipboardOutput
from v2m.infrastructure.output.pasting import SECRET_TYPE
from v2m.infrastructure.output.x11.xdotool import XdotoolOutput
from v2m.infrastructure.output.x11.xtest import BATCH, XtestOutput

pytestmark = [pytest.mark.desktop, pytest.mark.timeout(120)]

HAN = "".join(map(chr, range(0x4E00, 0x4E00 + 120)))


@pytest.fixture(scope="module")
def xvfb():
    with XDesktop() as desk:
        yield desk, desk.terminal()


@pytest.fixture
def terminal(xvfb):
    xvfb[1].clear()
    return xvfb[1]


@pytest.fixture
def session(xvfb):
    return Session(xvfb[0].variables)


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


def _spare_keys(session):
    display = connect(session)
    try:
        return sum(not any(row) for row in display.get_keyboard_mapping(8, 248))
    finally:
        display.close()


def test_more_characters_than_the_server_has_spare_keys_are_typed_exactly(terminal, session):
    before = _spare_keys(session)
    assert before < len(HAN)
    _run(XtestOutput(), _deliver(HAN, session))
    assert terminal.wait_text(HAN)
    assert _spare_keys(session) == before


def test_keys_that_a_killed_run_left_mapped_are_cleared(terminal, session):
    before = _spare_keys(session)

    async def killed(output):
        await output.deliver("你好", Destination(session))
        output._keyboard.display.close()
        output._keyboard = None

    _run(XtestOutput(), killed)
    assert terminal.wait_text("你好")
    assert _spare_keys(session) == before - 2
    _run(XtestOutput(), _deliver(" again", session))
    assert terminal.wait_text("你好 again")
    assert _spare_keys(session) == before


@pytest.mark.parametrize("key", ["Super_L", "Control_L", "Shift_L"])
def test_a_modifier_that_the_user_never_lets_go_is_released_for_typing(xvfb, terminal, session, key):
    xvfb[0].run("xdotool", "keydown", key)
    try:
        _run(XtestOutput(), _deliver("super was held", session))
        assert terminal.wait_text("super was held")
    finally:
        xvfb[0].run("xdotool", "keyup", key)


def test_another_window_gets_at_most_one_batch(xvfb, terminal, session):
    desk = xvfb[0]
    mine = desk.run("xdotool", "getwindowfocus").strip()
    text = "x" * 20_000

    async def steal(output):
        async with asyncio.TaskGroup() as tasks:
            typing = tasks.create_task(output.deliver(text, Destination(session)))
            await asyncio.to_thread(terminal.wait_text, lambda received: len(received) > 0)
            await asyncio.to_thread(desk.run, "xdotool", "windowfocus", other)
        return typing.result()

    second = desk.terminal()
    other = desk.run("xdotool", "getwindowfocus").strip()
    desk.run("xdotool", "windowfocus", "--sync", mine)
    (delivery,) = _run(XtestOutput(), steal)
    desk.run("xdotool", "windowfocus", "--sync", mine)
    assert delivery.certainty is Certainty.UNCERTAIN
    assert delivery.characters < len(text)
    assert len(second.text()) <= BATCH
    terminal.wait_text(lambda received: len(received) + len(second.text()) == delivery.characters)


def test_a_server_that_hangs_is_given_up_and_nothing_was_typed(xvfb, terminal, session):
    async def hang(output):
        await output.deliver("works", Destination(session))
        os.kill(xvfb[0].server_pid, signal.SIGSTOP)
        try:
            with pytest.raises(OutputError) as caught:
                await output.deliver("hangs", Destination(session))
        finally:
            os.kill(xvfb[0].server_pid, signal.SIGCONT)
        return caught.value

    (error,) = _run(XtestOutput(), hang)
    assert (error.reason, error.delivered) == (OutputReason.NO_DISPLAY, 0)
    assert terminal.wait_text("works")


@pytest.mark.parametrize("output_class", [XtestOutput, XdotoolOutput, ClipboardOutput], ids=lambda output: output.name)
def test_without_the_sessions_cookie_the_display_stays_shut(output_class, session, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XAUTHORITY", raising=False)
    with pytest.raises(OutputError) as caught:
        _run(output_class(), _deliver("hello", Session({"DISPLAY": session.x11})))
    assert caught.value.reason is OutputReason.NO_DISPLAY


def test_the_clipboard_holds_the_text_for_whoever_asks_how(xvfb, terminal, session):
    text = "é 你好 😀 " * 20_000

    async def look(_output):
        return await asyncio.to_thread(xvfb[0].run, "xclip", "-o", "-selection", "clipboard")

    async def look_again(_output):
        return await asyncio.to_thread(xvfb[0].run, "xclip", "-o", "-selection", "clipboard", "-t", "TARGETS")

    async def copy_over(_output):
        await asyncio.to_thread(
            xvfb[0].run, "bash", "-c", "echo -n theirs | xclip -selection clipboard >/dev/null 2>&1"
        )

    delivery, shown, targets, _, theirs = _run(
        ClipboardOutput(), _deliver(text, session), look, look_again, copy_over, look
    )
    assert shown == text
    assert "UTF8_STRING" in targets
    assert SECRET_TYPE in targets  # clipboard managers keep none of our texts
    assert theirs == "theirs"
    assert delivery.certainty is Certainty.HELD
    assert terminal.text() == ""
