"""TEST_POLICY and `v2m policy test`: what is explained, of which window, and that nothing is typed."""

import json

import pytest

from support.answering import answering, good
from support.container import ask, private_home, run
from support.daemon import new_home, running_daemon
from v2m.application.commands import parse_command
from v2m.domain.delivery import Window
from v2m.domain.errors import ProtocolError
from v2m.infrastructure.desktop.memory import MemoryWindows
from v2m.infrastructure.output.memory import MemoryOutput
from v2m.ui.answers import human

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

RULES = [
    {"app": "foot*", "casing": "lower", "outputs": ["wtype", "paste"]},
    {"title": "*secret*", "submit": True},
    {"app": "krita", "outputs": ["clipboard", "paste"]},
]


@pytest.fixture(autouse=True)
def settings(tmp_path, monkeypatch):
    return {**private_home(tmp_path, monkeypatch)[0], "policy": RULES}


def explained(settings, *, focused=None, **data):
    paste, clipboard = MemoryOutput(name="paste"), MemoryOutput(name="clipboard")

    async def scenario(container, output, notifier):
        answer = await ask(container, "TEST_POLICY", **data)
        listed = await ask(container, "LIST_HISTORY")
        assert listed["entries"] == []
        return answer

    answer = run(settings, scenario, outputs=[paste], clipboard=clipboard, windows=MemoryWindows(focused))
    assert (paste.texts, clipboard.texts) == ([], [])
    return answer


def test_a_text_is_explained_for_an_application(settings):
    answer = explained(settings, app="Foot", text="Git\nStatus\n", language="en")
    assert answer["target"] == {"app": "Foot", "title": "", "role": "terminal", "language": "en"}
    assert answer["text"] == "git status"
    assert answer["manner"] == {
        "outputs": ("wtype", "paste"), "paste_key": "ctrl+shift+v", "newline": "space", "casing": "lower",
        "trailing_space": False, "refine": True, "submit": False,
    }  # fmt: skip
    assert answer["reasons"] == [
        "argument policy, rule 1 (app foot*): outputs wtype, paste, casing lower.",
        "v2m's rule 2 (role terminal): paste_key ctrl+shift+v, newline space.",
    ]


def test_ways_of_typing_are_told_in_the_order_of_the_rule(settings):
    answer = explained(settings, app="foot", text="x")
    assert [(way["name"], way["usable"]) for way in answer["outputs"]] == [
        ("wtype", False),
        ("paste", True),
        ("clipboard", True),
    ]
    assert answer["output"] == "paste"
    assert [way["name"] for way in explained(settings, app="gedit", text="x")["outputs"]] == ["paste", "clipboard"]
    assert [way["name"] for way in explained(settings, app="krita", text="x")["outputs"]] == ["clipboard"]


def test_without_an_application_the_focused_window_is_explained(settings):
    window = Window("1", "org.gnome.gedit", "a secret note")
    answer = explained(settings, focused=window, text="one\ntwo")
    assert answer["target"] == {"app": "org.gnome.gedit", "title": "a secret note", "role": "editor", "language": ""}
    assert (answer["text"], answer["manner"]["submit"]) == ("one\ntwo", True)
    other = explained(settings, focused=window, title="another", text="x")
    assert (other["target"]["title"], other["manner"]["submit"]) == ("another", False)


def test_an_application_that_is_named_is_not_the_focused_one(settings):
    window = Window("1", "org.gnome.gedit", "a secret note")
    answer = explained(settings, focused=window, app="kitty", text="x")
    assert answer["target"] == {"app": "kitty", "title": "", "role": "terminal", "language": ""}


def test_where_the_desktop_does_not_tell_the_window_is_unknown(settings):
    answer = explained(settings, text="x")
    assert answer["target"]["app"] == answer["target"]["role"] == ""
    assert answer["manner"]["paste_key"] == "shift+insert"


def test_a_role_can_be_tried_without_an_application(settings):
    assert explained(settings, app="", role="terminal", text="a\nb", language="")["text"] == "a b"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({}, "TEST_POLICY needs 'text'"),
        ({"text": ""}, "'text'"),
        ({"text": "x" * 10_001}, "'text'"),
        ({"text": "x", "role": "termnal"}, "'role'"),
        ({"text": "x", "app": 3}, "'app'"),
        ({"text": "x", "aap": "foot"}, "TEST_POLICY has no 'aap'"),
    ],
)
def test_what_cannot_be_explained_is_refused(data, says):
    with pytest.raises(ProtocolError) as refused:
        parse_command("TEST_POLICY", data)
    assert says in str(refused.value)


def test_it_is_answered_while_paused(settings):
    async def scenario(container, output, notifier):
        await ask(container, "PAUSE_DAEMON")
        return await ask(container, "TEST_POLICY", text="x", app="foot")

    assert run(settings, scenario)["text"] == "x"


# --- the verb -------------------------------------------------------------------------------------------


def test_the_explanation_is_short_and_shows_spaces_and_no_commands():
    data = {
        "target": {"app": "fo\x1b[2Jot", "title": "", "role": "terminal", "language": ""},
        "manner": {"outputs": None, "paste_key": "", "newline": "space", "casing": "keep", "submit": True},
        "reasons": ["mine (app fo\x1b[2Jot): submit yes.", "v2m's rule 2 (role terminal): newline space."],
        "text": "git status ",
        "output": "paste",
        "outputs": [{"name": "paste", "usable": True, "reason": "It works."}],
    }
    said = human("TEST_POLICY", data)
    assert said.talk == ""
    assert said.out.splitlines() == [
        "fo [2Jot (terminal)",
        'would be typed  "git status "',
        "paste_key       none",
        "newline         space",
        "casing          keep",
        "submit          yes",
        "because         mine (app fo [2Jot): submit yes.",
        "                v2m's rule 2 (role terminal): newline space.",
        "words go to     → paste            It works.",
    ]
    unknown = human("TEST_POLICY", {**data, "target": {"app": "", "role": ""}})
    assert unknown.out.splitlines()[0] == "a window that is not known"


def test_a_text_can_come_from_standard_input_and_conditions_are_options():
    with answering() as server, new_home(V2M_SOCKET=str(server.path)) as home:
        server.answers["TEST_POLICY"] = good(text="x")
        done = home.v2m(
            "policy", "test", "--app", "foot", "--language", "tr", "--role", "chat", "-", input="from stdin\n"
        )
        assert done.returncode == 0, done.stderr
        data = server.requests[-1]["data"]
    assert {key: data[key] for key in data if key != "env"} == {
        "app": "foot", "language": "tr", "role": "chat", "text": "from stdin",
    }  # fmt: skip
    assert home.v2m("policy", "test").returncode == 64
    assert home.v2m("policy", "tset", "x").returncode == 64


def test_a_daemon_with_rules_from_the_environment_explains_them():
    rules = json.dumps([{"app": "krita", "casing": "upper"}])
    scripted = {"V2M_TRANSCRIPTION__BACKEND": "scripted", "V2M_AUDIO__BACKEND": "wav"}
    with new_home(V2M_POLICY=rules, **scripted) as home, running_daemon(home):
        told = home.v2m("policy", "test", "--app", "krita", "one two")
        whole = home.v2m("policy", "test", "--app", "krita", "--json", "one two")
        unknown = home.v2m("policy", "test", "one two")
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines()[:2] == ["krita", 'would be typed  "ONE TWO"']
    assert "environment variable V2M_POLICY, rule 1 (app krita): casing upper." in told.stdout
    assert json.loads(whole.stdout)["data"]["text"] == "ONE TWO"
    assert unknown.stdout.splitlines()[:2] == ["a window that is not known", 'would be typed  "one two"']
