"""What a user sees of the settings of output and of the rules per application."""

import asyncio

import pytest

from support.container import ask, private_home, run
from support.speech import until
from v2m.config import load_settings
from v2m.core.di.adapters import make_other_outputs, make_outputs
from v2m.domain.delivery import Window
from v2m.infrastructure.desktop.memory import MemoryWindows
from v2m.infrastructure.output.memory import MemoryOutput

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

FOOT = Window("1", "foot", "ssh host")
SLACK = Window("2", "Slack", "general")
GEDIT = Window("3", "org.gnome.gedit", "notes")
FIREFOX = Window("5", "firefox", "a form")
KRITA = Window("4", "krita", "a picture")


@pytest.fixture(autouse=True)
def settings(tmp_path, monkeypatch):
    return private_home(tmp_path, monkeypatch)[0]


class Keyboard(MemoryOutput):
    """Types into a list, and notes the chord that it is told to paste with."""

    def __init__(self, name="xtest"):
        super().__init__(name=name)
        self.chords = []

    async def deliver(self, text, to):
        self.chords.append(to.paste_key)
        return await super().deliver(text, to)


class Watched(MemoryWindows):
    """Windows that know whether somebody has looked."""

    asked = False

    async def focused(self, session):
        self.asked = True
        return await super().focused(session)


def typed(settings, text, window=KRITA, *outputs, rules=(), **arguments):
    """Return what each output was given when a text is typed under these settings."""
    chain = outputs or (Keyboard(),)

    async def scenario(container, output, notifier):
        await asyncio.sleep(0)  # the container's jobs begin
        await ask(container, "TYPE_TEXT", text=text)

    run(
        {**settings, "policy": [*rules], **{f"output.{name}": value for name, value in arguments.items()}},
        scenario,
        outputs=chain,
        windows=MemoryWindows(window),
    )
    return [output.texts for output in chain]


def dictated(settings, text, windows=None, *, rules=(), moved_to=None, **wishes):
    """Return what is typed when a text is dictated; the focus may move before it is there."""
    keyboard, windows = Keyboard(), windows or MemoryWindows(KRITA)

    async def scenario(container, output, notifier):
        await ask(container, "START_RECORDING", **wishes)
        if moved_to:
            await until(lambda: windows.asked)
            windows.now = moved_to
        await ask(container, "STOP_RECORDING", wait=True)

    scripted = {"transcription.backend": "scripted", "transcription.script": [text], "audio.min_recording_ms": 0}
    run({**settings, **scripted, "policy": [*rules]}, scenario, outputs=[keyboard], windows=windows)
    return keyboard.texts


# --- output ---------------------------------------------------------------------------------------------


def names(**arguments):
    settings = load_settings({f"output.{name}": value for name, value in arguments.items()})
    return [output.name for output in make_outputs(settings, lambda: False)]


def test_method():
    assert names(method=("wtype", "input-method")) == ["wtype", "input-method"]
    assert names(method=("xtest", "clipboard")) == ["xtest"]
    assert names(method="auto")[:2] == ["input-method", "virtual-keyboard"]


def test_exclude():
    assert names(method=("wtype", "input-method"), exclude=("wtype",)) == ["input-method"]
    assert not {"input-method", "paste"} & set(names(exclude=("input-method", "paste")))


def test_newline(settings):
    assert typed(settings, "one\ntwo", newline="space") == [["one two"]]
    assert typed(settings, "one\ntwo", FIREFOX, newline="newline") == [["one\ntwo"]]


def test_trailing_space(settings):
    assert typed(settings, "one", trailing_space=False) == [["one"]]
    assert typed(settings, "one", trailing_space=True) == [["one "]]
    assert dictated({**settings, "output.trailing_space": True}, "one") == ["one "]


@pytest.mark.parametrize(
    ("when_moved", "texts", "activated"),
    [("hold", [], []), ("follow", ["one"], []), ("return", ["one"], [KRITA.id])],
)
def test_when_moved(settings, when_moved, texts, activated):
    windows = Watched(KRITA)
    found = dictated({**settings, "output.when_moved": when_moved}, "one", windows, moved_to=FOOT)
    assert (found, windows.activated) == (texts, activated)


# --- v2m's own rules ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "chord", "text"),
    [
        (FOOT, "ctrl+shift+v", "rm x ls"),
        (SLACK, "ctrl+v", "rm x ls"),
        (GEDIT, "ctrl+v", "rm x\nls"),
        (None, "shift+insert", "rm x ls"),
    ],
)
def test_each_window_gets_what_is_right_there(settings, window, chord, text):
    keyboard = Keyboard()
    assert typed(settings, "rm x\nls\n", window, keyboard) == [[text]]
    assert keyboard.chords == [chord]


def test_a_terminal_gets_no_return_whatever_settings_and_rules_say(settings):
    rules = [{"app": "foot", "newline": "newline"}]
    assert typed(settings, "rm x\nls\n", FOOT, rules=rules, newline="newline") == [["rm x ls"]]


# --- rules of a user ------------------------------------------------------------------------------------


def upper(**conditions):
    return [{**conditions, "casing": "upper"}]


def test_policy_app(settings):
    assert typed(settings, "one", KRITA, rules=upper(app="kri*")) == [["ONE"]]
    assert typed(settings, "one", FOOT, rules=upper(app="kri*")) == [["one"]]


def test_policy_title(settings):
    assert typed(settings, "one", FOOT, rules=upper(title="ssh *")) == [["ONE"]]
    assert typed(settings, "one", KRITA, rules=upper(title="ssh *")) == [["one"]]


def test_policy_role(settings):
    assert typed(settings, "one", FOOT, rules=upper(role="terminal")) == [["ONE"]]
    assert typed(settings, "one", SLACK, rules=upper(role="terminal")) == [["one"]]


def test_policy_language(settings):
    rules = upper(language="tr")
    scripted = {**settings, "transcription.languages": ["en", "tr"]}
    assert dictated(scripted, "istanbul", rules=rules, language="tr") == ["İSTANBUL"]
    assert dictated(scripted, "istanbul", rules=rules, language="en") == ["istanbul"]


def test_policy_outputs(settings):
    rules = [{"app": "krita", "outputs": ["wtype", "xtest"]}]
    assert typed(settings, "one", KRITA, Keyboard("xtest"), Keyboard("wtype"), rules=rules) == [[], ["one"]]
    assert typed(settings, "one", FOOT, Keyboard("xtest"), Keyboard("wtype"), rules=rules) == [["one"], []]


def test_a_rule_can_name_what_is_not_in_the_chain_but_not_what_is_excluded():
    rules = [{"app": "krita", "outputs": ["wtype", "xdotool", "clipboard"]}, {"outputs": ["xtest", "wtype"]}]
    settings = load_settings({"output.method": ("xtest",), "output.exclude": ("xdotool",), "policy": rules})
    assert [output.name for output in make_other_outputs(settings, lambda: False)] == ["wtype"]


def test_policy_paste_key(settings):
    keyboard = Keyboard()
    typed(settings, "one", FOOT, keyboard, rules=[{"paste_key": "Shift+Insert"}])
    assert keyboard.chords == ["shift+insert"]


def test_policy_newline(settings):
    assert typed(settings, "one\ntwo", KRITA, rules=[{"app": "krita", "newline": "newline"}]) == [["one\ntwo"]]
    assert typed(settings, "one\ntwo", GEDIT, rules=[{"newline": "space"}]) == [["one two"]]


def test_policy_casing(settings):
    cased = {"keep": "one. Two", "lower": "one. two", "upper": "ONE. TWO", "sentence": "One. Two"}
    assert {casing: typed(settings, "one. Two", rules=[{"casing": casing}])[0][0] for casing in cased} == cased


def test_policy_trailing_space(settings):
    assert typed(settings, "one", rules=[{"trailing_space": True}]) == [["one "]]
    assert typed(settings, "one", trailing_space=True, rules=[{"trailing_space": False}]) == [["one"]]


def test_policy_submit(settings):
    assert typed(settings, "one", SLACK, rules=[{"app": "slack", "submit": True}]) == [["one", "\n"]]
    assert typed(settings, "one", SLACK, rules=[{"app": "slack", "submit": False}]) == [["one"]]
    assert typed(settings, "one", KRITA, rules=[{"app": "slack", "submit": True}]) == [["one"]]
