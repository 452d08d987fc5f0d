"""What once broke it: requests that meet each other, clients that leave, disks that lock, floods that jam."""

import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest

from support.audio import write_wav
from support.daemon import connect, frame, listens, new_home, read_frame, running_daemon, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

SCRIPTED = {
    "V2M_TRANSCRIPTION__BACKEND": "scripted",
    "V2M_TRANSCRIPTION__SCRIPT": '["dictation {n}"]',
    "V2M_TRANSCRIPTION__SCRIPT_DELAY_S": "0.5",
    "V2M_AUDIO__BACKEND": "wav",
}
START, STOP, ABORT, TOGGLE = b"\x01", b"\x02", b"\x03", b"\x04"


@pytest.fixture
def home():
    with new_home(**SCRIPTED) as home, running_daemon(home) as daemon:
        home.daemon = daemon
        yield home


def press(home, byte):
    with connect(home.socket) as peer:
        peer.sendall(byte)
        return read_frame(peer)


def dictate(home, **how):
    home.ask("START_RECORDING")
    time.sleep(0.3)
    return home.ask("STOP_RECORDING", **{"deliver": "none", **how})["data"]["dictation"]


def row(home, dictation):
    return next(entry for entry in home.history() if entry["dictation"] == dictation)


def test_abort_at_any_moment_of_an_ending_dictation_harms_nothing():
    silent = {"V2M_TRANSCRIPTION__SCRIPT": "[]", "V2M_TRANSCRIPTION__SCRIPT_DELAY_S": "0.02"}
    with new_home(**{**SCRIPTED, **silent}) as home, running_daemon(home) as daemon:
        chance = random.Random(3)
        for _ in range(25):
            press(home, START)
            time.sleep(0.22)
            press(home, STOP)
            time.sleep(chance.uniform(0, 0.06))
            press(home, ABORT)
            home.wait_state("idle")
        assert daemon.process.poll() is None
        assert {entry["phase"] for entry in home.history()} <= {"aborted", "suppressed"}
        assert "Traceback" not in daemon.log


def test_two_retries_of_one_dictation_at_once_both_answer(home):
    dictation = dictate(home)
    with connect(home.socket) as one, connect(home.socket) as two:
        for peer in (one, two):
            peer.sendall(frame({"cmd": "RETRY_DICTATION", "data": {"dictation": dictation, "deliver": "none"}}))
        assert {read_frame(one)["status"], read_frame(two)["status"]} == {"success"}
    assert row(home, dictation)["phase"] == "delivered"


def test_abort_of_a_retry_leaves_text_and_audio_as_they_were(home):
    dictation = dictate(home)
    before = row(home, dictation)
    with connect(home.socket) as peer:
        peer.sendall(frame({"cmd": "RETRY_DICTATION", "data": {"dictation": dictation}}))
        home.wait_state("transcribing")
        press(home, ABORT)
        assert read_frame(peer)["error"]["code"] == "state_conflict"
    assert row(home, dictation) == before
    assert home.ask("RETRY_DICTATION", dictation=dictation, deliver="none")["status"] == "success"


def test_a_client_that_leaves_during_a_retry_leaves_no_trace(home):
    dictation = dictate(home)
    descriptors = len(os.listdir(f"/proc/{home.daemon.pid}/fd"))
    for _ in range(5):
        with connect(home.socket) as peer:
            peer.sendall(frame({"cmd": "RETRY_DICTATION", "data": {"dictation": dictation, "deliver": "none"}}))
    home.wait_state("idle")
    assert home.ask("RETRY_DICTATION", dictation=dictation, deliver="none")["status"] == "success"
    wait_until(lambda: len(os.listdir(f"/proc/{home.daemon.pid}/fd")) <= descriptors, what="closed descriptors")


def test_a_second_daemon_with_another_socket_keeps_off_the_same_history(home):
    home.ask("START_RECORDING")
    other = dict(home.variables, V2M_SOCKET=str(home.runtime / "v2m" / "other.sock"))
    argv = [sys.executable, "-m", "v2m.main", "--daemon"]
    second = subprocess.run(argv, env=other, capture_output=True, text=True, timeout=30)
    assert second.returncode == 75
    assert str(home.daemon.pid) in second.stderr
    time.sleep(0.3)
    assert home.ask("STOP_RECORDING", deliver="none")["data"]["transcription"]


def test_a_history_that_is_locked_for_a_while_loses_no_text(home):
    dictate(home)
    database = sqlite3.connect(home.state / "v2m" / "history.db", timeout=0, isolation_level=None)
    database.execute("BEGIN EXCLUSIVE")
    home.ask("START_RECORDING")
    database.execute("ROLLBACK")
    database.close()
    time.sleep(0.3)
    answer = home.ask("STOP_RECORDING", deliver="none")["data"]
    assert row(home, answer["dictation"])["text"] == answer["transcription"]
    assert "history" in home.ask("GET_STATUS")["data"]["degraded"]


def test_abort_makes_room_in_the_queue(home):
    for _ in range(4):
        dictation = home.ask("START_RECORDING")["data"]["dictation"]
        time.sleep(0.22)
        home.ask("STOP_RECORDING", wait=False, deliver="none")
    full = home.ask("GET_STATUS")["data"]["queue"]
    assert home.ask("ABORT_RECORDING")["data"]["dictation"] == dictation
    assert home.ask("GET_STATUS")["data"]["queue"] < full


def test_a_history_longer_than_a_frame_comes_in_pages():
    text = " ".join(f"word{number}" for number in range(8_000))
    variables = {"V2M_TRANSCRIPTION__SCRIPT": f'["{text}"]', "V2M_TRANSCRIPTION__SCRIPT_DELAY_S": "0"}
    with new_home(**{**SCRIPTED, **variables}) as home, running_daemon(home):
        for _ in range(10):
            dictate(home)
        page = home.ask("LIST_HISTORY", limit=1000)["data"]
        assert page["more"] is True
        rest = home.ask("LIST_HISTORY", limit=1000, before=page["entries"][-1]["dictation"])["data"]
        assert len(page["entries"]) + len(rest["entries"]) == 10
        listed = home.v2m("history", "-n", "1000", "--json")
        assert listed.returncode == 0, listed.stderr


def test_requests_behind_a_slow_one_have_time_to_arrive(home):
    home.ask("START_RECORDING")
    time.sleep(0.3)
    padding = "x" * 5000
    with connect(home.socket) as peer:
        work = frame({"cmd": "STOP_RECORDING", "data": {"deliver": "none"}})
        pings = b"".join(frame({"cmd": "PING", "id": n, "pad": padding}) for n in range(60))
        threading.Thread(target=peer.sendall, args=(work + pings[:-1],), daemon=True).start()
        assert read_frame(peer)["data"]["transcription"]
        for _ in range(59):
            read_frame(peer)
        peer.sendall(pings[-1:])
        assert read_frame(peer)["id"] == 59


def test_a_client_that_does_not_read_cannot_jam_the_door():
    with new_home(**SCRIPTED, V2M_DAEMON__MAX_CONNECTIONS="8") as home, running_daemon(home):
        for _ in range(3):
            dictate(home)
        peers = [connect(home.socket) for _ in range(8)]
        try:
            peers[0].setblocking(False)
            flood = frame({"cmd": "GET_STATUS"}) * 2000
            with suppress(BlockingIOError):
                for _ in range(50):
                    peers[0].send(flood)
            answers = [ask_quickly(home) for _ in range(6)]
            assert "success" in answers
        finally:
            for peer in peers:
                peer.close()


def ask_quickly(home):
    try:
        return home.ask("PING")["status"]
    except (EOFError, OSError):
        return "closed"


@pytest.mark.parametrize(
    ("cmd", "data"),
    [
        ("RETRY_DICTATION", {"dictation": 10**25}),
        ("DELIVER_AGAIN", {"dictation": -1}),
        ("LIST_HISTORY", {"before": 2**63}),
        ("ABORT_RECORDING", {"dictation": 0}),
    ],
)
def test_a_number_that_no_dictation_can_have_is_a_bad_request(home, cmd, data):
    assert home.ask(cmd, **data)["error"]["code"] == "bad_request"


def test_keys_pressed_while_the_daemon_starts_keep_their_times():
    with new_home(**SCRIPTED) as home, running_daemon(home, ready=False):
        wait_until(lambda: listens(home.socket), what="the socket")
        with connect(home.socket) as first, connect(home.socket) as second:
            first.sendall(TOGGLE)
            time.sleep(0.25)
            second.sendall(TOGGLE)
            read_frame(first)
            read_frame(second)
        assert home.ask("GET_STATUS")["data"]["recording"] is None


@pytest.mark.parametrize("how", ["pause", "shutdown", "key"])
def test_a_microphone_without_a_sample_stops_nothing(tmp_path, how):
    empty = write_wav(tmp_path / "empty.wav", pcm=b"")
    with new_home(**SCRIPTED, V2M_AUDIO__WAV_PATH=str(empty)) as home, running_daemon(home) as daemon:
        home.ask("START_RECORDING")
        match how:
            case "pause":
                assert home.ask("PAUSE_DAEMON")["data"]["state"] == "paused"
            case "shutdown":
                assert daemon.stop() == 0
            case _:
                press(home, START)
                press(home, STOP)
        if how != "shutdown":
            wait_until(lambda: home.ask("GET_STATUS")["data"]["recording"] is None, what="the end")


def test_a_socket_in_a_directory_of_the_system_is_refused_without_a_dangerous_hint():
    with new_home() as home:
        for path in ("/v2m.sock", "/dev/v2m.sock"):
            result = home.run(sys.executable, "-m", "v2m.main", "--daemon", env={**home.variables, "V2M_SOCKET": path})
            assert result.returncode == 77
            assert "chmod" not in result.stderr
            assert "rm " not in result.stderr
