"""`v2m doctor --loop` on a headless desktop with a headless PipeWire: it passes, names what fails, leaves nothing."""

import json
import os
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.daemon import BIN, new_home, wait_until
from support.desktop import SwayDesktop, XDesktop
from support.pipewire import PipewireSession

pytestmark = [pytest.mark.desktop, pytest.mark.timeout(180)]

SOUND = ("PIPEWIRE_RUNTIME_DIR", "PULSE_SERVER", "DBUS_SESSION_BUS_ADDRESS")
STAGES = ["daemon", "PipeWire", "microphone", "engine", "words", "output", "read back"]
SCRIPTED = {
    "V2M_TRANSCRIPTION__BACKEND": "scripted",
    "V2M_TRANSCRIPTION__SCRIPT": '["It was the best of times, it was the worst of times."]',
}


@pytest.fixture(scope="module")
def sound():
    with PipewireSession() as session:
        yield session


@pytest.fixture(scope="module")
def sway():
    with SwayDesktop() as desktop:
        yield desktop


@contextmanager
def home_with(sound, desktop=None, **variables):
    """A home in which the loop can run; afterwards nothing of a run may be there."""
    session = desktop.variables if desktop else {}
    heard = {name: sound.env[name] for name in SOUND} if sound else {"PIPEWIRE_RUNTIME_DIR": "/nonexistent"}
    with new_home(**{**heard, **session, **variables}) as home:
        yield home
        assert processes_of(home) == []
        assert list(home.runtime.iterdir()) == []
        assert list(home.state.iterdir()) == []
        if sound:
            assert loop_nodes(sound) == []


def processes_of(home) -> list[str]:
    """Return the command lines of the processes that live in this home."""
    mark, found = f"HOME={home.folder}\0".encode(), []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def loop_nodes(sound) -> list[str]:
    names = [each["info"].get("props", {}).get("node.name", "") for each in sound.dump()]
    return [name for name in names if name.startswith("v2m_loop")]


def loop(home):
    """Run it; return the exit status, what is known of each stage, and the whole answer."""
    done = home.v2m("doctor", "--loop", "--json", timeout=150)
    answer = json.loads(done.stdout)
    stages = answer["data"]["stages"]
    assert [stage["stage"] for stage in stages] == STAGES
    return done.returncode, {stage["stage"]: stage["ok"] for stage in stages}, answer


def fails_at(home, stage, code):
    """Assert that this stage fails, after all that passed, and that a fix is told."""
    status, stages, answer = loop(home)
    assert status == 70
    assert answer["data"]["failed"] == stage, answer
    assert answer["error"]["code"] == code
    assert answer["error"]["hint"] == answer["data"]["fix"] != ""
    assert all(stages[earlier] for earlier in STAGES[: STAGES.index(stage)])
    return stages, answer


@pytest.mark.parametrize("kind", ["wayland", "x11"])
def test_it_passes_where_everything_works(sound, kind):
    with (SwayDesktop if kind == "wayland" else XDesktop)() as desktop, home_with(sound, desktop) as home:
        status, stages, answer = loop(home)
        assert (status, stages) == (0, dict.fromkeys(STAGES, True)), answer
        assert answer["data"]["ok"] is True
        assert "best of times" in answer["data"]["heard"]


def test_people_get_a_verdict(sound, sway):
    with home_with(sound, sway, **SCRIPTED) as home:
        done = home.v2m("doctor", "--loop", timeout=150)
        assert done.returncode == 0, done.stdout + done.stderr
        assert [line[0] for line in done.stdout.splitlines()[:7]] == ["✓"] * 7
        assert done.stdout.splitlines()[-1].startswith("Dictation works")


def test_the_users_own_daemon_and_history_are_left_alone(sound, sway):
    from support.daemon import running_daemon

    with home_with(sound, sway, **SCRIPTED) as home:
        with running_daemon(home):
            assert loop(home)[0] == 0
            assert home.history() == []
        for left in sorted(home.state.rglob("*"), reverse=True):
            left.rmdir() if left.is_dir() else left.unlink()
        for left in sorted(home.runtime.rglob("*"), reverse=True):
            left.rmdir() if left.is_dir() else left.unlink()


def test_bad_settings_fail_at_the_daemon(sound, sway):
    with home_with(sound, sway, V2M_AUDIO__BACKEND="nonsense") as home:
        stages, answer = fails_at(home, "daemon", "internal")
        assert "audio.backend" in answer["error"]["message"]
        assert stages["PipeWire"] is None


def test_without_a_sound_server_it_fails_at_pipewire(sway):
    with home_with(None, sway, **SCRIPTED) as home:
        stages, _ = fails_at(home, "PipeWire", "capture_failed")
        assert stages["microphone"] is None


def test_without_pipewires_tools_it_names_the_package(sound, sway, tmp_path):
    with home_with(sound, sway, PATH=str(tmp_path)) as home:
        _, answer = fails_at(home, "PipeWire", "capture_failed")
        assert "pipewire-bin" in answer["error"]["hint"]


def test_an_engine_that_cannot_load_fails_at_the_engine(sound, sway, tmp_path):
    with home_with(sound, sway, V2M_TRANSCRIPTION__MODEL_DIR=str(tmp_path)) as home:
        stages, _ = fails_at(home, "engine", "engine_failed")
        assert stages["words"] is None


def test_an_engine_that_hears_something_else_fails_at_the_words(sound, sway):
    other = {**SCRIPTED, "V2M_TRANSCRIPTION__SCRIPT": '["quite another sentence"]'}
    with home_with(sound, sway, **other) as home:
        stages, answer = fails_at(home, "words", "engine_failed")
        assert "quite another sentence" in answer["error"]["message"]
        assert stages["read back"] is True


def test_without_a_display_it_fails_at_the_output(sound):
    with home_with(sound, **SCRIPTED) as home:
        stages, _ = fails_at(home, "output", "output_failed")
        assert stages["read back"] is None


def test_an_output_that_loses_the_text_fails_at_reading_back(sound, sway, tmp_path):
    tool = tmp_path / "wtype"
    tool.write_text("#!/bin/sh\nexec cat >/dev/null\n")
    tool.chmod(0o755)
    path = f"{tmp_path}:{BIN}:/usr/local/bin:/usr/bin:/bin"
    with home_with(sound, sway, **SCRIPTED, PATH=path, V2M_OUTPUT__METHOD='["wtype"]') as home:
        _, answer = fails_at(home, "read back", "output_failed")
        assert "0 characters" in answer["error"]["message"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_stopped_in_the_middle_it_leaves_nothing(sound, sway, number):
    with home_with(sound, sway, **SCRIPTED) as home:
        running = subprocess.Popen([BIN / "v2m", "doctor", "--loop"], env=home.variables, stdout=subprocess.DEVNULL)
        wait_until(lambda: "v2m_loop" in " ".join(loop_nodes(sound)), what="the virtual microphone")
        os.kill(running.pid, number)
        assert running.wait(timeout=30) == 130
        wait_until(lambda: loop_nodes(sound) == [], what="the microphone to go")
