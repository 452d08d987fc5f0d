"""What a check found is kept in a file, and rules out ways of typing under that layout only."""

import asyncio
import json
import os
import stat

import pytest

from support.container import ask, private_home, run
from v2m.application.exactness import MAX_LAYOUTS, Exactness, load
from v2m.domain.delivery import Session
from v2m.domain.errors import ProtocolError, StorageError
from v2m.domain.text.classes import PROBES, TextClass
from v2m.infrastructure.output.memory import MemoryOutput

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

HERE = Session({"DISPLAY": ":1"})
CYRILLIC = {"wtype": {TextClass.CYRILLIC: False, TextClass.ASCII: True}}


class OneLayout:
    """A desktop whose layout a test switches."""

    def __init__(self, name="German"):
        self.name = name
        self.asked = 0

    async def current(self, session):
        assert session is HERE
        self.asked += 1
        return self.name


@pytest.fixture
def file(tmp_path):
    return tmp_path / "exactness.json"


@pytest.fixture
def layouts():
    return OneLayout()


def known(file, layouts, results=CYRILLIC, layout="German"):
    """Return a table after a check, with the live layout looked at."""
    table = Exactness(file, layouts)
    asyncio.run(table.record(layout, results))
    asyncio.run(table.look(HERE))
    return table


def test_an_output_is_refused_for_what_it_does_not_type_exactly(file, layouts):
    reason = known(file, layouts).refuses("wtype", "Да, yes")
    assert "wtype" in reason
    assert "cyrillic" in reason
    assert "German" in reason
    assert "ascii" not in reason


@pytest.mark.parametrize(
    ("output", "text"), [("wtype", "yes"), ("wtype", "Ωμέγα"), ("xtest", "Да"), ("wtype", ""), ("nonsense", "Да")]
)
def test_nothing_else_is_refused(file, layouts, output, text):
    assert known(file, layouts).refuses(output, text) == ""


def test_it_holds_under_that_layout_only(file, layouts):
    table = known(file, layouts)
    layouts.name = "French"
    asyncio.run(table.look(HERE))
    assert table.refuses("wtype", "Да") == ""
    layouts.name = "German"
    asyncio.run(table.look(HERE))
    assert table.refuses("wtype", "Да")


def test_an_unknown_layout_is_one_of_its_own(file):
    table = known(file, OneLayout(""), layout="")
    assert "under the layout" not in table.refuses("wtype", "Да")
    assert table.refuses("wtype", "Да")


def test_nobody_is_asked_for_the_layout_while_everything_is_exact(file, layouts):
    known(file, layouts, {"wtype": dict.fromkeys(TextClass, True)})
    assert layouts.asked == 0


def test_a_second_check_takes_the_place_of_the_first_for_its_outputs_only(file, layouts):
    table = known(file, layouts, {**CYRILLIC, "xtest": {TextClass.EMOJI: False}})
    asyncio.run(table.record("German", {"wtype": {TextClass.CYRILLIC: True}}))
    assert table.refuses("wtype", "Да") == ""
    assert table.refuses("xtest", "😀")


def test_it_outlives_the_daemon_and_others_cannot_read_it(file, layouts):
    known(file, layouts)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in file.parent.iterdir()] == [file.name]
    again = Exactness(file, layouts)
    asyncio.run(again.look(HERE))
    assert again.refuses("wtype", "Да")


def test_it_does_not_grow_without_end(file, layouts):
    table = Exactness(file, layouts)
    for number in range(MAX_LAYOUTS + 10):
        asyncio.run(table.record(f"layout {number}", CYRILLIC))
    assert len(load(file)) == MAX_LAYOUTS
    assert f"layout {MAX_LAYOUTS + 9}" in load(file)


GOOD = {"version": 1, "layouts": {"German": {"wtype": {"cyrillic": False}}}}


def test_a_pipe_in_its_place_is_no_table_and_is_not_waited_for(file, layouts):
    os.mkfifo(file)
    assert Exactness(file, layouts).refuses("wtype", "Да") == ""


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        "[" * 100_000,
        '{"version": 1}',
        json.dumps({**GOOD, "version": 2}),
        json.dumps({**GOOD, "layouts": []}),
        json.dumps({"version": 1, "layouts": {"German": []}}),
        json.dumps({"version": 1, "layouts": {"half \ud800": {}}}),
        json.dumps({"version": 1, "layouts": {"German": {"wtype": {"martian": False}}}}),
        json.dumps({"version": 1, "layouts": {"German": {"wtype": {"cyrillic": 0}}}}),
        b"\xff\xfe".decode("latin-1"),
        " " * (1 << 20) + json.dumps(GOOD),
    ],
    ids=lambda content: content[:30],
)
def test_a_damaged_file_is_no_table_and_is_replaced_by_the_next_check(file, layouts, content):
    file.write_text(content)
    table = Exactness(file, layouts)
    asyncio.run(table.look(HERE))
    assert table.refuses("wtype", "Да") == ""
    asyncio.run(table.record("German", CYRILLIC))
    assert load(file) == {"German": CYRILLIC}


def test_a_good_file_is_read(file):
    file.write_text(json.dumps(GOOD))
    assert load(file) == {"German": {"wtype": {TextClass.CYRILLIC: False}}}


def test_a_file_that_cannot_be_written_is_told_and_the_result_holds_until_the_end(file, layouts):
    file.mkdir()
    table = Exactness(file, layouts)
    with pytest.raises(StorageError):
        asyncio.run(table.record("German", CYRILLIC))
    asyncio.run(table.look(HERE))
    assert table.refuses("wtype", "Да")


# --- in the daemon ---


@pytest.fixture
def settings(tmp_path, monkeypatch):
    return private_home(tmp_path, monkeypatch)[0]


class Named(MemoryOutput):
    """A list of texts with a name of its own."""

    def __init__(self, name):
        super().__init__()
        self.name = name


def test_a_text_goes_by_the_next_output_after_a_check(settings):
    first, second = Named("first"), Named("second")

    async def before_and_after(container, _output, _notifier):
        await ask(container, "CHECK_OUTPUTS", layout="", results={"first": {"cyrillic": True}})
        await ask(container, "TYPE_TEXT", text="Да")
        await ask(container, "CHECK_OUTPUTS", layout="", results={"first": {"cyrillic": False}})
        answer = await ask(container, "TYPE_TEXT", text="Нет")
        await ask(container, "TYPE_TEXT", text="yes")
        return answer

    answer = run(settings, before_and_after, outputs=[first, second])
    assert answer["method"] == "second"
    assert (first.texts, second.texts) == (["Да", "yes"], ["Нет"])

    async def after_a_restart(container, _output, _notifier):
        await asyncio.sleep(0)  # until its tasks have begun
        return await ask(container, "TYPE_TEXT", text="Нет")

    assert run(settings, after_a_restart, outputs=[first, second])["method"] == "second"


def test_a_check_types_also_what_was_inexact_before(settings):
    first, second = Named("first"), Named("second")

    async def scene(container, _output, _notifier):
        await ask(container, "CHECK_OUTPUTS", layout="", results={"first": {"cyrillic": False}})
        return await ask(container, "TYPE_TEXT", text=PROBES[TextClass.CYRILLIC], output="first")

    assert run(settings, scene, outputs=[first, second])["method"] == "first"
    assert first.texts == [PROBES[TextClass.CYRILLIC]]


def test_a_probe_is_not_reworded(settings):
    first = Named("first")

    async def scene(container, _output, _notifier):
        await asyncio.sleep(0)  # until its tasks have begun
        await ask(container, "TYPE_TEXT", text="5 €", output="first")
        await ask(container, "TYPE_TEXT", text="6 €")

    run({**settings, "output.trailing_space": True}, scene, outputs=[first])
    assert first.texts == ["5 €", "6 € "]


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"results": []},
        {"results": {"wtype": []}},
        {"results": {"wtype": {"martian": True}}},
        {"results": {"wtype": {"ascii": 1}}},
        {"results": {"": {"ascii": True}}},
        {"results": {"x" * 41: {"ascii": True}}},
        {"results": {f"output {number}": {} for number in range(33)}},
        {"layout": "x" * 201, "results": {}},
        {"layout": 1, "results": {}},
    ],
    ids=str,
)
def test_nonsense_is_refused(settings, data):
    async def scene(container, _output, _notifier):
        with pytest.raises(ProtocolError):
            await ask(container, "CHECK_OUTPUTS", **data)

    run(settings, scene)
