"""Pasting on a real X server: into the window, and back comes all that was on the clipboard."""

import asyncio
import json
import os
import random
import signal

import pytest

from support import x11
from support.desktop import XDesktop
from v2m.domain.delivery import Certainty, Destination, Session, Window
from v2m.domain.errors import OutputError, OutputReason
from v2m.infrastructure.output.clipboard import ClipboardOutput
from v2m.infrastructure.output.pasting import RESTORE_DELAY_S
from v2m.infrastructure.output.x11.paste import PasteX11Output
from v2m.infrastructure.output.x11.xdotool import XdotoolOutput
from v2m.infrastructure.output.x11.xtest import XtestOutput

pytestmark = [pytest.mark.desktop, pytest.mark.timeout(120)]

TEXT = "é ß ñ 你好 😀 — “q” €"
PICTURE = random.Random(7).randbytes(3 << 20)
THEIRS = {"UTF8_STRING": "theirs é".encode(), "image/png": PICTURE, "text/uri-list": b"file:///tmp/a%20b\r\n"}


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


def _run(scenario, output=None):
    async def run():
        used = output or PasteX11Output()
        try:
            return await scenario(used)
        finally:
            await used.aclose()

    return asyncio.run(run())


async def _restored(call, *arguments):
    """Look once the clipboard has come back; the delay is what is tested."""
    await asyncio.sleep(RESTORE_DELAY_S + 0.15)
    return await asyncio.to_thread(call, *arguments)


# --- into the window --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", [TEXT, "x", "A sentence. " * 400, "é" * 400_000], ids=["every script", "x", "5k", "INCR"]
)
def test_the_window_shows_the_text_and_confirms_it(terminal, session, text):
    delivery = _run(lambda output: output.deliver(text, Destination(session)))
    assert terminal.wait_text(text, timeout_s=60) == text
    assert (delivery.certainty, delivery.characters) == (Certainty.CONFIRMED, len(text))
    assert (delivery.method, delivery.target) == ("paste-x11", "XTerm")


def test_texts_that_follow_each_other_at_once_arrive_once_and_in_order(terminal, session):
    texts = [f"number {number}. " for number in range(8)]

    async def scenario(output):
        return [await output.deliver(text, Destination(session)) for text in texts]

    deliveries = _run(scenario)
    assert terminal.wait_text("".join(texts))
    assert {delivery.certainty for delivery in deliveries} == {Certainty.CONFIRMED}


@pytest.mark.parametrize("key", ["ctrl+v", "shift+insert"])
def test_a_field_takes_the_text_at_the_key_that_is_wished(desk, session, key):
    field = desk.target("gtk", "text")
    try:
        delivery = _run(lambda output: output.deliver(TEXT, Destination(session, paste_key=key)))
        assert field.wait_text(TEXT)
        assert delivery.certainty is Certainty.CONFIRMED
    finally:
        os.kill(field.pid, signal.SIGTERM)


@pytest.mark.parametrize("layout", ["ru", "us,ru", "fr", "us(dvorak)"])
def test_the_paste_key_is_found_on_every_layout(desk, session, layout):
    field = desk.target("gtk", "text")
    name, _, variant = layout.partition("(")
    desk.run("setxkbmap", name, *(["-variant", variant[:-1]] if variant else []))
    try:
        delivery = _run(lambda output: output.deliver(TEXT, Destination(session, paste_key="ctrl+v")))
        assert field.wait_text(TEXT)
        assert delivery.certainty is Certainty.CONFIRMED
    finally:
        desk.run("setxkbmap", "us")
        os.kill(field.pid, signal.SIGTERM)


@pytest.mark.parametrize("key", ["Super_L", "Control_L", "Shift_L", "Alt_L"])
def test_a_modifier_that_the_user_never_lets_go_is_released(desk, terminal, session, key):
    desk.run("xdotool", "keydown", key)
    try:
        _run(lambda output: output.deliver(TEXT, Destination(session)))
        assert terminal.wait_text(TEXT)
    finally:
        desk.run("xdotool", "keyup", key)


def test_a_window_that_hangs_leaves_the_text_on_the_clipboard(desk, terminal, session, tmp_path):
    async def scenario(output):
        terminal.stop()
        try:
            delivery = await output.deliver(TEXT, Destination(session))
            return delivery, await asyncio.to_thread(x11.read, desk, "UTF8_STRING", tmp_path)
        finally:
            terminal.resume()
            await asyncio.to_thread(terminal.wait_text, TEXT)

    delivery, there = _run(scenario)
    assert (delivery.certainty, delivery.characters) == (Certainty.UNCERTAIN, 0)
    assert there.decode() == TEXT


def test_a_clipboard_manager_that_reads_it_is_no_receipt(desk, terminal, session):
    async def scenario(output):
        terminal.stop()
        try:
            delivery = await output.deliver(TEXT, Destination(session))
            return delivery, await asyncio.to_thread(manager.value)
        finally:
            terminal.resume()
            await asyncio.to_thread(terminal.wait_text, TEXT)

    with x11.program(desk, "watch") as manager:
        delivery, seen = _run(scenario)
    assert seen == TEXT
    assert delivery.certainty is Certainty.UNCERTAIN


def test_the_window_that_the_text_is_for_has_to_have_the_focus(desk, terminal, session):
    there = Window(f"x11:{int(desk.run('xdotool', 'getwindowfocus')):#x}", "XTerm")
    elsewhere = Window("x11:0x123456", "XTerm")
    delivery = _run(lambda output: output.deliver("here", Destination(session, there)))
    with pytest.raises(OutputError, match="focus") as caught:
        _run(lambda output: output.deliver("wrong", Destination(session, elsewhere)))
    assert delivery.certainty is Certainty.CONFIRMED
    assert (caught.value.reason, caught.value.delivered) == (OutputReason.REFUSED, 0)
    assert terminal.wait_text("here")


@pytest.mark.parametrize("output_class", [PasteX11Output, XtestOutput, XdotoolOutput], ids=lambda output: output.name)
def test_while_a_lock_screen_has_all_keys_nothing_is_typed(desk, terminal, session, tmp_path, output_class):
    with x11.owning(desk, tmp_path, {"UTF8_STRING": b"theirs"}), x11.program(desk, "grab"):
        with pytest.raises(OutputError, match="all keys") as caught:
            _run(lambda output: output.deliver("secret", Destination(session)), output_class())
        assert x11.read(desk, "UTF8_STRING", tmp_path) == b"theirs"
    assert (caught.value.reason, caught.value.delivered) == (OutputReason.REFUSED, 0)
    assert terminal.text() == ""


# --- what was on the clipboard ------------------------------------------------------------------------


def test_everything_comes_back_with_all_its_types_however_often_is_pasted(desk, terminal, session, tmp_path):
    def look():
        return {kind: x11.read(desk, kind, tmp_path) for kind in THEIRS}

    async def scenario(output):
        for text in ("one ", "two ", "three"):
            await output.deliver(text, Destination(session))
        return await _restored(look)

    with x11.owning(desk, tmp_path / "theirs", THEIRS) as owner:
        back = _run(scenario)
        assert owner.line() == "lost"
    assert terminal.wait_text("one two three")
    assert back == THEIRS


def test_what_came_back_survives_the_next_dictation(desk, terminal, session, tmp_path):
    async def scenario(output):
        await output.deliver("one ", Destination(session))
        await _restored(int)
        await output.deliver("two", Destination(session))
        return await _restored(x11.read, desk, "image/png", tmp_path)

    with x11.owning(desk, tmp_path / "theirs", THEIRS):
        assert _run(scenario) == PICTURE


def test_both_selections_come_back_and_an_empty_one_is_empty_again(desk, terminal, session):
    def primary():
        return desk.run("xclip", "-o", "-selection", "primary")

    async def scenario(output):
        await output.deliver("hello", Destination(session))
        return await _restored(primary), desk.run("xprop", "-root").count("CLIPBOARD"), await _owner(output)

    async def _owner(output):
        display = output._desk.keyboard.display
        return await asyncio.to_thread(
            output._desk.thread.ask, lambda: display.get_selection_owner(display.intern_atom("CLIPBOARD"))
        )

    desk.run("bash", "-c", "echo -n mine | xclip -selection primary >/dev/null 2>&1")
    shown, _, owner = _run(scenario)
    assert shown == "mine"
    assert owner == 0


def test_what_the_user_copies_right_after_pasting_stays(desk, terminal, session, tmp_path):
    async def scenario(output):
        await output.deliver("hello", Destination(session))
        await asyncio.to_thread(desk.run, "bash", "-c", "echo -n newer | xclip -selection clipboard >/dev/null 2>&1")
        return await _restored(x11.read, desk, "UTF8_STRING", tmp_path)

    with x11.owning(desk, tmp_path / "theirs", THEIRS):
        assert _run(scenario) == b"newer"


def test_a_secret_of_the_users_stays_marked_and_so_is_ours(desk, terminal, session, tmp_path):
    marker = "x-kde-passwordManagerHint"

    async def scenario(output):
        terminal.stop()
        try:
            await output.deliver("hello", Destination(session))
            ours = await asyncio.to_thread(x11.read, desk, marker, tmp_path)
        finally:
            terminal.resume()
            await asyncio.to_thread(terminal.wait_text, "hello")
        await output.deliver(" again", Destination(session))
        return ours, await _restored(x11.read, desk, marker, tmp_path)

    with x11.owning(desk, tmp_path / "theirs", {"UTF8_STRING": b"hunter2", marker: b"theirs"}):
        assert _run(scenario) == (b"secret", b"theirs")


def test_an_owner_that_hangs_keeps_the_clipboard_and_the_next_output_types(desk, terminal, session):
    with x11.program(desk, "own-hanging") as owner:
        with pytest.raises(OutputError, match="cannot be kept") as caught:
            _run(lambda output: output.deliver("hello", Destination(session, paste_key="ctrl+v")))
        assert (caught.value.reason, caught.value.delivered) == (OutputReason.REFUSED, 0)
        os.kill(owner.pid, 0)
    assert terminal.text() == ""


def test_more_than_can_be_kept_is_left_where_it_is(desk, terminal, session, tmp_path, monkeypatch):
    monkeypatch.setattr("v2m.infrastructure.output.x11.selection_reader.SAVE_BYTES", 1 << 20)
    with x11.owning(desk, tmp_path / "theirs", THEIRS):
        with pytest.raises(OutputError, match="cannot be kept"):
            _run(lambda output: output.deliver("hello", Destination(session)))
        assert x11.read(desk, "image/png", tmp_path) == PICTURE
    assert terminal.text() == ""


def test_nothing_of_ours_is_left_when_the_daemon_closes(desk, terminal, session):
    _run(lambda output: output.deliver("hello", Destination(session)))
    assert terminal.wait_text("hello")
    with pytest.raises(AssertionError):
        desk.run("xclip", "-o", "-selection", "clipboard")


# --- owning as the ICCCM wants it ----------------------------------------------------------------------


def test_several_targets_are_given_at_once_and_what_is_not_there_is_refused(desk, session, tmp_path):
    async def scenario(output):
        await output.deliver(TEXT, Destination(session))
        await asyncio.to_thread(x11.do, desk, "multiple", tmp_path / "found")
        return json.loads((tmp_path / "found").read_text())

    found = _run(scenario, ClipboardOutput())
    assert found["UTF8_STRING"] == ["UTF8_STRING", TEXT]
    assert {"TARGETS", "TIMESTAMP", "MULTIPLE", "UTF8_STRING", "TEXT"} <= set(found["TARGETS"][1])
    assert "STRING" not in found["TARGETS"][1]
    assert found["TIMESTAMP"][0] == "INTEGER"
    assert found["TIMESTAMP"][1][0] > 0
    assert found["refused"]


def test_a_requestor_that_hangs_half_way_keeps_nobody_else_from_the_text(desk, session, tmp_path):
    text = "é" * 400_000

    async def scenario(output):
        await output.deliver(text, Destination(session))
        with x11.program(desk, "hang", "UTF8_STRING"):
            return await asyncio.to_thread(x11.read, desk, "UTF8_STRING", tmp_path)

    assert _run(scenario, ClipboardOutput()).decode() == text


def test_a_server_that_hangs_is_given_up_and_nothing_was_pasted(desk, terminal, session):
    async def scenario(output):
        await output.deliver("works", Destination(session))
        await _restored(int)
        os.kill(desk.server_pid, signal.SIGSTOP)
        try:
            with pytest.raises(OutputError) as caught:
                await output.deliver("hangs", Destination(session))
        finally:
            os.kill(desk.server_pid, signal.SIGCONT)
        return caught.value

    error = _run(scenario)
    assert (error.reason, error.delivered) == (OutputReason.NO_DISPLAY, 0)
    assert terminal.wait_text("works")
