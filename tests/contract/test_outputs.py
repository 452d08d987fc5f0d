"""Every way of typing keeps the same promises, each into a real terminal in a real desktop."""

import asyncio
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.desktop import SwayDesktop, XDesktop
from v2m.domain.delivery import Certainty, Destination, Session, Window
from v2m.domain.errors import OutputError, OutputReason
from v2m.infrastructure.output.clipboard import ClipboardOutput
from v2m.infrastructure.output.dotool import DotoolOutput
from v2m.infrastructure.output.memory import MemoryOutput
from v2m.infrastructure.output.portal import PortalOutput
from v2m.infrastructure.output.wayland.input_method import InputMethodOutput
from v2m.infrastructure.output.wayland.paste import PasteOutput
from v2m.infrastructure.output.wayland.virtual_keyboard import VirtualKeyboardOutput
from v2m.infrastructure.output.wayland.wtype import WtypeOutput
from v2m.infrastructure.output.x11.paste import PasteX11Output
from v2m.infrastructure.output.x11.xdotool import XdotoolOutput
from v2m.infrastructure.output.x11.xtest import XtestOutput
from v2m.infrastructure.output.ydotool import YdotoolOutput

pytestmark = [pytest.mark.contract, pytest.mark.timeout(180)]

SENTENCE = "Please move the meeting to Thursday at ten, and tell Anna about it."
TEXTS = {
    "a sentence": SENTENCE,
    "every script": "é ß ñ 你好 😀 — “q” €",
    "Japanese": "日本語 ñ €",
    "quotes": """He said "don't" and 'do' \\ back""",
    "a leading dash": "- item one",
    "an option": "--help",
    "a shell substitution": "$(touch x)",
    "backticks": "`id`; rm -rf ~ && echo $HOME | tee * > x",
    "every key of a US keyboard": "".join(map(chr, range(32, 127))),
}
LONG = ((SENTENCE + " ") * 80)[:5000]
WAYLAND = [InputMethodOutput, VirtualKeyboardOutput, PasteOutput, WtypeOutput]
X11 = [XtestOutput, PasteX11Output, XdotoolOutput]
CONFIRMS = [PasteX11Output, PasteOutput]  # in a terminal


class PortalOfNoBus(PortalOutput):
    def __init__(self):
        super().__init__(bus_address=None, state=Path("/nonexistent"))


class YdotoolOfNoDaemon(YdotoolOutput):
    def __init__(self):
        super().__init__(sockets=())


ELSEWHERE = [PortalOfNoBus, YdotoolOfNoDaemon, DotoolOutput]


@contextmanager
def _with_terminal(desktop):
    with desktop as desk:
        yield desk, desk.terminal()


@pytest.fixture(scope="module")
def sway():
    with _with_terminal(SwayDesktop()) as pair:
        yield pair


@pytest.fixture(scope="module")
def xvfb():
    with _with_terminal(XDesktop()) as pair:
        yield pair


@pytest.fixture(params=[*WAYLAND, *X11], ids=lambda output: output.name)
def typing(request, sway, xvfb):
    """An output class, its session and the terminal that has the focus there."""
    desk, sink = sway if request.param in WAYLAND else xvfb
    sink.clear()
    return request.param, Session(desk.variables, "client"), sink


async def _deliver(output_class, session, sink, *texts):
    output = output_class()
    window = Window("sway:1", "foot", pid=sink.pid) if output_class in WAYLAND else None  # as the desktop tells of it
    try:
        return [await output.deliver(text, Destination(session, window)) for text in texts]
    finally:
        await output.aclose()


def _certainty(output_class):
    return Certainty.CONFIRMED if output_class in CONFIRMS else Certainty.SENT


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_the_terminal_gets_exactly_the_text(typing, text):
    output_class, session, sink = typing
    (delivery,) = asyncio.run(_deliver(output_class, session, sink, text))
    assert sink.wait_text(text) == text
    lossy = output_class is XdotoolOutput and not text.isascii()
    assert delivery.certainty is (Certainty.UNCERTAIN if lossy else _certainty(output_class))
    assert delivery.characters == len(text)
    assert delivery.method == output_class.name
    assert delivery.target.lower() in ("foot", "xterm")


def test_texts_that_follow_each_other_at_once_arrive_whole_and_in_order(typing):
    output_class, session, sink = typing
    texts = [f"number {number}. " for number in range(6)]
    deliveries = asyncio.run(_deliver(output_class, session, sink, *texts))
    assert sink.wait_text("".join(texts))
    assert {delivery.certainty for delivery in deliveries} == {_certainty(output_class)}


@pytest.mark.parametrize("output_class", [PasteOutput, XtestOutput, PasteX11Output], ids=lambda output: output.name)
def test_five_thousand_characters_arrive_exactly(output_class, sway, xvfb):
    desk, sink = xvfb if output_class in X11 else sway
    sink.clear()
    asyncio.run(_deliver(output_class, Session(desk.variables), sink, LONG))
    assert sink.wait_text(LONG, timeout_s=60) == LONG


def test_a_text_too_long_for_one_commit_is_left_to_others_in_a_terminal(sway):
    desk, sink = sway
    sink.clear()
    with pytest.raises(OutputError) as caught:
        asyncio.run(_deliver(InputMethodOutput, Session(desk.variables), sink, LONG))
    assert (caught.value.reason, caught.value.delivered) == (OutputReason.REFUSED, 0)
    assert sink.text() == ""


def test_a_probe_says_yes_with_a_reason_and_types_nothing(typing):
    output_class, session, sink = typing

    async def probe():
        output = output_class()
        try:
            return await output.probe(session)
        finally:
            await output.aclose()

    found = asyncio.run(probe())
    assert found.usable
    assert found.reason.endswith(".")
    assert sink.text() == ""


@pytest.mark.parametrize("output_class", [*WAYLAND, *X11, *ELSEWHERE, ClipboardOutput], ids=lambda output: output.name)
def test_without_a_desktop_the_probe_says_so_and_nothing_is_typed(output_class):
    async def scenario():
        output = output_class()
        assert not (await output.probe(Session())).usable
        with pytest.raises(OutputError) as caught:
            await output.deliver("hello", Destination(Session()))
        await output.aclose()
        return caught.value

    error = asyncio.run(scenario())
    assert error.reason is OutputReason.NO_DISPLAY
    assert error.delivered == 0


@pytest.mark.parametrize("output_class", [*WAYLAND, *X11, *ELSEWHERE, ClipboardOutput], ids=lambda output: output.name)
def test_a_desktop_that_has_gone_is_no_display(output_class, tmp_path):
    gone = Session({"WAYLAND_DISPLAY": str(tmp_path / "wayland-7"), "DISPLAY": ":987"})

    async def scenario():
        output = output_class()
        found = await output.probe(gone)
        with pytest.raises(OutputError) as caught:
            await output.deliver("hello", Destination(gone))
        await output.aclose()
        await output.aclose()
        return found, caught.value

    found, error = asyncio.run(scenario())
    assert not found.usable
    assert (error.reason, error.delivered) == (OutputReason.NO_DISPLAY, 0)


def test_the_memory_output_keeps_texts_and_breaks_where_it_is_told():
    async def scenario():
        output, broken = MemoryOutput(), MemoryOutput(fail_after=3)
        delivery = await output.deliver("hello", Destination(Session()))
        assert (await broken.probe(Session())).usable
        with pytest.raises(OutputError) as caught:
            await broken.deliver("hello", Destination(Session()))
        return output, broken, delivery, caught.value

    output, broken, delivery, error = asyncio.run(scenario())
    assert (output.texts, delivery.characters) == (["hello"], 5)
    assert (broken.texts, error.delivered) == (["hel"], 3)
