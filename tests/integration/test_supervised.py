"""What a supervisor hands to the daemon and hears from it: a socket, readiness, signs of life (without systemd)."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import pytest

from support.daemon import ask, new_home, running_daemon, wait_until
from v2m.domain.errors import StateError
from v2m.infrastructure.service.sd_notify import SdNotify
from v2m.infrastructure.service.systemd_socket import turn_away
from v2m.utils.paths import SERVICE_VARIABLES, take_service_variables
from v2m.utils.presence import is_listened_at

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]


@pytest.fixture
def home():
    with new_home(V2M_TRANSCRIPTION__BACKEND="scripted", V2M_AUDIO__BACKEND="wav") as made:
        yield made


@pytest.fixture(params=["path", "abstract"])
def supervisor(request):
    """A socket that hears what a supervisor would, and its address as a variable says it."""
    name = f"v2m-{uuid.uuid4()}"
    with (
        tempfile.TemporaryDirectory(prefix="v2m-") as folder,  # of pytest's, the path is too long for a socket
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear,
    ):
        address = f"{folder}/ear" if request.param == "path" else f"@{name}"
        ear.bind("\0" + name if request.param == "abstract" else address)
        ear.settimeout(20)
        yield ear, address


def heard(ear: socket.socket, wanted: str) -> list[str]:
    """Return the lines of all messages up to the one with this line."""
    lines: list[str] = []
    while wanted not in lines:
        lines += ear.recv(4096).decode().splitlines()
    return lines


def test_ready_is_said_when_keys_are_obeyed_and_then_life_and_the_end(home, supervisor):
    ear, address = supervisor
    home.variables |= {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "200000"}
    with running_daemon(home, ready=False) as daemon:
        assert heard(ear, "READY=1")[-2:] == ["READY=1", "STATUS=Ready"]
        assert home.ask("START_RECORDING")["status"] == "success"
        assert home.ask("ABORT_RECORDING")["status"] == "success"
        for _ in range(3):
            heard(ear, "WATCHDOG=1")
        daemon.process.send_signal(signal.SIGTERM)
        heard(ear, "STOPPING=1")
        assert daemon.process.wait(timeout=20) == 0


def test_a_supervisor_hears_why_it_does_not_start(home, supervisor):
    ear, address = supervisor
    home.variables |= {"NOTIFY_SOCKET": address}
    refused = home.run(sys.executable, "-m", "v2m.main", "--daemon", "--set", "audio.backend=gramophone")
    assert refused.returncode == 78
    said = refused.stderr.splitlines()[0].replace("toakd: ", "STATUS=bad_config: ")
    assert "gramophone" in said
    heard(ear, said)


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"NOTIFY_SOCKET": "vsock:2:1234"},
        {"NOTIFY_SOCKET": "/nobody/listens"},
        {"NOTIFY_SOCKET": "@" + "x" * 200},
        {"NOTIFY_SOCKET": "/nobody", "WATCHDOG_USEC": "soon"},
        {"NOTIFY_SOCKET": "/nobody", "WATCHDOG_USEC": "-5"},
    ],
)
def test_who_cannot_be_told_is_not_waited_for(variables):
    async def life():
        told = SdNotify(variables)
        told.tell(READY="1", STATUS="two\nlines")
        told.beat()

    asyncio.run(life())


def test_a_line_break_cannot_forge_another_message(supervisor):
    ear, address = supervisor
    SdNotify({"NOTIFY_SOCKET": address}).tell(STATUS="bad\nREADY=1")
    assert ear.recv(100) == b"STATUS=bad READY=1"


def test_the_watchdog_of_another_process_is_not_ours(supervisor):
    ear, address = supervisor

    async def life():
        SdNotify({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}).beat()

    asyncio.run(life())
    SdNotify({"NOTIFY_SOCKET": address}).tell(READY="1")
    assert ear.recv(100) == b"READY=1"


def test_children_hear_nothing_of_it(monkeypatch):
    for name in SERVICE_VARIABLES:
        monkeypatch.setenv(name, "1")
    assert set(take_service_variables()) == set(SERVICE_VARIABLES)
    assert not set(SERVICE_VARIABLES) & set(os.environ)


# --- the socket -------------------------------------------------------------------------------------------

HANDED = 'exec 3<&"$0"; export LISTEN_PID=${LISTEN_PID:-$$} LISTEN_FDS=1; exec "$@"'


@pytest.fixture
def listener(home):
    """A socket as systemd makes it."""
    home.socket.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(home.socket))
        listener.listen()
        yield listener


def handed(home, listener, *arguments):
    """Start a daemon to which the socket is handed."""
    fd = str(listener.fileno())
    command = ["bash", "-c", HANDED, fd, sys.executable, "-m", "v2m.main", "--daemon", *arguments]
    return subprocess.Popen(
        command, env=home.variables, pass_fds=[listener.fileno()], stderr=subprocess.PIPE, text=True
    )


def test_a_handed_socket_is_served_and_left_where_it_is(home, listener):
    with handed(home, listener) as daemon:
        assert home.ask("PING")["data"]["message"] == "PONG"
        assert Path(home.socket.with_name("toak.sock")).readlink() == Path("v2m.sock")
        assert ask(home.socket.with_name("toak.sock"), {"cmd": "PING", "data": {}})["status"] == "success"
        daemon.terminate()
        assert daemon.wait(timeout=20) == 0
        daemon.stderr.read()
    assert home.socket.is_socket()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(home.socket))  # it is still listened at


def test_variables_for_another_process_are_ignored(home, listener):
    home.variables["LISTEN_PID"] = "1"
    with handed(home, listener) as daemon:
        assert daemon.wait(timeout=20) == 75
        assert "systemd listens on" in daemon.stderr.read()


def test_whoever_waits_hears_why_nobody_serves(home, listener):
    """The settings are wrong; else the one who waits would have the daemon started again and again."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(home.socket))
        client.sendall(b"\x01")
        with handed(home, listener, "--set", "audio.backend=gramophone") as daemon:
            assert daemon.wait(timeout=20) == 78
            daemon.stderr.read()
        client.settimeout(5)
        assert b"bad_config" in client.recv(4096)
    listener.settimeout(0)
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_those_in_the_queue_are_turned_away_even_when_they_have_gone(home, listener):
    clients = [socket.socket(socket.AF_UNIX) for _ in range(3)]
    for client in clients:
        client.connect(str(home.socket))
    clients[0].close()
    turn_away(listener, StateError("no"))
    for client in clients[1:]:
        assert b"state_conflict" in client.recv(4096)
        client.close()


def test_a_listening_socket_is_known_without_knocking(home, listener):
    wait_until(lambda: is_listened_at(home.socket))
    assert not is_listened_at(home.socket.with_name("other.sock"))
    listener.settimeout(0)
    with pytest.raises(BlockingIOError):
        listener.accept()
