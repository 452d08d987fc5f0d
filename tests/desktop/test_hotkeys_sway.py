"""Keys of a real sway: lines that `v2m hotkey print` gives, and the daemon's own bindings through its IPC."""

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from support.daemon import BIN, new_home, running_daemon, wait_until
from support.desktop import SwayDesktop
from v2m.domain.hotkeys import parse_keys
from v2m.local._hotkey_lines import advice

pytestmark = [pytest.mark.desktop, pytest.mark.timeout(120)]

F8, F9, LEFT_SHIFT = 66, 67, 42  # evdev
SHIFT = 1  # the modifier
SCRIPTED = {
    "V2M_AUDIO__BACKEND": "wav",
    "V2M_TRANSCRIPTION__BACKEND": "scripted",
    "V2M_TRANSCRIPTION__SCRIPT": '["hello"]',
    "V2M_OUTPUT__METHOD": "clipboard",
}
BOUND = {"V2M_HOTKEYS__BACKEND": "sway", "V2M_HOTKEYS__PUSH_TO_TALK": "F9", "V2M_HOTKEYS__ABORT": "shift+F9"}


@pytest.fixture(scope="module")
def sway():
    with SwayDesktop() as desktop:
        yield desktop


def home_in(sway, **variables):
    return new_home(**SCRIPTED, **sway.variables, **variables)


def bound(home) -> dict:
    """Return which keys the daemon has, by the desktop's names."""
    return home.ask("GET_STATUS")["data"]["hotkeys"]["triggers"]


def wait_bound(home) -> None:
    wait_until(lambda: bound(home), what="the hotkeys")


def newest(home) -> str:
    return home.history()[0]["phase"]


def test_a_held_key_records_and_its_release_stops(sway):
    with home_in(sway, **BOUND) as home, running_daemon(home):
        wait_bound(home)
        assert bound(home) == {"push_to_talk": "F9", "abort": "Shift+F9"}
        for _ in range(2):
            sway.press(F9)
            home.wait_state("recording")
            wait_until(lambda: home.ask("GET_STATUS")["data"]["recording"]["seconds"] > 0.3, what="some speech")
            sway.release(F9)
            home.wait_state("idle")
        assert [row["text"] for row in home.history()] == ["hello"] * 2
        home.toak("--start")
        home.wait_state("recording")
        with_shift(sway, F9)
        wait_until(lambda: newest(home) == "aborted", what="the abort")


def with_shift(sway, key: int) -> None:
    """Press and release a key while Shift is down."""
    sway.press(LEFT_SHIFT, SHIFT)
    sway.press(key, SHIFT)
    sway.release(key, SHIFT)
    sway.release(LEFT_SHIFT)


def test_bindings_survive_a_reload_and_go_with_the_daemon(sway):
    def tap(code):
        sway.press(code)
        sway.release(code)

    with home_in(sway, **BOUND) as home:
        with running_daemon(home):
            wait_bound(home)
            assert json.loads(sway.run("swaymsg", "-r", "reload"))[0]["success"]
            wait_until(lambda: tap(F9) or home.history(), what="a recording after the reload")
        with running_daemon(home, "--set", "hotkeys.push_to_talk=F8"):  # would obey a binding that was left
            wait_bound(home)
            before = len(home.history())
            tap(F9)
            sway.press(F8)
            home.wait_state("recording")
            sway.release(F8)
            home.wait_state("idle")
            assert len(home.history()) == before + 1


def test_a_compositor_that_was_restarted_is_bound_again():
    with SwayDesktop() as first, new_home(**SCRIPTED, **{**BOUND, "V2M_HOTKEYS__BACKEND": "auto"}) as home:
        # SWAYSOCK is not said: the daemon finds the socket of whatever compositor listens there.
        home.variables["WAYLAND_DISPLAY"] = first.variables["WAYLAND_DISPLAY"]
        with running_daemon(home):
            wait_bound(home)
            first.__exit__()
            wait_until(lambda: not bound(home), what="the end of the bindings")
            first.__init__(Path(first.folder))
            first.__enter__()
            wait_bound(home)
            first.press(F9)
            home.wait_state("recording")
            first.release(F9)
            home.wait_state("idle")


def test_keys_that_sway_does_not_know_are_refused_in_words(sway):
    with home_in(sway, **{**BOUND, "V2M_HOTKEYS__PUSH_TO_TALK": "F99"}) as home, running_daemon(home):
        degraded = wait_until(lambda: home.ask("GET_STATUS")["data"]["degraded"], what="the refusal")
        assert degraded["hotkeys"].startswith("Sway refuses F99: Unknown key")
        assert bound(home) == {}


# --- what `v2m hotkey print` prints ---


class Program:
    """A program in the place of the trigger, in a folder whose name has a space: what it was started with."""

    def __init__(self, sway, name: str) -> None:
        folder = Path(sway.folder, f"{name} dir")
        folder.mkdir(mode=0o755)
        self.path = folder / "toak"
        self.log = folder / "log"
        self.path.write_text(f'#!/bin/sh\necho "$1" >>"{self.log}"\n')
        self.path.chmod(stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO)
        if os.getuid() == 0:
            subprocess.run(["chown", "-R", sway.user, folder], check=True)

    def started_with(self) -> list[str]:
        return self.log.read_text().split() if self.log.exists() else []


def test_real_sway_takes_the_printed_lines_and_a_hold_is_one_start_and_one_stop(sway):
    program = Program(sway, "printed")
    lines = advice("sway", parse_keys("F8"), toak=str(program.path)).lines
    config = Path(sway.folder, "config")
    with config.open("a") as file:
        file.write("\n".join(lines) + "\n")
    sway.run("sway", "--validate", "-c", str(config))
    assert json.loads(sway.run("swaymsg", "-r", "reload"))[0]["success"]
    with new_home(**SCRIPTED) as home, running_daemon(home):  # what the key starts reaches a daemon
        sway.press(F8)
        wait_until(lambda: program.started_with() == ["--start"], what="the press")
        home.toak(*program.started_with()[-1:])
        home.wait_state("recording")
        sway.release(F8)
        wait_until(lambda: program.started_with() == ["--start", "--stop"], what="the release")
        home.toak(*program.started_with()[-1:])
        home.wait_state("idle")
    with_shift(sway, F8)
    wait_until(lambda: program.started_with() == ["--start", "--stop", "--abort"], what="the abort")


def test_a_bad_line_would_be_noticed(sway):
    config = Path(sway.folder, "bad.conf")
    config.write_text("bindsym --no-repeat F99 exec true\n")
    config.chmod(0o644)
    with pytest.raises(AssertionError):
        sway.run("sway", "--validate", "-c", str(config))


def test_the_verb_knows_the_desktop_and_names_the_trigger_in_full(sway):
    with new_home(**sway.variables) as home:
        printed = home.v2m("hotkey").stdout.splitlines()
        assert [line for line in printed if not line.startswith("#")] == advice(
            "sway", parse_keys("F9"), toak=str(BIN / "toak")
        ).lines
