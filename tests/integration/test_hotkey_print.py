"""`v2m hotkey print`: what it prints is what these desktops read, as far as their own programs can tell."""

import asyncio
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support.bus import private_bus
from support.daemon import BIN, ROOT, new_home
from support.shortcuts import shortcuts_desktop
from v2m.domain.hotkeys import parse_keys
from v2m.local._hotkey_lines import DESKTOPS, advice

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

TOAK = str(BIN / "toak")
SCHEMAS = """<schemalist>
<schema id="org.gnome.settings-daemon.plugins.media-keys" path="/org/gnome/settings-daemon/plugins/media-keys/">
 <key name="custom-keybindings" type="as"><default>[]</default></key></schema>
<schema id="org.gnome.settings-daemon.plugins.media-keys.custom-keybinding">
 <key name="name" type="s"><default>''</default></key><key name="command" type="s"><default>''</default></key>
 <key name="binding" type="s"><default>''</default></key></schema>
</schemalist>"""


@pytest.fixture
def home():
    with new_home() as home:
        yield home


def printed(home, *words) -> dict:
    done = home.v2m("hotkey", "print", *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["data"]


@pytest.mark.parametrize("desktop", DESKTOPS)
def test_every_line_names_the_trigger_in_full(home, desktop):
    text = home.v2m("hotkey", "print", desktop, "--key", "super+space").stdout
    calls = re.findall(r"\S*toak(?= --)", text)
    assert calls
    assert {call.strip("'") for call in calls} == {TOAK}
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert comments, "nothing says what to do with the lines"


@pytest.mark.parametrize("desktop", ["sway", "hyprland", "i3"])
def test_press_and_release_are_bound_to_one_key_and_abort_to_another(home, desktop):
    lines = printed(home, desktop, "--key", "super+space")["lines"]
    assert [line.split()[-1] for line in lines] == ["--start", "--stop", "--abort"]
    assert ["release" in line or line.startswith("bindr") for line in lines] == [False, True, False]
    assert ["shift" in line.lower() for line in lines] == [False, False, True]


def test_hyprland_gets_its_own_form(home):
    assert printed(home, "hyprland", "--key", "super+ctrl+space")["lines"] == [
        f"bind = SUPER CTRL, space, exec, {TOAK} --start",
        f"bindr = SUPER CTRL, space, exec, {TOAK} --stop",
        f"bind = SUPER CTRL SHIFT, space, exec, {TOAK} --abort",
    ]


@pytest.mark.skipif(not shutil.which("i3"), reason="i3 is missing: apt install i3-wm")
def test_i3_takes_the_lines(home):
    def complaints(lines):
        config = home.folder / "i3"
        config.write_text("# i3 config file (v4)\n" + "\n".join(lines) + "\n")
        done = home.run("i3", "-C", "-c", config)
        return done.stdout + done.stderr

    lines = advice("i3", parse_keys("super+space"), toak="/opt/v 2 m/toak").lines
    assert complaints(lines) == ""
    assert "ERROR" in complaints(["bindsmy F9 exec true"])


@pytest.mark.parametrize("before", [[], ["/mine/", "/yours/"]])
@pytest.mark.skipif(not shutil.which("glib-compile-schemas"), reason="apt install libglib2.0-bin")
def test_gnome_gets_a_toggle_and_the_reason_and_keeps_its_own_shortcuts(home, before):
    schemas = home.folder / "schemas"
    schemas.mkdir()
    (schemas / "v2m.gschema.xml").write_text(SCHEMAS)
    subprocess.run(["glib-compile-schemas", schemas], check=True)
    environment = {**home.variables, "GSETTINGS_SCHEMA_DIR": str(schemas), "GSETTINGS_BACKEND": "keyfile"}
    media_keys = "org.gnome.settings-daemon.plugins.media-keys"

    def gsettings(*words):
        return home.run("gsettings", *words, env=environment, check=True).stdout.strip()

    gsettings("set", media_keys, "custom-keybindings", str(before))
    found = printed(home, "gnome", "--key", "super+F9")
    assert found["reason"].endswith("this session has no GlobalShortcuts portal.")
    for _ in range(2):  # again changes nothing
        home.run("sh", "-e", "-c", "\n".join(found["lines"]), env=environment, check=True)
    mine = "/org/gnome/settings-daemon/plugins/media-keys/custom-keybindings/v2m/"
    assert gsettings("get", media_keys, "custom-keybindings") == str([*before, mine])
    custom = f"{media_keys}.custom-keybinding:{mine}"
    assert gsettings("get", custom, "command") == f"'{TOAK} --toggle'"
    assert gsettings("get", custom, "binding") == "'<Super>F9'"


@pytest.mark.parametrize("desktop", ["gnome", "kde"])
def test_with_the_portal_the_key_is_held(home, desktop):
    async def ask():
        async with shortcuts_desktop() as (bus, _, played):
            home.variables["DBUS_SESSION_BUS_ADDRESS"] = bus.address
            found = await asyncio.to_thread(printed, home, desktop, "--key", "super+F9")
            assert played.asked == []  # nothing is bound, no dialog is shown
            return found

    found = asyncio.run(ask())
    assert found["reason"] == ""
    config = Path(home.variables["XDG_CONFIG_HOME"], "v2m/config.toml")
    config.parent.mkdir()
    config.write_text("\n".join(found["lines"]))
    shown = home.v2m("config", "get", "hotkeys.push_to_talk")
    assert shown.stdout.split()[0].strip('"') == "super+F9"


def test_a_bus_without_a_portal_means_a_toggle(home):
    with private_bus() as address:
        home.variables["DBUS_SESSION_BUS_ADDRESS"] = address
        assert printed(home, "gnome")["lines"][-1].endswith("F9")
        assert "--toggle" in printed(home, "kde")["lines"][0]


@pytest.mark.parametrize(
    ("variables", "desktop"),
    [
        ({"SWAYSOCK": "/run/sway.sock", "XDG_CURRENT_DESKTOP": "sway"}, "sway"),
        ({"HYPRLAND_INSTANCE_SIGNATURE": "x", "XDG_CURRENT_DESKTOP": "Hyprland"}, "hyprland"),
        ({"XDG_CURRENT_DESKTOP": "i3"}, "i3"),
        ({"I3SOCK": "/run/i3.sock"}, "i3"),
        ({"XDG_CURRENT_DESKTOP": "ubuntu:GNOME"}, "gnome"),
        ({"XDG_CURRENT_DESKTOP": "KDE"}, "kde"),
    ],
)
def test_without_a_name_it_is_the_desktop_of_this_session(home, variables, desktop):
    home.variables |= variables
    assert printed(home)["desktop"] == desktop


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "This desktop is not known; name one of sway"),
        (("xfce",), "'xfce' is not one of"),
        (("sway", "--key", "F9; exec xterm"), "no name of a key"),
        (("sway", "--key", "hyper+F9"), "no modifier 'hyper'"),
    ],
)
def test_bad_input_is_refused_with_64_and_prints_nothing(home, words, says):
    done = home.v2m("hotkey", "print", *words)
    assert (done.returncode, done.stdout) == (64, "")
    assert says in done.stderr


def test_the_page_shows_the_same_lines():
    page = (ROOT / "docs/hotkeys.md").read_text()
    for desktop in DESKTOPS:
        for has_portal in {False, desktop in ("kde", "gnome")}:
            lines = advice(desktop, parse_keys("F9"), toak="/usr/bin/toak", has_portal=has_portal).lines
            assert "\n".join(lines) in page, f"{desktop}, portal {has_portal}"


def test_uninstalling_takes_the_menu_entry_away(home):
    entry = Path(home.variables["XDG_DATA_HOME"], "applications/org.v2m.toakd.desktop")
    entry.parent.mkdir(parents=True)
    entry.write_text("[Desktop Entry]\n")
    done = home.v2m("uninstall")
    assert done.returncode == 0, done.stderr
    assert not entry.exists()
    assert str(entry) in done.stdout + done.stderr
