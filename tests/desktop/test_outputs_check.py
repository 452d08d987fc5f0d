"""`v2m outputs --check`: types into a window of its own under the live layout, reads it back, and delivery obeys."""

import json
import subprocess

import pytest

from support.daemon import BIN, new_home, running_daemon, wait_until
from support.desktop import SwayDesktop, XDesktop
from v2m.domain.text.classes import TextClass

pytestmark = [pytest.mark.desktop, pytest.mark.timeout(120)]

LAYOUTS = {  # as a keyboard has it, as setxkbmap takes it, and as sway and X11 name it
    "us": (["us"], "English (US)", "us"),
    "de": (["de"], "German", "de"),
    "fr": (["fr"], "French", "fr"),
    "us(dvorak)": (["us", "-variant", "dvorak"], "English (Dvorak)", "us(dvorak)"),
    "ru": (["ru"], "Russian", "ru"),
}
EVERY = {kind.value for kind in TextClass}
SILENT = {"V2M_TRANSCRIPTION__BACKEND": "scripted", "V2M_AUDIO__BACKEND": "wav"}


@pytest.fixture(scope="module")
def sway():
    with SwayDesktop() as desktop:
        yield desktop


@pytest.fixture
def xserver():
    """One for each test: openbox handles every change of the keyboard map for a while after XTEST has made many."""
    with XDesktop() as desktop:
        yield desktop


def home_in(desktop, *outputs, **variables):
    return new_home(**desktop.variables, **SILENT, V2M_OUTPUT__METHOD=json.dumps(outputs), **variables)


def checked(home) -> tuple[str, dict[str, dict[str, bool]]]:
    """Run the check; return the layout's name and what it found by output and class."""
    done = home.v2m("outputs", "--check", "--json", timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr
    data = json.loads(done.stdout)["data"]
    found: dict[str, dict[str, bool]] = {}
    for reading in data["readings"]:
        found.setdefault(reading["output"], {})[reading["class"]] = reading["exact"]
    return data["layout"], found


def recorded(home):
    return json.loads((home.state / "v2m" / "exactness.json").read_text())["layouts"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_wayland_outputs_are_exact_under_every_layout(sway, layout):
    with home_in(sway, "input-method", "virtual-keyboard") as home, running_daemon(home):
        sway.use_layout(layout)
        try:
            name, found = checked(home)
        finally:
            sway.use_layout("us")
        assert name == LAYOUTS[layout][1]
        assert found["input-method"] == dict.fromkeys(EVERY, True)
        assert all(found["virtual-keyboard"][kind] for kind in ("ascii", "latin-1", "sharp-s", "euro"))
        assert recorded(home) == {name: found}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_xtest_is_exact_under_every_layout(xserver, layout):
    given, _, name = LAYOUTS[layout]
    xserver.run("setxkbmap", *given)
    with home_in(xserver, "xtest") as home, running_daemon(home):
        told, found = checked(home)
        assert told == name
        assert all(found["xtest"][kind] for kind in ("ascii", "latin-1", "sharp-s", "euro"))
        assert recorded(home) == {name: found}


@pytest.fixture
def ascii_only_wtype(tmp_path):
    """A `wtype` that leaves out what is not ASCII and says that all went well; return the PATH with it."""
    tool = tmp_path / "wtype"
    tool.write_text("#!/bin/sh\niconv -c -f UTF-8 -t ASCII | exec /usr/bin/wtype -\n")
    tool.chmod(0o755)
    return f"{tmp_path}:{BIN}:/usr/local/bin:/usr/bin:/bin"


def test_what_a_way_of_typing_loses_goes_by_the_next_one(sway, ascii_only_wtype):
    home_with_it = home_in(sway, "wtype", "virtual-keyboard", PATH=ascii_only_wtype)
    with home_with_it as home, running_daemon(home):
        _, found = checked(home)
        assert found["wtype"] == dict.fromkeys(EVERY, False) | {"ascii": True}
        terminal = sway.terminal()
        assert home.ask("TYPE_TEXT", text="plain ")["data"]["method"] == "wtype"
        assert home.ask("TYPE_TEXT", text="é")["data"]["method"] == "virtual-keyboard"
        terminal.wait_text("plain é")
        sway.use_layout("de")  # nothing is known there
        try:
            assert home.ask("TYPE_TEXT", text="a")["data"]["method"] == "wtype"
            assert home.ask("TYPE_TEXT", text="é")["data"]["method"] == "wtype"
        finally:
            sway.use_layout("us")


def test_people_get_a_table(sway, ascii_only_wtype):
    with home_in(sway, "wtype", PATH=ascii_only_wtype) as home, running_daemon(home):
        done = home.v2m("outputs", "--check", timeout=90)
        assert done.returncode == 0
        assert "English (US)" in done.stdout
        rows = {line.split()[0]: line.split()[-1] for line in done.stdout.splitlines() if line.strip()}
        assert (rows["ascii"], rows["euro"]) == ("✓", "✗")
        assert "wtype, euro: 5 € arrived as 5" in done.stderr


def test_where_nothing_types_nothing_is_recorded_and_the_reason_is_told(sway, tmp_path):
    tool = tmp_path / "wtype"
    tool.write_text("#!/bin/sh\nexit 1\n")
    tool.chmod(0o755)
    with home_in(sway, "wtype", PATH=f"{tmp_path}:{BIN}:/usr/bin:/bin") as home, running_daemon(home):
        _, found = checked(home)
        assert set(found["wtype"].values()) <= {None, False}


def test_outputs_without_check_is_what_the_daemon_says(sway):
    with home_in(sway, "input-method") as home, running_daemon(home):
        plain = home.v2m("outputs")
        assert plain.returncode == 0
        assert plain.stdout.startswith("→ input-method")
        as_json = json.loads(home.v2m("outputs", "--json").stdout)
        assert as_json["data"]["output"] == "input-method"
        assert as_json["data"]["outputs"] == home.ask("LIST_OUTPUTS")["data"]["outputs"]


# --- it cannot be done ---


def test_without_a_daemon_it_says_so():
    with new_home() as home:
        done = home.v2m("outputs", "--check")
        assert done.returncode == 69
        assert "v2m daemon start" in done.stderr
        assert home.v2m("outputs").returncode == 69


def test_without_a_desktop_it_says_so():
    with new_home(**SILENT) as home, running_daemon(home):
        done = home.v2m("outputs", "--check")
        assert done.returncode == 70
        assert "No window can be shown" in done.stderr
        error = json.loads(home.v2m("outputs", "--check", "--json").stdout)["error"]
        assert error["code"] == "output_failed"


def test_where_no_way_of_typing_works_it_says_so(sway):
    with home_in(sway, "xdotool") as home, running_daemon(home):
        done = home.v2m("outputs", "--check")
        assert done.returncode == 70
        assert "No way of typing works here" in done.stderr
        assert "v2m outputs" in done.stderr


def test_a_window_that_does_not_get_the_focus_gets_no_text(sway):
    with home_in(sway, "virtual-keyboard") as home, running_daemon(home):
        terminal = sway.terminal()
        sway.run("swaymsg", 'no_focus [app_id="v2m-check"]')
        try:
            done = home.v2m("outputs", "--check", timeout=60)
        finally:
            sway.run("swaymsg", "reload")
        assert done.returncode == 70
        assert "did not get the focus" in done.stderr
        assert terminal.text() == ""
        assert not (home.state / "v2m" / "exactness.json").exists()


def test_a_window_that_loses_the_focus_ends_the_check_and_nothing_is_recorded(sway, tmp_path):
    tool = tmp_path / "wtype"  # types nothing until the focus has gone elsewhere
    tool.write_text(f"#!/bin/sh\ntouch {tmp_path}/begun\nuntil [ -e {tmp_path}/moved ]; do sleep 0.02; done\n")
    tool.chmod(0o755)
    with home_in(sway, "wtype", PATH=f"{tmp_path}:{BIN}:/usr/bin:/bin") as home, running_daemon(home):
        check = subprocess.Popen(
            [BIN / "v2m", "outputs", "--check"], env=home.variables, stderr=subprocess.PIPE, text=True
        )
        wait_until((tmp_path / "begun").exists, what="the first probe")
        terminal = sway.terminal()
        (tmp_path / "moved").touch()
        assert "Another window got the focus" in check.communicate(timeout=60)[1]
        assert check.returncode == 70
        assert terminal.text() == ""
        assert not (home.state / "v2m" / "exactness.json").exists()
