"""Rules per application on real desktops: the focused window is explained, and gets what the rules say."""

import json

import pytest

from support.daemon import new_home, running_daemon
from support.desktop import SwayDesktop, XDesktop

pytestmark = [pytest.mark.desktop, pytest.mark.timeout(120)]

SCRIPTED = {"V2M_TRANSCRIPTION__BACKEND": "scripted", "V2M_AUDIO__BACKEND": "wav"}
WAYLAND = (SwayDesktop, "foot", "ctrl+shift+v", ["input-method", "virtual-keyboard", "paste"])
X11 = (XDesktop, "xterm", "shift+insert", ["xtest"])


@pytest.fixture(scope="module", params=[WAYLAND, X11], ids=["wayland", "x11"])
def scene(request):
    """A desktop with a terminal in focus, what it is called, how it pastes, and ways of typing."""
    kind, *expected = request.param
    with kind() as desktop:
        yield desktop, desktop.terminal(), *expected


def asked(home, text):
    done = home.v2m("policy", "test", "--json", text)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["data"]


def test_the_focused_window_is_explained_and_no_rule_brings_a_return_into_a_terminal(scene):
    desktop, terminal, app, chord, outputs = scene
    rules = [{"app": app, "casing": "upper", "newline": "newline"}]
    for output in outputs:
        chosen = [{"app": app, "outputs": [output]}]
        settings = {"V2M_POLICY": json.dumps([*rules, *chosen]), "V2M_OUTPUT__NEWLINE": "newline", **SCRIPTED}
        with new_home(**desktop.variables, **settings) as home, running_daemon(home):
            told = asked(home, "touch x\nrm x\n")
            assert (told["target"]["app"].lower(), told["target"]["role"]) == (app, "terminal")
            assert told["manner"]["paste_key"] == chord
            assert (told["output"], told["text"]) == (output, "TOUCH X RM X")
            terminal.clear()
            typed = home.v2m("type", "--json", "touch x\nrm x\n")
            assert typed.returncode == 0, typed.stdout
            assert json.loads(typed.stdout)["data"]["method"] == output
            assert terminal.wait_text("TOUCH X RM X") == "TOUCH X RM X"
