"""The microphone is let go at once, however a recording ends; seen from outside, in the graph."""

import signal
import time

import pytest

from support.daemon import new_home, running_daemon, wait_until
from support.pipewire import PipewireSession

pytestmark = [pytest.mark.desktop, pytest.mark.timeout(120)]

SOUND = ("PIPEWIRE_RUNTIME_DIR", "PULSE_SERVER", "DBUS_SESSION_BUS_ADDRESS")


@pytest.fixture(scope="module")
def sound():
    with PipewireSession() as session:
        yield session


def home_with(sound, **variables):
    return new_home(
        **{name: sound.env[name] for name in SOUND},
        V2M_AUDIO__BACKEND="pipewire",
        V2M_TRANSCRIPTION__BACKEND="scripted",
        V2M_TRANSCRIPTION__SCRIPT='["hello"]',
        **variables,
    )


def record(home, sound):
    home.toak("--start")
    wait_until(lambda: sound.sources_of("v2m"), what="the link")
    time.sleep(0.3)


def test_the_microphone_is_let_go_before_anything_is_decoded(sound):
    with home_with(sound, V2M_TRANSCRIPTION__SCRIPT_DELAY_S="2") as home, running_daemon(home):
        record(home, sound)
        home.ask("STOP_RECORDING", wait=False)
        assert home.state_now() == "transcribing"
        assert sound.node("v2m") is None


@pytest.mark.parametrize("how", ["stop", "abort", "pause", "SIGTERM", "SIGKILL"])
def test_the_microphone_is_let_go_however_a_recording_ends(sound, how):
    with home_with(sound) as home, running_daemon(home) as daemon:
        record(home, sound)
        match how:
            case "stop" | "abort":
                home.toak(f"--{how}")
            case "pause":
                home.v2m("pause")
            case name:
                daemon.process.send_signal(getattr(signal, name))
        wait_until(lambda: sound.node("v2m") is None, 5, "the end of the link")
