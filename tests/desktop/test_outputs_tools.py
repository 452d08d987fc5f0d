"""Typing tools as children: what they are given, and what happens when they fail."""

import asyncio
import json
import sys

import pytest

from support.desktop import SwayDesktop, XDesktop
from v2m.domain.delivery import Destination, Session
from v2m.domain.errors import OutputError, OutputReason
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
