"""Nobody but this user gets anything: not from the socket, not from a file that any part of v2m has made."""

import os
import socket
import stat
import subprocess

import pytest

from support.audio import write_wav
from support.daemon import frame, new_home, running_daemon, wait_until
from support.speech import wheel_clips

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

SCRIPTED = {"V2M_TRANSCRIPTION__BACKEND": "scripted", "V2M_AUDIO__BACKEND": "wav"}
STRANGER = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-c"]
# Says what it got; the daemon must not have read what was sent before it closed.
ATTACK = """
import socket, sys
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1])
try:
    peer.sendall(bytes.fromhex(sys.argv[2]))
    print(peer.recv(100))
except (ConnectionResetError, BrokenPipeError):
    print("closed")
"""
ATTACKS = {
    "START": b"\x01",
    "STATUS": b"\x05",
    "PING": frame({"cmd": "PING"}),
    "TYPE_TEXT": frame({"cmd": "TYPE_TEXT", "data": {"text": "rm -rf ~"}}),
    "LIST_HISTORY": frame({"cmd": "LIST_HISTORY"}),
    "SHUTDOWN": frame({"cmd": "SHUTDOWN"}),
}


@pytest.fixture(scope="module")
def open_house():
    """A daemon whose directories and socket somebody has opened to everybody."""
    if os.getuid() != 0:
        pytest.skip("needs root to become another user; runs in CI")
    with new_home(**SCRIPTED) as home, running_daemon(home) as daemon:
        for path in (home.folder, home.runtime, home.socket.parent):
            path.chmod(0o755)
        home.socket.chmod(0o666)
        yield home, daemon


@pytest.mark.parametrize("order", ATTACKS)
def test_another_user_is_refused_although_every_mode_lets_him_in(open_house, order):
    home, daemon = open_house
    before = home.ask("GET_STATUS")["data"]
    done = subprocess.run([*STRANGER, ATTACK, home.socket, ATTACKS[order].hex()], capture_output=True, text=True)
    assert done.stdout.strip() in ("b''", "closed"), done.stderr
    wait_until(lambda: "refused a connection of uid 65534" in daemon.log, what="the log line")
    after = home.ask("GET_STATUS")["data"]
    assert (after["state"], after["queue"], after["recording"]) == ("idle", before["queue"], None)
    assert home.history() == []


def test_another_user_takes_no_place_from_this_one(open_house):
    home, _ = open_house
    for _ in range(3):
        subprocess.run([*STRANGER, ATTACK, home.socket, "05"], capture_output=True)
    with socket.socket(socket.AF_UNIX) as key:
        key.connect(str(home.socket))
        key.sendall(b"\x05")
        assert key.recv(4)


# --- files --------------------------------------------------------------------------------------------

SETTINGS = """
[audio]
backend = "wav"
wav_path = "{home}/voice.wav"
min_recording_ms = 1
[output]
method = ["file"]
file = "{home}/state/written"
"""


def test_every_file_of_a_whole_session_is_this_users_alone():
    with new_home() as home:
        write_wav(home.folder / "voice.wav", pcm=wheel_clips()[1].pcm)
        config = home.folder / "config" / "v2m" / "config.toml"
        config.parent.mkdir(mode=0o700)
        config.write_text(SETTINGS.format(home=home.folder))
        config.chmod(0o600)
        del home.variables["V2M_AUDIO__WAV_PATH"]
        old = os.umask(0)  # the widest there is
        try:
            _live(home)
        finally:
            os.umask(old)
        made = [path for top in ("state", "run", "data", "cache", "config") for path in _all(home.folder / top)]
        wide = {path: oct(mode) for path in made if (mode := stat.S_IMODE(path.lstat().st_mode)) & 0o077}
        names = {path.name for path in made}
    assert {"history.db", "verified-models.json", "lock", "v2m.sock"} & names, names
    assert any(name.startswith("dictation-") for name in names)
    assert wide == {}


def _live(home):
    """Dictate, retry, change a setting, look for help: whatever leaves a file."""
    with running_daemon(home):
        home.ask("START_RECORDING")
        wait_until(lambda: home.spools and home.ask("GET_STATUS")["data"]["recording"]["seconds"] > 1.0)
        number = home.ask("STOP_RECORDING")["data"]["dictation"]
        home.ask("RETRY_DICTATION", dictation=number)
        home.ask("UPDATE_CONFIG", settings={"audio.tail_ms": 100})
        home.v2m("doctor")
        home.v2m("privacy", check=True)
        home.v2m("install", "--print")


def _all(top):
    if top.is_symlink() or not top.exists():
        return
    yield top
    for path in top.rglob("*"):
        if not path.is_symlink():
            yield path
