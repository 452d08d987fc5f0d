"""One daemon per user: twenty at once, stale sockets, foreign files, unsafe directories."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from support.audio import write_wav
from support.daemon import BIN, new_home, running_daemon

pytestmark = pytest.mark.integration

TOAKD = [sys.executable, "-m", "v2m.main", "--daemon"]


@pytest.fixture
def home(tmp_path):
    wav = write_wav(tmp_path / "noise.wav", seconds=30)
    with new_home(
        V2M_TRANSCRIPTION__BACKEND="scripted",
        V2M_TRANSCRIPTION__SCRIPT='["still here"]',
        V2M_AUDIO__BACKEND="wav",
        V2M_AUDIO__WAV_PATH=str(wav),
    ) as home:
        yield home


HANGS_UP = """
import os, signal, sys
from v2m.main import toakd

class AtTheDaemon:
    def find_spec(self, name, path=None, target=None):
        if name == "v2m.daemon":
            os.kill(os.getpid(), signal.SIGHUP)

sys.meta_path.insert(0, AtTheDaemon())
sys.exit(toakd(["--help"]))
"""


def test_being_told_to_read_the_settings_again_while_it_is_loaded_does_not_end_it():
    begun = [sys.executable, "-c", HANGS_UP]
    assert subprocess.run(begun, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL).returncode == 0


def test_of_twenty_starters_one_lives_and_a_running_recording_goes_on(home):
    with running_daemon(home) as daemon:
        home.ask("START_RECORDING")
        losers = [
            subprocess.Popen(TOAKD, env=home.variables, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
            for _ in range(20)
        ]
        for loser in losers:
            message = loser.communicate(timeout=30)[1]
            assert loser.returncode == 75
            assert str(daemon.pid) in message
        assert home.state_now() == "recording"
        time.sleep(0.3)
        assert home.ask("STOP_RECORDING", deliver="none")["data"]["transcription"] == "still here"


def test_of_twenty_starters_at_once_over_a_stale_socket_one_wins(home):
    home.socket.parent.mkdir(mode=0o700)
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(home.socket))
    stale.close()
    starters = [
        subprocess.Popen(TOAKD, env=home.variables, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        for _ in range(20)
    ]
    try:
        deadline = time.monotonic() + 40
        while sum(starter.poll() is None for starter in starters) > 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        living = [starter for starter in starters if starter.poll() is None]
        assert len(living) == 1
        assert {starter.returncode for starter in starters if starter not in living} == {75}
        home.wait_state("idle", 30)
    finally:
        for starter in starters:
            if starter.poll() is None:
                starter.send_signal(signal.SIGTERM)
                starter.wait(timeout=20)
    assert not home.socket.exists()
    assert (home.socket.parent / "lock").exists()


def test_after_a_kill_the_next_start_needs_no_hand(home):
    with running_daemon(home) as daemon:
        daemon.kill()
        assert home.socket.exists()
    with running_daemon(home):
        assert home.state_now() == "idle"


def refused(home) -> tuple[int, str]:
    result = subprocess.run(TOAKD, env=home.variables, capture_output=True, text=True, timeout=30)
    assert "Traceback" not in result.stderr
    return result.returncode, result.stderr


def test_a_plain_file_at_the_sockets_path_is_left_alone(home):
    home.socket.parent.mkdir(mode=0o700)
    home.socket.write_text("precious")
    code, message = refused(home)
    assert code == 77
    assert "left alone" in message
    assert "rm " not in message
    assert home.socket.read_text() == "precious"


def test_a_symlink_at_the_sockets_path_is_not_followed(home, tmp_path):
    home.socket.parent.mkdir(mode=0o700)
    (tmp_path / "target").write_text("precious")
    home.socket.symlink_to(tmp_path / "target")
    assert refused(home)[0] == 77
    assert (tmp_path / "target").read_text() == "precious"


@pytest.mark.parametrize("case", ["0777", "symlink", "foreign", "file", "missing base"])
def test_an_unsafe_runtime_directory_is_refused_with_the_reason(home, tmp_path, case):
    folder = home.socket.parent
    match case:
        case "0777":
            folder.mkdir()
            folder.chmod(0o777)
        case "symlink":
            (tmp_path / "elsewhere").mkdir(mode=0o700)
            folder.symlink_to(tmp_path / "elsewhere")
        case "foreign":
            if os.getuid() != 0:
                pytest.skip("needs root to make a foreign directory; runs in CI")
            folder.mkdir(mode=0o700)
            os.chown(folder, 65534, 65534)
        case "file":
            folder.write_text("")
        case "missing base":
            home.variables["XDG_RUNTIME_DIR"] = str(tmp_path / "gone")
    code, message = refused(home)
    assert code == 77
    assert "v2m" in message or "gone" in message


def test_a_relative_socket_path_is_a_configuration_error(home):
    home.variables["V2M_SOCKET"] = "here.sock"
    assert refused(home)[0] == 78


def test_a_bad_setting_is_one_sentence(home):
    home.variables["V2M_AUDIO__BAKEND"] = "wav"
    code, message = refused(home)
    assert code == 78
    assert "backend" in message.lower()


def test_the_socket_prints_and_ctrl_c_ends_cleanly(home):
    process = subprocess.Popen(TOAKD, env=home.variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert str(home.socket) in process.stdout.readline()
    home.wait_state("idle", 30)
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=20)[1]
    assert process.returncode == 0
    assert "Traceback" not in errors
    assert not home.socket.exists()


def test_toakd_is_the_same_daemon(home):
    with running_daemon(home, argv=[BIN / "toakd"]):
        assert home.v2m("ping").returncode == 0
