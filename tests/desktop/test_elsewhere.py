"""Text that is wanted elsewhere than in the window: on the clipboard, on standard output, nowhere; nothing is typed."""

import pytest

from support.daemon import new_home, running_daemon
from support.desktop import SwayDesktop

pytestmark = [pytest.mark.desktop, pytest.mark.timeout(120)]

SAID = "not into the window"


@pytest.fixture(scope="module")
def sway():
    with SwayDesktop() as desk:
        yield desk, desk.terminal()


@pytest.fixture
def home(sway):
    """A daemon that hears the same each time, in that desktop."""
    scripted = {"V2M_TRANSCRIPTION__BACKEND": "scripted", "V2M_TRANSCRIPTION__SCRIPT": f'["{SAID}"]'}
    audio = {"V2M_AUDIO__BACKEND": "wav", "V2M_AUDIO__MIN_RECORDING_MS": "0"}  # however soon the key goes up
    with new_home(**audio, **sway[0].variables, **scripted) as home, running_daemon(home):
        sway[1].clear()
        assert home.v2m("type", "--copy", "before").returncode == 0
        yield home


def dictate(home, *options):
    """Return what `v2m stop` or `v2m toggle` prints, and the dictation's row."""
    verb = "toggle" if "toggle" in options else "stop"
    assert home.v2m("start").returncode == 0
    home.wait_state("recording")
    done = home.v2m(verb, "--timeout", "30", *(option for option in options if option != verb))
    assert done.returncode == 0, done.stderr
    return done, home.history()[0]


def clipboard(sway):
    return sway[0].run("wl-paste", "--no-newline")


def nothing_was_typed(home, sway):
    """A text that is typed now is the first that the window gets."""
    assert home.v2m("type", "sentinel").returncode == 0
    return sway[1].wait_text("sentinel") == "sentinel"


@pytest.mark.parametrize("verb", ["stop", "toggle"])
def test_pipe_prints_the_text_only(home, sway, verb):
    done, row = dictate(home, verb, "--pipe")
    assert (done.stdout, done.stderr) == (SAID + "\n", "")
    assert (row["method"], row["text"]) == ("none", SAID)
    assert clipboard(sway) == "before"
    assert nothing_was_typed(home, sway)


@pytest.mark.parametrize("verb", ["stop", "toggle"])
def test_none_leaves_window_and_clipboard_alone(home, sway, verb):
    done, row = dictate(home, verb, "--none")
    assert done.stdout == SAID + "\n"
    assert row["method"] == "none"
    assert clipboard(sway) == "before"
    assert nothing_was_typed(home, sway)


@pytest.mark.parametrize("verb", ["stop", "toggle"])
def test_copy_fills_the_clipboard_and_types_nothing(home, sway, verb):
    done, row = dictate(home, verb, "--copy")
    assert done.stdout == SAID + "\n"
    assert row["method"] == "clipboard"
    assert clipboard(sway) == SAID
    assert nothing_was_typed(home, sway)
