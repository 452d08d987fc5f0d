"""The socket as clients meet it: a real daemon, real connections, good and bad bytes."""

import json
import os
import re
import socket
import subprocess
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.daemon import ask, connect, frame, new_home, read_frame, running_daemon, wait_until

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def home():
    variables = {"V2M_TRANSCRIPTION__BACKEND": "scripted", "V2M_AUDIO__BACKEND": "wav"}
    with new_home(**variables) as home, running_daemon(home) as daemon:
        home.daemon = daemon
        yield home


def rss_kib(pid: int) -> int:
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


# --- the documents' literal examples ---


def test_the_documents_request_gets_the_documents_answer(home):
    with connect(home.socket) as peer:
        body = b'{ "cmd": "PING", "data": { "optional": "payload" } }'
        peer.sendall(len(body).to_bytes(4, "big") + body)
        length = int.from_bytes(peer.recv(4), "big")
        text = peer.recv(length).decode()
    assert text.startswith('{"status":"success","data":{"state":"idle"')
    assert '"message":"PONG"' in text


def test_the_documents_sample_with_its_optional_payload_works(home):
    answer = ask(home.socket, {"cmd": "PING", "data": {"optional": "payload"}})
    assert answer["status"] == "success"
    assert answer["data"]["state"] == "idle"


def test_missing_data_and_unknown_envelope_keys_are_fine_and_ids_come_back(home):
    answer = ask(home.socket, {"cmd": "PING", "id": "abc", "future": 1})
    assert answer["status"] == "success"
    assert answer["id"] == "abc"


def test_toak_sock_is_the_same_socket(home):
    assert ask(home.socket.with_name("toak.sock"), {"cmd": "PING"})["data"]["message"] == "PONG"


def test_directory_and_socket_are_closed_to_others(home):
    assert home.socket.parent.stat().st_mode & 0o777 == 0o700
    assert home.socket.stat().st_mode & 0o777 == 0o600


def test_no_socket_of_ours_is_on_the_network(home):
    pids = [home.daemon.pid, home.daemon.worker_pid()] if home.daemon else []
    for pid in pids if os.getuid() == 0 else []:  # other users cannot look into a process that cannot be dumped
        inodes = set(
            re.findall(r"socket:\[(\d+)\]", "\n".join(os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()))
        )
        for table in ("tcp", "tcp6", "udp", "udp6"):
            rows = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
            assert not inodes & {row.split()[9] for row in rows}
    shown = subprocess.run(["ss", "-lntup"], capture_output=True, text=True, check=True).stdout
    assert not any(f"pid={pid}," in shown for pid in pids)


# --- frames in pieces ---


def test_a_frame_may_arrive_byte_by_byte(home):
    with connect(home.socket) as peer:
        for byte in frame({"cmd": "PING"}):
            peer.sendall(bytes([byte]))
        assert read_frame(peer)["status"] == "success"


def test_many_requests_in_one_write_are_answered_in_order(home):
    with connect(home.socket) as peer:
        peer.sendall(b"".join(frame({"cmd": "PING", "id": n}) for n in range(200)))
        assert [read_frame(peer)["id"] for _ in range(200)] == list(range(200))


def test_a_client_that_closed_its_sending_half_still_gets_its_answer(home):
    with connect(home.socket) as peer:
        peer.sendall(frame({"cmd": "GET_STATUS"}))
        peer.shutdown(socket.SHUT_WR)
        assert read_frame(peer)["data"]["state"] == "idle"


def test_a_client_that_never_reads_costs_no_memory_and_hurts_nobody(home):
    before = rss_kib(home.daemon.pid)
    with connect(home.socket) as deaf:
        deaf.setblocking(False)
        data, sent = frame({"cmd": "GET_STATUS"}) * 5000, 0
        try:
            while sent < len(data):
                sent += deaf.send(data[sent:])
        except BlockingIOError:
            pass
        assert ask(home.socket, {"cmd": "PING"})["status"] == "success"
        assert rss_kib(home.daemon.pid) - before < 8 * 1024


# --- bad input: a typed error or a close, never a crash ---

DEEP = b'{"cmd":"PING","data":' + b"[" * 5000 + b"]" * 5000 + b"}"
BAD_BODIES = {
    "not JSON": b"hello",
    "invalid UTF-8": b'{"cmd": "\xff\xfe"}',
    "5,000 levels deep": DEEP,
    "a list": b"[1]",
    "no cmd": b"{}",
    "cmd is a number": b'{"cmd": 5}',
    "data is a list": b'{"cmd": "PING", "data": []}',
    "id is a list": b'{"cmd": "PING", "id": []}',
    "a wrong type": b'{"cmd": "STOP_RECORDING", "data": {"wait": "yes"}}',
    "NaN": b'{"cmd": "STOP_RECORDING", "data": {"timeout_s": NaN}}',
    "an unknown key": b'{"cmd": "GET_STATUS", "data": {"x": 1}}',
    "too long a text": json.dumps({"cmd": "TYPE_TEXT", "data": {"text": "x" * 100_001}}).encode(),
    "an empty text": b'{"cmd": "TYPE_TEXT", "data": {"text": ""}}',
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_bad_request_gets_an_error_and_keeps_the_connection(home, name):
    with connect(home.socket) as peer:
        body = BAD_BODIES[name]
        peer.sendall(len(body).to_bytes(4, "big") + body)
        answer = read_frame(peer)
        assert answer["status"] == "error"
        assert answer["error"]["code"] == "bad_request"
        assert answer["data"]["state"] == "idle"
        assert "pydantic" not in json.dumps(answer)
        peer.sendall(frame({"cmd": "PING"}))
        assert read_frame(peer)["status"] == "success"


def test_an_unknown_command_names_the_nearest(home):
    error = ask(home.socket, {"cmd": "PINGG"})["error"]
    assert error["code"] == "unknown_command"
    assert "PING" in error["hint"]


@pytest.mark.parametrize(
    ("name", "data", "hint"),
    [
        ("zero length", bytes(4), "PING"),
        ("one byte over the cap", (2**20 + 1).to_bytes(4, "big"), None),
        ("4 GiB", b"\xff\xff\xff\xff", "PROTOCOL"),
        ("JSON without its length", b'{"cmd": "PING"}', "length"),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n", "PROTOCOL"),
        ("two control bytes", b"\x01\x01", "PROTOCOL"),
        ("a reserved byte", b"\x06", "PROTOCOL"),
    ],
)
def test_what_is_no_frame_gets_one_error_and_a_close(home, name, data, hint):
    with connect(home.socket) as peer:
        peer.sendall(data)
        error = read_frame(peer)["error"]
        assert error["code"] == "bad_request"
        assert hint is None or hint in error["hint"]
        assert peer.recv(1) == b""
    assert home.state_now() == "idle"


def test_a_second_byte_after_a_control_byte_is_refused(home):
    with connect(home.socket) as peer:
        peer.sendall(b"\x05")
        read_frame(peer)
        peer.close()
    with connect(home.socket) as peer:
        peer.sendall(frame({"cmd": "PING"}))
        read_frame(peer)
        peer.sendall(b"\x01")  # not the first byte: the beginning of an illegal length
        assert read_frame(peer)["error"]["code"] == "bad_request"
        assert peer.recv(1) == b""
    assert home.state_now() == "idle"


def test_the_cap_itself_is_accepted(home):
    text = "x" * (2**20 - len(json.dumps({"cmd": "PING", "pad": ""})))
    body = json.dumps({"cmd": "PING", "pad": text}).encode()
    assert len(body) == 2**20
    with connect(home.socket) as peer:
        peer.sendall(len(body).to_bytes(4, "big") + body)
        assert read_frame(peer)["status"] == "success"


def test_a_frame_that_never_ends_is_closed_after_two_seconds(home):
    with connect(home.socket) as peer:
        began = time.monotonic()
        peer.sendall(b"\x00")
        assert "2 s" in read_frame(peer)["error"]["message"]
        assert peer.recv(1) == b""
    assert time.monotonic() - began > 1.5


def test_a_truncated_frame_is_closed(home):
    with connect(home.socket) as peer:
        peer.sendall(frame({"cmd": "PING"})[:-3])
        peer.shutdown(socket.SHUT_WR)
        assert "inside a frame" in read_frame(peer)["error"]["message"]


@pytest.mark.timeout(120)
def test_a_hundred_thousand_bad_frames_cost_no_memory(home):
    body = b'{"cmd": "NO_SUCH_COMMAND", "data": {"a": [1, 2, {"b": null}]}}'
    bad = len(body).to_bytes(4, "big") + body

    def flood(times):
        for _ in range(times):
            with connect(home.socket) as peer:
                sender = threading.Thread(target=peer.sendall, args=(bad * 1000,))
                sender.start()
                for _ in range(1000):
                    read_frame(peer)
                sender.join()

    flood(5)
    before = rss_kib(home.daemon.pid)
    flood(100)
    assert rss_kib(home.daemon.pid) - before <= 1024


# --- who may connect, how many ---


def test_other_users_are_refused_before_a_byte_is_read(home):
    if os.getuid() != 0:
        pytest.skip("needs root to become another user; runs in CI")
    script = (
        "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); "
        "s.sendall(b'\\x05'); print(s.recv(10))"
    )
    paths = [home.folder, home.runtime, home.socket.parent]
    modes = [path.stat().st_mode & 0o777 for path in paths]
    command = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "/usr/bin/python3",
        "-c",
        script,
        home.socket,
    ]
    denied = subprocess.run(command, capture_output=True, text=True)
    assert "PermissionError" in denied.stderr  # the directory is the first line of defence
    try:
        for path in paths:
            path.chmod(0o755)
        home.socket.chmod(0o666)
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.stdout.strip() in ("b''", "")
        wait_until(lambda: "refused a connection of uid 65534" in home.daemon.log, what="the log line")
    finally:
        home.socket.chmod(0o600)
        for path, mode in zip(paths, modes, strict=True):
            path.chmod(mode)
    assert home.state_now() == "idle"


def test_over_the_cap_a_key_still_works_and_others_hear_busy(home):
    idle = []
    try:
        idle.extend(connect(home.socket) for _ in range(64))
        with connect(home.socket) as late:
            late.sendall(frame({"cmd": "PING"}))
            assert read_frame(late)["error"]["code"] == "busy"
        idle += [connect(home.socket) for _ in range(3)]
        with connect(home.socket) as key:
            key.sendall(b"\x05")
            assert read_frame(key)["data"]["state"] == "idle"
        assert any(closed(peer) for peer in idle)  # the longest-idle one made room
    finally:
        for peer in idle:
            peer.close()
    wait_until(lambda: ask(home.socket, {"cmd": "PING"})["status"] == "success", what="room")


def test_however_many_follow_the_events_who_asks_and_goes_is_answered(home):
    with ExitStack() as stack:
        followers = [stack.enter_context(connect(home.socket)) for _ in range(64)]
        told = []
        for peer in followers:
            peer.sendall(frame({"cmd": "SUBSCRIBE"}))
            told.append(read_frame(peer))
        assert [reply.get("event") for reply in told] == ["snapshot"] * 32 + [None] * 32
        assert {reply["error"]["code"] for reply in told[32:]} == {"busy"}
        for peer in followers[32:]:
            peer.close()
        assert [home.v2m("status").returncode for _ in range(2)] == [0, 0]


def closed(peer: socket.socket) -> bool:
    peer.setblocking(False)
    try:
        return peer.recv(1) == b""
    except BlockingIOError:
        return False


# --- events ---


def test_a_subscriber_sees_a_snapshot_then_numbered_events(home):
    with connect(home.socket) as peer:
        peer.sendall(frame({"cmd": "SUBSCRIBE", "data": {"events": ["state_changed"]}}))
        first = read_frame(peer)
        assert first["event"] == "snapshot"
        assert first["data"]["state"] == "idle"
        home.ask("PAUSE_DAEMON")
        home.ask("RESUME_DAEMON")
        paused, idle = read_frame(peer), read_frame(peer)
        assert [paused["data"]["state"], idle["data"]["state"]] == ["paused", "idle"]
        assert idle["seq"] > paused["seq"] > first["seq"]


def test_a_stalled_subscriber_loses_the_oldest_events_and_delays_nobody(home):
    with connect(home.socket) as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.sendall(frame({"cmd": "SUBSCRIBE"}))
        read_frame(stalled)
        for _ in range(1500):
            home.ask("PAUSE_DAEMON")
            home.ask("RESUME_DAEMON")
        last = 0
        gaps = 0
        home_seq = 3000
        stalled.settimeout(5)
        while True:
            seq = read_frame(stalled)["seq"]
            gaps += bool(last) and seq != last + 1
            last = seq
            if seq >= home_seq:
                break
        assert gaps


def test_a_paused_daemon_refuses_recordings_and_says_how_to_go_on(home):
    home.ask("PAUSE_DAEMON")
    try:
        error = home.ask("START_RECORDING")["error"]
        assert (error["code"], error["hint"]) == ("state_conflict", "v2m resume")
        assert home.ask("PING")["data"]["state"] == "paused"
    finally:
        home.ask("RESUME_DAEMON")
