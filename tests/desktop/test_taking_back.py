"""Texts are taken back exactly in real applications, through the commands of the daemon."""

import asyncio
import os
from contextlib import contextmanager

import pytest

from support.container import ask, contained, private_home
from support.desktop import SwayDesktop, XDesktop
from v2m.application.second_thoughts import HOTKEY_S
from v2m.domain.delivery import Certainty, Destination, Session
from v2m.domain.errors import OutputError, OutputReason, StateError
from v2m.infrastructure.desktop.input_watch.chain import LiveInputWatch
from v2m.infrastructure.engines.scripted import ScriptedTranscriber
from v2m.infrastructure.output.erasers.input_method import InputMethodEraser
from v2m.infrastructure.output.erasers.keys import KeyEraser
from v2m.infrastructure.output.wayland.input_method import InputMethodOutput
from v2m.infrastructure.output.wayland.virtual_keyboard import VirtualKeyboardOutput
from v2m.infrastructure.output.x11.xtest import XtestOutput

pytestmark = [pytest.mark.desktop, pytest.mark.timeout(240)]

BEFORE = "Dear Ännä, "
TEXTS = {
    "a sentence": "Please move the meeting to Thursday at ten.",
    "every script": "é ß ñ 你好 😀 — “q” €, Привет",
    "joined emoji": "👨\u200d👩\u200d👧 and 👍🏽 and 🇩🇪 are here",
    "marks": "e\u0323\u0301 क्षि กำ and more",
    "long": "naïve café " * 150,
}
PLAIN = [TEXTS["a sentence"], TEXTS["every script"]]
DELETE = "\x7f"  # what a terminal sends for BackSpace


@pytest.fixture(scope="module")
def sway():
    with SwayDesktop() as desk:
        yield desk


@pytest.fixture(scope="module", params=["gtk", "qt", "firefox"])
def field(request, sway):
    return sway.target(request.param)


async def retried(work):
    """Do what a window refuses while it is still busy with its last change."""
    for _ in range(50):
        try:
            return await work()
        except OutputError as error:
            if error.delivered != 0 or error.reason not in (OutputReason.REFUSED, OutputReason.UNSEEN):
                raise
            last = error
            await asyncio.sleep(0.1)
    raise last


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_an_application_that_shows_its_text_loses_exactly_ours(sway, field, text):
    field.set(BEFORE)
    to = Destination(Session(sway.variables))

    async def scenario():
        await retried(lambda: InputMethodOutput().deliver(text, to))
        await asyncio.to_thread(field.wait_text, BEFORE + text)
        return await retried(lambda: InputMethodEraser().erase(text, to))

    removed = asyncio.run(scenario())
    assert (removed.certainty, removed.characters) == (Certainty.CONFIRMED, len(text))
    assert field.wait_text(BEFORE)


def test_a_cursor_that_was_moved_keeps_the_text(sway, field):
    to = Destination(Session(sway.variables))
    field.set("hello there", 5, 5)

    async def scenario():
        for _ in range(50):  # an application tells of its cursor when it is done with the change
            with pytest.raises(OutputError) as caught:
                await InputMethodEraser().erase("hello there", to)
            if caught.value.reason is OutputReason.REFUSED:
                break
            await asyncio.sleep(0.1)
        return caught.value

    error = asyncio.run(scenario())
    assert (error.delivered, error.reason, field.text()) == (0, OutputReason.REFUSED, "hello there")


@pytest.mark.parametrize("text", PLAIN, ids=["a sentence", "every script"])
def test_keys_remove_as_much_as_they_typed(sway, field, text):
    field.set(BEFORE)
    to = Destination(Session(sway.variables))

    async def scenario():
        keyboard = VirtualKeyboardOutput()
        try:
            await keyboard.deliver(text, to)
            await asyncio.to_thread(field.wait_text, BEFORE + text)
            return await KeyEraser(keyboard).erase(text, to)
        finally:
            await keyboard.aclose()

    assert asyncio.run(scenario()).certainty is Certainty.SENT
    assert field.wait_text(BEFORE)


@pytest.mark.parametrize("text", PLAIN, ids=["a sentence", "every script"])
def test_on_x11_keys_remove_as_much_as_they_typed(text):
    with XDesktop() as desk:
        field = desk.target("gtk")
        field.set(BEFORE)
        to = Destination(Session(desk.variables))

        async def scenario():
            keyboard = XtestOutput(dictating=lambda: False)
            try:
                await keyboard.deliver(text, to)
                await asyncio.to_thread(field.wait_text, BEFORE + text)
                return await KeyEraser(keyboard).erase(text, to)
            finally:
                await keyboard.aclose()

        assert asyncio.run(scenario()).certainty is Certainty.SENT
        assert field.wait_text(BEFORE)


# --- the whole daemon -------------------------------------------------------------------------------


class Desk:
    """A session that is known."""

    def __init__(self, desktop):
        self._session = Session(desktop.variables, "client")

    async def current(self, hint):
        return self._session


@contextmanager
def commands(desktop, tmp_path, monkeypatch, watch=None):
    """Yield what runs a scenario of commands against a container that types into this desktop."""
    settings, _ = private_home(tmp_path, monkeypatch)

    def play(scenario):
        async def main():
            real = {"outputs": None, "windows": None, "sessions": Desk(desktop), "watch": watch}
            engine = ScriptedTranscriber(["so we\nmeet on Thursday"])
            async with contained(settings, transcriber=engine, **real) as (container, _, _):
                return await scenario(container)

        return asyncio.run(main())

    yield play


async def dictate(container):
    await ask(container, "START_RECORDING")
    opened = container.dictations.recording
    while opened.spool.head < 16000:
        await asyncio.sleep(0.02)
    return (await ask(container, "STOP_RECORDING"))["delivered"]


def test_undo_and_again_where_the_window_shows_its_text(sway, tmp_path, monkeypatch):
    field = sway.target("gtk")
    field.set(BEFORE)
    text = "so we meet on Thursday"

    async def scenario(container):
        await dictate(container)
        await asyncio.to_thread(field.wait_text, BEFORE + text)
        removal = await ask(container, "UNDO_DELIVERY")
        assert (removal["method"], removal["confirmed"], removal["characters"]) == ("input-method", True, len(text))
        await asyncio.to_thread(field.wait_text, BEFORE)
        with pytest.raises(StateError, match="Nothing was typed"):
            await ask(container, "UNDO_DELIVERY")
        row = (await ask(container, "LIST_HISTORY"))["entries"][0]
        assert (row["phase"], row["text"], row["characters"]) == ("held", text, 0)
        await ask(container, "DELIVER_AGAIN")
        await asyncio.to_thread(field.wait_text, BEFORE + text)

    with commands(sway, tmp_path, monkeypatch) as play:
        play(scenario)


def test_undo_in_a_terminal_by_keys_and_not_after_a_key(sway, tmp_path, monkeypatch):
    terminal, watch = sway.terminal(), LiveInputWatch()
    text = "so we meet on Thursday"

    async def again(container):
        """Have it typed in a moment in which the compositor says that nothing was touched since."""
        for _ in range(10):  # a busy machine looks like a busy user
            terminal.clear()
            await ask(container, "DELIVER_AGAIN")
            await asyncio.to_thread(terminal.wait_text, text)
            if await becomes(watch, False, 0, within=1):
                return
        pytest.fail("The compositor never says that nothing was touched.")

    async def scenario(container):
        await dictate(container)
        await asyncio.to_thread(terminal.wait_text, text)
        await again(container)
        removal = await ask(container, "UNDO_DELIVERY")
        assert (removal["method"], removal["certainty"]) == ("virtual-keyboard", "sent")
        await asyncio.to_thread(terminal.wait_text, text + DELETE * len(text))
        await again(container)
        await asyncio.to_thread(sway.press, 30)
        await asyncio.to_thread(sway.release, 30)
        assert await becomes(watch, None, HOTKEY_S)
        with pytest.raises(StateError, match="not certain"):
            await ask(container, "UNDO_DELIVERY")
        assert terminal.wait_text(text + "a")

    with commands(sway, tmp_path, monkeypatch, watch) as play:
        play(scenario)


async def becomes(watch, answer, hotkey_s, within=20):
    """Wait until the watch answers so; tell whether it did."""
    try:
        async with asyncio.timeout(within):
            while await watch.touched(within_s=hotkey_s) is not answer:
                await asyncio.sleep(0.01)
    except TimeoutError:
        return False
    return True


def test_on_x11_undo_in_a_terminal_and_not_after_a_key(tmp_path, monkeypatch):
    text = "so we meet on Thursday"
    with XDesktop() as desk:
        terminal, watch = desk.terminal(), LiveInputWatch()

        async def scenario(container):
            delivered = await dictate(container)
            await asyncio.to_thread(terminal.wait_text, text)
            removal = await ask(container, "UNDO_DELIVERY")
            assert (delivered["method"], removal["method"], removal["certainty"]) == ("xtest", "xtest", "sent")
            await asyncio.to_thread(terminal.wait_text, lambda shown: len(shown) == 2 * len(text))
            assert set(terminal.text()[len(text) :]) <= {"\b", DELETE}
            terminal.clear()
            await ask(container, "DELIVER_AGAIN")
            await asyncio.to_thread(terminal.wait_text, text)
            await asyncio.to_thread(desk.run, "xdotool", "key", "a")
            assert await becomes(watch, True, HOTKEY_S)
            with pytest.raises(StateError, match="Something was pressed"):
                await ask(container, "UNDO_DELIVERY")
            assert terminal.wait_text(text + "a")

        with commands(desk, tmp_path, monkeypatch, watch) as play:
            play(scenario)


def test_another_window_keeps_what_it_has_and_raw_goes_to_the_clipboard(sway, tmp_path, monkeypatch):
    first = sway.target("gtk")

    async def scenario(container):
        await dictate(container)
        await asyncio.to_thread(first.wait_text, "so we meet on Thursday")
        second = await asyncio.to_thread(sway.target, "gtk")
        second.set("so we meet on Thursday")
        with pytest.raises(StateError, match="Another window"):
            await ask(container, "UNDO_DELIVERY")
        assert second.text() == first.text() == "so we meet on Thursday"
        os.kill(second.pid, 15)

    with commands(sway, tmp_path, monkeypatch) as play:
        play(scenario)
