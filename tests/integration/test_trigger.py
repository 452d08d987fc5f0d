"""What `toak` sends, where it sends it, and what it says: the same for each way of building it."""

import os
import subprocess

import pytest

from support.trigger import (
    PATIENCE_S,
    ROOT,
    RUNGS,
    build_trigger,
    listening,
    nobody_waits,
    received,
    run_toak,
    runtime_dir,
    tool,
)
from v2m.client import EXIT_CODES
from v2m.core.ipc_protocol import MAX_PAYLOAD_SIZE, SLOT_BYTES, ControlByte, encode_frame, failure, success
from v2m.domain.errors import V2mError
from v2m.utils.paths import BadSocketPathError, socket_path

pytestmark = pytest.mark.integration

VERBS = {
    "start": ControlByte.START,
    "stop": ControlByte.STOP,
    "abort": ControlByte.ABORT,
    "discard": ControlByte.ABORT,
    "toggle": ControlByte.TOGGLE,
}
SENTENCES = [
    *(((dashes + verb,), byte) for verb, byte in VERBS.items() for dashes in ("", "--")),
    *((("--start", str(slot)), byte) for slot, byte in enumerate(SLOT_BYTES, start=1)),
    (("start", "9"), SLOT_BYTES[-1]),
]
MISTAKES = [
    *((), ("bogus",), ("-s",), ("--",), ("",), ("----start",), ("3",), ("--wait",), ("START",)),
    *(("--start", "--stop"), ("--start", "0"), ("--start", "10"), ("--start", "1", "2"), ("--stop", "3")),
    *(("--start", ""), ("--start", "--3"), ("--start", "--wait", "bogus"), ("status", "status")),
]
STATUS_ANSWER = success({"state": "idle", "text": "pa\u017eljivo \u2713"})


@pytest.fixture(scope="module", params=RUNGS)
def toak(request, tmp_path_factory):
    return build_trigger(request.param, tmp_path_factory.mktemp("toak"))


@pytest.fixture
def socket_file():
    with runtime_dir() as folder:
        yield folder / "v2m.sock"


def ask(toak, socket_file, *words, answer: tuple[bytes, ...]) -> tuple[int, bytes, bytes, bytes]:
    """Let a server answer in these pieces; return exit status, stdout, stderr and the request."""
    with listening(socket_file) as listener:
        env = {"V2M_SOCKET": str(socket_file), "PATH": "/nonexistent"}
        with subprocess.Popen([*toak, *words], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            connection, _ = listener.accept()
            with connection:
                request = connection.recv(64)
                for piece in answer:
                    connection.sendall(piece)
            out, err = child.communicate(timeout=PATIENCE_S)
    return child.returncode, out, err, request


@pytest.mark.parametrize(
    ("words", "byte"),
    SENTENCES,
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_a_verb_sends_its_byte_once_and_says_nothing(toak, socket_file, words, byte):
    with listening(socket_file) as listener:
        done = run_toak(toak, *words, env={"V2M_SOCKET": str(socket_file)})
        assert received(listener) == bytes([byte])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("words", MISTAKES, ids=" ".join)
def test_a_mistyped_command_sends_nothing_and_shows_the_verbs(toak, socket_file, words):
    with listening(socket_file) as listener:
        done = run_toak(toak, *words, env={"V2M_SOCKET": str(socket_file)})
        assert nobody_waits(listener)
    assert (done.returncode, done.stdout) == (64, "")
    assert all(f"--{verb}" in done.stderr for verb in ("start", "stop", "abort", "toggle", "status", "wait"))


@pytest.mark.parametrize("word", ["help", "--help"])
def test_help_is_the_same_text_in_every_build(toak, word):
    done = run_toak(toak, word, env={})
    fallback = run_toak(build_trigger("python", ROOT), "help", env={})
    assert (done.returncode, done.stdout, done.stderr) == (0, fallback.stdout, "")
    assert done.stdout.startswith("usage: toak")


@pytest.mark.parametrize(
    "env",
    [
        {"V2M_SOCKET": "/tmp/somewhere else/toak.sock"},
        {"V2M_SOCKET": "/t/both", "XDG_RUNTIME_DIR": "/run/elsewhere"},
        {"XDG_RUNTIME_DIR": "/run/elsewhere"},
        {"XDG_RUNTIME_DIR": "/run/elsewhere", "V2M_SOCKET": ""},
        {"XDG_RUNTIME_DIR": "", "V2M_SOCKET_OLD": "/no", "V2M": "/no"},
        {},
        {"V2M_SOCKET": "/tmp/\u0161um.sock"},
        {"V2M_SOCKET": "/" + "a" * 106},
        {"V2M_SOCKET": "/" + "\u0161" * 53},
        {"XDG_RUNTIME_DIR": "/" + "a" * 93},
    ],
    ids=str,
)
def test_the_socket_is_where_the_python_side_has_it(toak, env, monkeypatch):
    for name in ("V2M_SOCKET", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    traced = [tool("strace", "strace"), "-xx", "-s", "300", "-e", "trace=connect", *toak]
    done = run_toak(traced, "--start", "--wait", env=env)
    assert connected_path(done.stderr) == os.fsencode(socket_path())


def connected_path(trace: str) -> bytes:
    """Return the path of the last connect() in strace's -xx output (Python itself asks nscd before)."""
    line = [line for line in trace.splitlines() if line.startswith("connect(")][-1]
    escaped = line.partition('sun_path="')[2].partition('"')[0]
    return bytes.fromhex(escaped.replace("\\x", ""))


@pytest.mark.parametrize(
    "env",
    [
        {"V2M_SOCKET": "relative/v2m.sock"},
        {"V2M_SOCKET": "@abstract"},
        {"V2M_SOCKET": "/" + "a" * 107},
        {"V2M_SOCKET": "/" + "\u0161" * 53 + "a"},
        {"V2M_SOCKET": "/" + "a" * 5000},
        {"XDG_RUNTIME_DIR": "relative"},
        {"XDG_RUNTIME_DIR": "/" + "a" * 94},
    ],
    ids=lambda env: str(env)[:40],
)
def test_a_path_that_cannot_be_a_socket_is_refused_on_both_sides(toak, env, monkeypatch):
    for name in ("V2M_SOCKET", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
        if name in env:
            monkeypatch.setenv(name, env[name])
    with pytest.raises(BadSocketPathError):
        socket_path()
    done = run_toak(toak, "--start", env=env)
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr == "toak: the socket's path is not absolute, or longer than 107 bytes\n"


@pytest.mark.parametrize("verb", ["--status", "status"])
def test_status_prints_the_answer(toak, socket_file, verb):
    frame = encode_frame(STATUS_ANSWER)
    status, out, err, request = ask(toak, socket_file, verb, answer=(frame,))
    assert (status, out, err) == (0, frame[4:] + b"\n", b"")
    assert request == bytes([ControlByte.STATUS])


@pytest.mark.parametrize("words", [("--stop", "--wait"), ("wait", "stop"), ("--wait", "--stop")], ids=" ".join)
def test_wait_prints_the_answer_to_any_verb(toak, socket_file, words):
    frame = encode_frame(STATUS_ANSWER)
    status, out, err, request = ask(toak, socket_file, *words, answer=(frame,))
    assert (status, out, err) == (0, frame[4:] + b"\n", b"")
    assert request == bytes([ControlByte.STOP])


def test_an_answer_in_pieces_is_put_together(toak, socket_file):
    frame = encode_frame(STATUS_ANSWER)
    pieces = tuple(frame[i : i + 3] for i in range(0, len(frame), 3))
    assert ask(toak, socket_file, "--status", answer=pieces)[:2] == (0, frame[4:] + b"\n")


def test_the_longest_answer_is_printed_whole(toak, socket_file):
    filler = MAX_PAYLOAD_SIZE - len(encode_frame(success({"text": ""}))) + 4
    frame = encode_frame(success({"text": "x" * filler}))
    assert len(frame) == MAX_PAYLOAD_SIZE + 4
    status, out, err, _ = ask(toak, socket_file, "--status", answer=(frame,))
    assert (status, out == frame[4:] + b"\n", err) == (0, True, b"")


def test_a_refusal_is_printed_and_its_code_decides_the_exit_status(toak, socket_file):
    for code, expected in {**EXIT_CODES, "a_code_of_tomorrow": 70, "busy_bee": 70}.items():
        refusal = type("Refusal", (V2mError,), {"code": code})('a "quoted" message', hint="busy")
        frame = encode_frame(failure(refusal, "recording"))
        status, out, err, _ = ask(toak, socket_file, "--start", "--wait", answer=(frame,))
        assert (status, out, err) == (expected, frame[4:] + b"\n", b""), code
        socket_file.unlink()


@pytest.mark.parametrize(
    "answer",
    [
        (),
        (b"\0",),
        (b"\0\0\0\0",),
        (b"\0\0\0\x09{}",),
        (b"\0\x10\0\x01" + b"x" * 64,),
        (b"\xff\xff\xff\xff{}",),
        (b"HTTP/1.1 200 OK\r\n\r\n",),
    ],
    ids=repr,
)
def test_something_that_is_no_answer_is_called_so(toak, socket_file, answer):
    status, out, err, _ = ask(toak, socket_file, "--status", answer=answer)
    assert (status, out) == (70, b"")
    assert err == b"toak: the daemon's answer is not complete\n"


def test_a_daemon_that_takes_the_byte_and_never_answers_is_given_up(toak, socket_file):
    with listening(socket_file):
        done = run_toak(toak, "--status", env={"V2M_SOCKET": str(socket_file)})
    assert (done.returncode, done.stdout) == (75, "")
    assert done.stderr == "toak: the daemon does not answer\n"


def test_a_full_answer_pipe_that_closes_is_no_crash(toak, socket_file):
    frame = encode_frame(success({"text": "x" * 500_000}))
    with listening(socket_file) as listener:
        env = {"V2M_SOCKET": str(socket_file), "PATH": "/nonexistent"}
        read_end, write_end = os.pipe()
        with subprocess.Popen([*toak, "--status"], env=env, stdout=write_end, stderr=subprocess.PIPE) as child:
            os.close(write_end)
            connection, _ = listener.accept()
            with connection:
                connection.sendall(frame)
                os.read(read_end, 1)
                os.close(read_end)
            assert child.communicate(timeout=PATIENCE_S)[1] == b""
