"""What `v2m doctor` finds on a headless desktop and sound system that are broken on purpose; its commands mend it."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemon import Home, new_home, running_daemon
from support.desktop import SwayDesktop
from support.doctor import QUIET, examine, mends
from support.pipewire import HEADLESS, PipewireSession

pytestmark = [pytest.mark.desktop, pytest.mark.timeout(120)]

SOUND = ("PIPEWIRE_RUNTIME_DIR", "PULSE_SERVER", "DBUS_SESSION_BUS_ADDRESS", "V2M_PW_DIR")
DEFAULT = "@DEFAULT_AUDIO_SOURCE@"


@pytest.fixture(scope="module")
def sound() -> Iterator[PipewireSession]:
    with PipewireSession(V2M_PW_MIC2="1") as session:
        yield session


@pytest.fixture
def home(sound: PipewireSession) -> Iterator[Home]:
    """A home at this sound system; `systemctl` in it starts what of it is dead, as a user manager would."""
    with new_home(**{name: sound.env[name] for name in SOUND}) as empty:
        tools = empty.folder / "tools"
        tools.mkdir()
        systemctl = tools / "systemctl"
        systemctl.write_text(
            f'#!/bin/sh\n[ "$1 $2" = "--user restart" ] && V2M_PW_MIC2=1 exec {HEADLESS}/pipewire.sh up\n'
        )
        systemctl.chmod(0o755)
        (empty.runtime / "systemd").mkdir()
        with socket.socket(socket.AF_UNIX) as manager:  # by which one is known to be there
            manager.bind(str(empty.runtime / "systemd" / "private"))
        empty.variables["PATH"] = f"{tools}:{empty.variables['PATH']}"
        yield empty


def tool(home: Home, *words: str) -> None:
    done = home.run(*words)
    assert done.returncode == 0, done.stderr


# --- sound -------------------------------------------------------------------------------------------------------


def test_a_sound_system_that_works_has_no_complaint(home: Home) -> None:
    found = examine(home, "sound-server", "session-manager", "microphone", "default-source", "volume")
    assert {check["verdict"] for check in found.values()} == {"ok"}, found


def test_a_microphone_that_sends_zeros_is_noticed_and_nothing_is_left(home: Home, sound: PipewireSession) -> None:
    found = examine(home, "signal")["signal"]
    assert found["verdict"] == "warn"
    assert "nothing but zeros" in found["evidence"]
    assert not [node for node in sound.dump() if "v2m" in str(node["info"].get("props", {}).get("application.name"))]
    assert not list(home.state.rglob("*"))


def test_sound_is_heard(home: Home, sound: PipewireSession) -> None:
    with sound.feeding(Path(home.variables["V2M_AUDIO__WAV_PATH"])):
        found = examine(home, "signal")["signal"]
    assert found["verdict"] == "ok", found


def test_a_muted_microphone(home: Home) -> None:
    tool(home, "wpctl", "set-mute", DEFAULT, "1")
    mends(home, "volume", "muted")


def test_a_microphone_turned_down(home: Home) -> None:
    tool(home, "wpctl", "set-volume", DEFAULT, "0")
    mends(home, "volume", "zero")


def test_a_chosen_microphone_that_is_muted(home: Home) -> None:
    tool(home, "pactl", "set-source-mute", "v2m_mic2", "1")
    mends(home, "volume", "v2m_mic2 is muted", V2M_AUDIO__DEVICE="v2m_mic2")


def test_loudspeakers_taken_for_the_microphone(home: Home) -> None:
    tool(home, "pactl", "load-module", "module-null-sink", "sink_name=speakers")
    try:
        tool(home, "pactl", "set-default-source", "speakers.monitor")
        mends(home, "default-source", "what the loudspeakers play")
    finally:
        tool(home, "pactl", "unload-module", "module-null-sink")


@pytest.mark.parametrize("where", ["a file", "the environment"])
def test_a_microphone_that_is_gone(home: Home, where: str) -> None:
    if where == "a file":
        path = home.folder / "config" / "v2m" / "config.toml"
        path.parent.mkdir()
        path.write_text('[audio]\ndevice = "usb"\n')
    else:
        home.variables["V2M_AUDIO__DEVICE"] = "usb"
    mends(home, "microphone", "usb is not there")


def test_a_dead_session_manager(home: Home, sound: PipewireSession) -> None:
    sound.lose_manager()
    mends(home, "session-manager", "not there")


def test_a_dead_sound_server(home: Home, sound: PipewireSession) -> None:
    sound.kill("pipewire")
    mends(home, "sound-server", "PipeWire")


def test_a_stopped_sound_server_keeps_nobody_waiting(home: Home, sound: PipewireSession) -> None:
    pid = sound.pid("pipewire")
    os.kill(pid, 19)
    try:
        found = examine(home)
    finally:
        os.kill(pid, 18)
    assert found["sound-server"]["verdict"] == "fail"
    assert found["clock"]["verdict"] == "ok"


# --- the desktop -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sway() -> Iterator[SwayDesktop]:
    with SwayDesktop() as desktop:
        yield desktop


@pytest.fixture
def seat(sway: SwayDesktop) -> Iterator[Home]:
    with new_home(**QUIET, **sway.variables) as empty:
        yield empty


def test_a_desktop_that_works_has_no_complaint(seat: Home) -> None:
    found = examine(seat, "display", "outputs", "compositor", "clipboard")
    assert {check["verdict"] for check in found.values()} == {"ok"}, found


@pytest.mark.parametrize("with_daemon", [False, True], ids=["alone", "with a daemon"])
def test_ways_of_typing_that_are_all_excluded(seat: Home, with_daemon: bool) -> None:
    """The one that is left is for X11."""
    path = seat.folder / "config" / "v2m" / "config.toml"
    path.parent.mkdir()
    path.write_text('[output]\nmethod = ["xtest"]\n')
    if with_daemon:
        with running_daemon(seat):
            mends(seat, "outputs", "xtest")
    else:
        mends(seat, "outputs", "xtest")


# --- the hotkey --------------------------------------------------------------------------------------------------


def test_no_key_is_bound(seat: Home) -> None:
    mends(seat, "hotkey", "No key of sway calls toak")
    assert "F9 in sway" in examine(seat, "hotkey")["hotkey"]["evidence"]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["F7 exec toak --start"], "its release does not end it"),
        (["F8 exec toak --start", "F8 exec toak --stop"], "lacks --release"),
    ],
)
def test_a_key_that_would_never_stop(lines: list[str], says: str) -> None:
    config = "\n".join(f"bindsym {line}" for line in lines)
    with SwayDesktop() as desktop, new_home(**QUIET, **desktop.variables) as seat:
        append_to(desktop, config)
        found = examine(seat, "hotkey")["hotkey"]
        assert (found["verdict"], says in found["evidence"]) == ("warn", True), found


def test_keys_that_the_daemon_binds_itself(seat: Home) -> None:
    seat.variables["V2M_HOTKEYS__BACKEND"] = "sway"
    seat.variables["V2M_HOTKEYS__PUSH_TO_TALK"] = "F6"
    with running_daemon(seat):
        found = examine(seat, "hotkey")["hotkey"]
    assert (found["verdict"], "F6" in found["evidence"]) == ("ok", True), found


def append_to(desktop: SwayDesktop, lines: str) -> None:
    """Add lines to the configuration of a compositor that runs."""
    told = desktop.run("swaymsg", "-t", "get_version", "-r")
    path = Path(json.loads(told)["loaded_config_file_name"])
    with path.open("a") as file:
        file.write(f"\n{lines}\n")
    desktop.run("swaymsg", "reload")
