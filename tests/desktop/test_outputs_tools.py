"""Typing tools as children: what they are given, and what happens when they fail."""

import asyncio
import json
import sys

import pytest

from support.compositor import ScriptedCompositor
from support.desktop import SwayDesktop, XDesktop
from v2m.domain.delivery import Certainty, Destination, Session
from v2m.domain.errors import OutputError, OutputReason
from v2m.infrastructure._wayland.backlog import Backlog
from v2m.infrastructure.output._tools import focused
from v2m.infrastructure.output.wayland.virtual_keyboard import BATCH, TOO_LONG, UNSEEN_LIMIT
from v2m.infrastructure.output.wayland.wtype import WtypeOutput
from v2m.infrastructure.output.x11.xdotool import XdotoolOutput

pytestmark = [pytest.mark.desktop, pytest.mark.timeout(120)]

NASTY = "--help $(touch x) `id` é “q”"


@pytest.fixture(scope="module")
def sessions():
    with SwayDesktop() as sway, XDesktop() as xvfb:
        sway.terminal()
        xvfb.terminal()
        yield {WtypeOutput: Session(sway.variables), XdotoolOutput: Session(xvfb.variables)}


@pytest.fixture(params=[WtypeOutput, XdotoolOutput], ids=lambda output: output.name)
def tool(request, sessions):
    """The output, and its session."""
    return request.param(), sessions[request.param]


@pytest.fixture
def stand_in(tool, tmp_path, monkeypatch):
    """Put a Python program in front of the real tool."""
    tools = tmp_path / "bin with spaces"
    tools.mkdir()

    def write(program):
        path = tools / tool[0].name
        # through a shell: the path of an interpreter in a #! line cannot have a space
        (tools / "program.py").write_text(program)
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{tools}/program.py" "$@"\n')
        path.chmod(0o755)
        monkeypatch.setenv("PATH", str(tools), prepend=":")

    return write


def test_the_text_is_on_standard_input_and_nowhere_else(tool, stand_in, tmp_path):
    record = tmp_path / "record.json"
    stand_in(f"import json, sys; json.dump([sys.argv[1:], sys.stdin.read()], open({str(record)!r}, 'w'))")
    asyncio.run(tool[0].deliver(NASTY, Destination(tool[1])))
    arguments, received = json.loads(record.read_text())
    assert received == NASTY
    assert not any("help" in argument or "touch" in argument for argument in arguments)


@pytest.mark.parametrize("text", ["-", "-n", "--", "text that ends\n", "\n", "a" * 100_000])
def test_every_text_reaches_the_tool_to_the_last_byte(tool, stand_in, tmp_path, text):
    record = tmp_path / "record"
    stand_in(f"import sys; open({str(record)!r}, 'wb').write(sys.stdin.buffer.read())")
    delivery = asyncio.run(tool[0].deliver(text, Destination(tool[1])))
    assert record.read_bytes() == text.encode()
    assert delivery.characters == len(text)


@pytest.mark.parametrize("ending", ["sys.exit(1)", "os.kill(os.getpid(), 9)"], ids=["fails", "is killed"])
def test_a_tool_that_dies_half_way_leaves_the_number_of_characters_open(tool, stand_in, ending):
    stand_in(f"import os, sys; sys.stdin.read(5); {ending}")
    with pytest.raises(OutputError) as caught:
        asyncio.run(tool[0].deliver("hello there", Destination(tool[1])))
    assert caught.value.delivered is None


@pytest.mark.parametrize("length", [70_000, 120_000, 400_000])  # a pipe holds 65,536
def test_a_tool_that_closes_its_input_early_and_says_all_is_well_leaves_the_number_open(tool, stand_in, length):
    stand_in("import os, sys; os.read(0, 5); os.close(0); sys.exit(0)")
    with pytest.raises(OutputError, match="before it had the whole text") as caught:
        asyncio.run(tool[0].deliver("x" * length, Destination(tool[1])))
    assert caught.value.delivered is None


def test_half_a_character_is_refused_and_starts_nothing(tool, stand_in, tmp_path):
    stand_in(f"open({str(tmp_path / 'started')!r}, 'w')")
    with pytest.raises(OutputError) as caught:
        asyncio.run(tool[0].deliver("half \ud800", Destination(tool[1])))
    assert (caught.value.reason, caught.value.delivered) == (OutputReason.REFUSED, 0)
    assert not (tmp_path / "started").exists()


def test_a_tool_that_hangs_is_ended_and_leaves_the_number_of_characters_open(tool, stand_in):
    stand_in("import time; time.sleep(60)")
    with pytest.raises(OutputError, match="hung") as caught:
        asyncio.run(tool[0].deliver("hello", Destination(tool[1])))
    assert (caught.value.reason, caught.value.delivered) == (OutputReason.TIMEOUT, None)


def test_a_missing_tool_is_named_with_the_command_that_installs_it(tool, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = asyncio.run(tool[0].probe(tool[1]))
    with pytest.raises(OutputError) as caught:
        asyncio.run(tool[0].deliver("hello", Destination(tool[1])))
    assert not found.usable
    assert f"apt install {tool[0].name}" in found.reason
    assert (caught.value.reason, caught.value.delivered) == (OutputReason.TOOL_MISSING, 0)
    assert caught.value.hint == f"apt install {tool[0].name}"


def test_a_tool_that_cannot_be_started_has_typed_nothing(tool, stand_in, tmp_path):
    stand_in("")
    (tmp_path / "bin with spaces" / tool[0].name).write_text("#!/no/such/interpreter\n")
    with pytest.raises(OutputError) as caught:
        asyncio.run(tool[0].deliver("hello", Destination(tool[1])))
    assert (caught.value.reason, caught.value.delivered) == (OutputReason.TOOL_MISSING, 0)


# --- the window, while a child types into it ---


@pytest.fixture
def wtype_beside():
    """Types with the real tool while something happens, and returns the error."""

    def deliver(desk, text, happens):
        async def scenario():
            async def type_it():
                with pytest.raises(OutputError) as caught:
                    await WtypeOutput().deliver(text, Destination(Session(desk.variables)))
                return caught.value

            async with asyncio.TaskGroup() as tasks:
                typing = tasks.create_task(type_it())
                await asyncio.to_thread(happens)
            return typing.result()

        return asyncio.run(scenario())

    return deliver


def test_wtype_is_ended_when_another_window_gets_the_focus(wtype_beside):
    with SwayDesktop() as desk:
        first = desk.terminal()
        others = []

        def open_another():
            first.wait_text(lambda text: len(text) > 20)
            others.append(desk.terminal())

        error = wtype_beside(desk, "x" * 1100, open_another)
        assert error.delivered is None
        assert "another window got the focus" in str(error)
        assert len(others[0].text()) <= BATCH
        assert set(others[0].text()) <= {"x"}
        assert len(first.text()) + len(others[0].text()) < 1100


def test_wtype_is_ended_when_the_window_does_not_read_and_the_window_lives(wtype_beside):
    with SwayDesktop() as desk:
        terminal = desk.terminal()
        terminal.stop()
        error = wtype_beside(desk, "x" * 3000, lambda: None)
        terminal.resume()
        assert error.delivered is None
        assert "does not read" in str(error)
        assert 0 < len(terminal.wait_text(lambda text: len(text) > 20)) < 1000
        assert terminal.alive


def test_wtype_waits_for_a_window_that_reads_nothing_for_a_while():
    text = "all of it, once. " * 40

    async def scenario(desk, terminal):
        async with asyncio.TaskGroup() as tasks:
            typing = tasks.create_task(WtypeOutput().deliver(text, Destination(Session(desk.variables))))
            await asyncio.to_thread(terminal.wait_text, lambda typed: len(typed) > 20)
            terminal.stop()
            await asyncio.sleep(2)  # a stopped window is disconnected within a second when nobody waits for it
            terminal.resume()
        return typing.result()

    with SwayDesktop() as desk:
        terminal = desk.terminal()
        delivery = asyncio.run(scenario(desk, terminal))
        assert terminal.wait_text(text) == text
        assert (delivery.certainty, delivery.characters) == (Certainty.SENT, len(text))


def test_a_child_is_ended_with_its_compositor():
    async def scenario():
        async with ScriptedCompositor() as compositor:

            async def type_on():
                to = Destination(Session({"WAYLAND_DISPLAY": compositor.path}))
                async with focused(to, 5) as window, window.while_there():
                    compositor.hang_up()
                    await asyncio.sleep(60)

            with pytest.raises(OutputError, match="compositor is gone") as caught:
                await type_on()
            return caught.value

    assert asyncio.run(scenario()).delivered is None


def test_more_than_a_stopped_window_survives_is_refused_where_nobody_sees_what_it_reads():
    async def scenario():
        async with ScriptedCompositor() as compositor:
            to = Destination(Session({"WAYLAND_DISPLAY": compositor.path}))
            with pytest.raises(OutputError, match=TOO_LONG) as caught:
                async with focused(to, UNSEEN_LIMIT + 1, watch=lambda _: Backlog("/nowhere")):
                    pass
            async with focused(to, UNSEEN_LIMIT, watch=lambda _: Backlog("/nowhere")):
                pass
            return caught.value

    assert asyncio.run(scenario()).delivered == 0
