"""A client and a daemon of different versions: both say so, and name the cure; good answers cost no second question."""

import asyncio
import socket
import subprocess
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.daemon import BIN, frame, read_frame
from v2m.client import AsyncClient, Client, CommandError, OtherProtocolError

pytestmark = pytest.mark.integration


@contextmanager
def daemon_of(protocol: object, answer: dict):
    """A daemon that answers PING with its protocol, all else with `answer`; yields its path and what it heard."""
    heard: list[str] = []
    with tempfile.TemporaryDirectory(prefix="v2m-skew-") as folder, socket.socket(socket.AF_UNIX) as listener:
        path = Path(folder) / "v2m.sock"
        listener.bind(str(path))
        listener.listen()

        def serve():
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                with peer:
                    try:
                        while True:
                            cmd = read_frame(peer)["cmd"]
                            heard.append(cmd)
                            pong = {"status": "success", "data": {"state": "idle", "protocol": protocol}}
                            peer.sendall(frame(pong if cmd == "PING" else answer))
                    except (EOFError, OSError):
                        continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield path, heard
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


REFUSED = {"status": "error", "error": {"code": "unknown_command", "message": "No.", "hint": None}, "data": {}}
GOOD = {"status": "success", "data": {"state": "idle"}}


async def in_asyncio(path: Path, cmd: str) -> None:
    async with AsyncClient(path) as client:
        await client.call(cmd)


def in_thread(path: Path, cmd: str) -> None:
    with Client(path) as client:
        client.call(cmd)


CLIENTS = [in_thread, lambda path, cmd: asyncio.run(in_asyncio(path, cmd))]


@pytest.mark.parametrize("ask", CLIENTS, ids=["blocking", "asyncio"])
@pytest.mark.parametrize("cmd", ["PING", "A_LATER_COMMAND"])
def test_another_protocol_is_named_with_its_cure(ask, cmd):
    with daemon_of(2, REFUSED) as (path, _), pytest.raises(OtherProtocolError, match="speaks 2") as error:
        ask(path, cmd)
    assert error.value.hint == "v2m daemon restart"


@pytest.mark.parametrize("ask", CLIENTS, ids=["blocking", "asyncio"])
def test_a_refusal_of_the_same_protocol_stays_what_it_is(ask):
    with daemon_of(1, REFUSED) as (path, heard), pytest.raises(CommandError, match="No"):
        ask(path, "A_LATER_COMMAND")
    assert heard == ["A_LATER_COMMAND", "PING"]


def test_a_good_answer_is_not_asked_about():
    with daemon_of(2, GOOD) as (path, heard):
        in_thread(path, "GET_STATUS")
    assert heard == ["GET_STATUS"]


def test_the_command_line_says_it(tmp_path):
    with daemon_of(7, REFUSED) as (path, _):
        run = subprocess.run(
            [BIN / "v2m", "status"],
            env={"V2M_SOCKET": str(path), "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
        )
    assert run.returncode == 64
    assert "speaks protocol 1, the daemon that runs speaks 7" in run.stderr
    assert "v2m daemon restart" in run.stderr
