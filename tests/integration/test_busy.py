"""Clients do not hold each other up: a file is transcribed, one client reads nothing, one asks and reads nothing."""

import socket
import threading
from contextlib import contextmanager, suppress

import pytest

from support.audio import write_wav
from support.daemon import connect, frame, new_home, read_frame, running_daemon
from support.media import speech
from support.speech import word_error_rate

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

REPEATED = 12  # a hundred seconds and more: some seconds of work for the engine


@pytest.fixture(scope="module")
def home():
    with new_home(V2M_AUDIO__BACKEND="wav") as home, running_daemon(home):
        yield home


@contextmanager
def stalled(home):
    """A subscriber that never reads, and a client that never reads its answers."""
    with connect(home.socket) as subscriber, connect(home.socket) as flood:
        for peer in (subscriber, flood):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        subscriber.sendall(frame({"cmd": "SUBSCRIBE"}))
        flood.setblocking(False)
        with suppress(BlockingIOError):
            for _ in range(50):
                flood.send(frame({"cmd": "GET_STATUS"}) * 500)
        yield subscriber


class Answer(threading.Thread):
    """Waits for the answer to a request."""

    def __init__(self, home, request):
        super().__init__(daemon=True)
        self.peer = connect(home.socket, 100)
        self.peer.sendall(frame(request))
        self.envelope = None
        self.start()

    def run(self):
        with self.peer:
            self.envelope = read_frame(self.peer)


def test_every_ping_and_key_is_answered_while_a_file_is_transcribed_and_clients_stall(home, tmp_path):
    pcm, text = speech()
    file = write_wav(tmp_path / "long.wav", pcm=pcm * REPEATED)
    with stalled(home) as subscriber, connect(home.socket) as peer:
        answer = Answer(home, {"cmd": "TRANSCRIBE_FILE", "data": {"file_path": str(file)}})
        answered = presses = 0
        while answer.is_alive():
            peer.sendall(frame({"cmd": "PING", "id": answered}))
            pong = read_frame(peer)
            assert (pong["id"], pong["status"]) == (answered, "success")
            answered += 1
            if answered % 20 == 0:
                press(home, b"\x01", "recording")
                press(home, b"\x03", "idle")
                presses += 1
            answer.join(0.02)
        assert read_frame(subscriber)["seq"] is not None
    heard = answer.envelope["data"]["transcription"]
    assert answered >= 20
    assert presses >= 1
    assert word_error_rate([(f"{text} " * REPEATED, heard)]) <= 0.1
    assert home.state_now() == "idle"


def press(home, byte, state):
    with connect(home.socket) as key:
        key.sendall(byte)
        assert read_frame(key)["data"]["state"] == state
