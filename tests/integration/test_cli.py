"""`v2m` as a user meets it: real processes against a real socket; what is printed where, and the exit status."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.answering import V2M, AnsweringServer, answering, environment, good, refused
from v2m.client import EXIT_CODES
from v2m.ui._verbs import COMMANDS
from v2m.ui.verbs import VERBS

pytestmark = pytest.mark.integration

DELIVERED = {"method": "input-method", "certainty": "confirmed", "confirmed": True, "target": "foot", "detail": ""}
ENTRY = {
    "dictation": 7, "started": "2026-01-02T03:04:05.678+00:00", "duration_s": 2.5, "phase": "delivered",
    "raw": "hello", "text": "Hello.", "method": "input-method", "certainty": "sent", "confirmed": False,
    "target": "foot", "audio": True, "error": "", "reason": "", "stages": {},
}  # fmt: skip


@pytest.fixture
def server() -> Iterator[AnsweringServer]:
    with answering() as running:
        yield running


def v2m(server: AnsweringServer | Path, *words: str, stdin: bytes = b"", **variables: str) -> Any:
    path = server if isinstance(server, Path) else server.path
    done = subprocess.run(
        [*V2M, *words], input=stdin, capture_output=True, timeout=50, env=environment(path, **variables)
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    done.out, done.err = done.stdout.decode(), done.stderr.decode()
    return done


# --- the documents' examples ---


def test_the_documents_three_commands_print_a_line(server: AnsweringServer) -> None:
    server.answers["START_RECORDING"] = good(state="recording", dictation=7)
    server.answers["STOP_RECORDING"] = good(dictation=7, transcription="Hello.", delivered=DELIVERED)
    assert v2m(server, "PING").out == "PONG\n"
    assert v2m(server, "START_RECORDING").out == "recording (dictation 7)\n"
    stopped = v2m(server, "STOP_RECORDING")
    assert (stopped.out, stopped.returncode) == ("Hello.\n", 0)
    assert "foot by input-method: confirmed" in stopped.err


@pytest.mark.parametrize(
    "words", [("PING", "--json"), ("ping", "--json"), ("call", "PING"), ("call", "PING", "--json", "{}")]
)
def test_json_prints_the_whole_answer(server: AnsweringServer, words: tuple[str, ...]) -> None:
    assert json.loads(v2m(server, *words).out) == server.answers["PING"]


# --- every command, both spellings ---

SAMPLES = {"TYPE_TEXT": "a b", "TEST_POLICY": "a b", "TRANSCRIBE_FILE": "/a b.wav", "RETRY_DICTATION": "7"}


@pytest.mark.parametrize("cmd", sorted(set(VERBS.values())))  # the others are options or verbs of a verb
def test_every_command_has_a_name_and_a_verb(server: AnsweringServer, cmd: str) -> None:
    server.answers[cmd] = good(entries=[], devices=[])
    verb = next(verb for verb, its in VERBS.items() if its == cmd)
    given = [SAMPLES[cmd]] if cmd in SAMPLES else []
    for words in ([cmd], verb.split()):
        done = v2m(server, *words, *given, "--json")
        assert (done.returncode, json.loads(done.out)["status"]) == (0, "success"), done.err
        assert server.requests[-1]["cmd"] == cmd
        assert v2m(server, *words, *given).returncode == 0


def test_a_text_with_a_space_is_one_text(server: AnsweringServer) -> None:
    server.answers["TYPE_TEXT"] = good(**DELIVERED)
    for words in (["TYPE_TEXT", "a b"], ["type", "a b"], ["TYPE_TEXT", "--json", '{"text": "a b"}']):
        v2m(server, *words)
        assert server.requests[-1]["data"]["text"] == "a b"


@pytest.mark.parametrize("word", ["type", "TYPE_TEXT"])
def test_a_text_comes_from_standard_input(server: AnsweringServer, word: str) -> None:
    server.answers["TYPE_TEXT"] = good(**DELIVERED)
    v2m(server, word, "-", stdin="Grüße,\n日本語\n".encode())
    assert server.requests[-1]["data"]["text"] == "Grüße,\n日本語"


def test_a_payload_of_a_dash_is_a_dash(server: AnsweringServer) -> None:
    server.answers["TYPE_TEXT"] = good(**DELIVERED)
    v2m(server, "TYPE_TEXT", "--json", '{"text": "-"}', stdin=b"not this")
    assert server.requests[-1]["data"]["text"] == "-"


@pytest.mark.parametrize("word", ["type", "TYPE_TEXT"])
def test_a_text_that_begins_with_a_dash_goes_after_two(server: AnsweringServer, word: str) -> None:
    server.answers["TYPE_TEXT"] = good(**DELIVERED)
    v2m(server, word, "--", "--start")
    assert server.requests[-1]["data"]["text"] == "--start"


def test_a_relative_file_is_made_absolute(server: AnsweringServer) -> None:
    server.answers["TRANSCRIBE_FILE"] = good(transcription="x", duration_s=1.0)
    v2m(server, "transcribe", "some file.wav")
    assert server.requests[-1]["data"] == {"file_path": str(Path("some file.wav").absolute())}


def test_only_what_was_given_is_sent(server: AnsweringServer) -> None:
    server.answers["STOP_RECORDING"] = good(dictation=1)
    v2m(server, "stop")
    assert server.requests[-1]["data"] == {"env": {}}
    v2m(server, "stop", "--no-wait", "--copy", "--timeout", "2.5")
    assert server.requests[-1]["data"] == {"env": {}, "wait": False, "deliver": "copy", "timeout_s": 2.5}
    for option in ("--none", "--pipe"):
        v2m(server, "stop", option)
        assert server.requests[-1]["data"]["deliver"] == "none"


@pytest.mark.parametrize(
    "words", [("start",), ("START_RECORDING",), ("toggle",), ("type", "x"), ("again",), ("retry", "1")]
)
def test_the_display_of_the_client_goes_along(server: AnsweringServer, words: tuple[str, ...]) -> None:
    server.answers.update({cmd: good() for cmd in COMMANDS})
    v2m(server, *words, WAYLAND_DISPLAY="wayland-7", DISPLAY="", GROQ_API_KEY="secret")
    assert server.requests[-1]["data"]["env"] == {"WAYLAND_DISPLAY": "wayland-7"}


# --- what people read ---


def test_history_and_last(server: AnsweringServer) -> None:
    server.answers["LIST_HISTORY"] = good(entries=[ENTRY], more=False)
    row = v2m(server, "history", "-n", "3", "--grep", "ell", TZ="UTC").out
    assert row.split() == ["7", "2026-01-02", "03:04:05", "delivered", "2.5", "s", "Hello."]
    assert server.requests[-1]["data"] == {"limit": 3, "grep": "ell"}
    assert v2m(server, "last").out == "Hello.\n"
    assert server.requests[-1]["data"] == {"limit": 1, "with_text": True}


def test_a_long_history_is_asked_for_page_by_page(server: AnsweringServer) -> None:
    def page(request: dict[str, Any]) -> dict[str, Any]:
        newest = request["data"].get("before", 1001) - 1
        rows = [{**ENTRY, "dictation": newest - n} for n in range(request["data"]["limit"])]
        return good(entries=rows, more=True)

    server.answers["LIST_HISTORY"] = page
    entries = json.loads(v2m(server, "history", "-n", "450", "--json").out)["data"]["entries"]
    assert [entry["dictation"] for entry in entries] == list(range(1000, 550, -1))


def test_history_cannot_command_the_terminal(server: AnsweringServer) -> None:
    server.answers["LIST_HISTORY"] = good(entries=[{**ENTRY, "text": "a\x1b[2J\nb\x07"}], more=False)
    assert v2m(server, "history").out.isprintable() or v2m(server, "history").out[:-1].isprintable()


def test_an_empty_history_says_so(server: AnsweringServer) -> None:
    server.answers["LIST_HISTORY"] = good(entries=[], more=False)
    done = v2m(server, "last")
    assert (done.returncode, done.out) == (70, "")
    assert "no dictation" in done.err
    assert json.loads(v2m(server, "last", "--json").out)["data"]["entries"] == []


def test_status_says_where_words_will_go_and_why(server: AnsweringServer) -> None:
    server.answers["GET_STATUS"] = good(
        since=1.0,
        queue=2,
        recording={"dictation": 3, "seconds": 1.25, "source": "Headset", "backend": "pipewire"},
        engine={"name": "moonshine", "state": "ready", "loads": 1, "network": False, "detail": ""},
        microphone={"backend": "pipewire", "device": ""},
        output="virtual-keyboard",
        outputs=[
            {"name": "input-method", "usable": False, "reason": "Another input method is active."},
            {"name": "virtual-keyboard", "usable": True, "reason": "sway offers it."},
        ],
        degraded={"storage": "The disk is full."},
    )
    text = v2m(server, "status").out
    for words in (
        "idle, since", "dictation 3, 1.2 s from Headset", "queue        2", "pipewire",
        "moonshine, ready, on this machine", "- input-method     Another input method is active.",
        "→ virtual-keyboard sway offers it.", "degraded     storage: The disk is full.",
    ):  # fmt: skip
        assert words in text


def test_status_without_any_way_of_typing_says_what_happens_to_words(server: AnsweringServer) -> None:
    way = {"name": "clipboard", "usable": False, "reason": "There is no desktop."}
    server.answers["GET_STATUS"] = good(output=None, outputs=[way])
    text = v2m(server, "status").out
    assert "words go to  nowhere now: they are kept (v2m last)" in text
    assert "- clipboard        There is no desktop." in text


def test_devices_and_outputs_are_lines(server: AnsweringServer) -> None:
    device = {"name": "alsa_input.x", "description": "Headset", "default": True, "chosen": True}
    server.answers["LIST_DEVICES"] = good(devices=[device])
    server.answers["LIST_OUTPUTS"] = good(output="a", outputs=[{"name": "a", "usable": True, "reason": "Why."}])
    assert v2m(server, "devices").out == "* alsa_input.x  Headset  (default)\n"
    assert v2m(server, "outputs").out == "→ a                Why.\n"


def test_a_command_without_words_of_its_own_is_shown_as_json(server: AnsweringServer) -> None:
    server.answers["HELLO"] = good(greeting="Grüße")
    assert json.loads(v2m(server, "call", "HELLO").out)["data"]["greeting"] == "Grüße"


def test_monitor_prints_a_line_per_event_until_the_daemon_ends(server: AnsweringServer) -> None:
    events = [{"event": "snapshot", "data": {}, "seq": 0}, {"event": "level", "data": {"peak_db": -3.0}, "seq": 1}]
    server.answers["SUBSCRIBE"] = events
    done = v2m(server, "monitor", "--event", "level")
    assert [json.loads(line) for line in done.out.splitlines()] == events
    assert server.requests[-1]["data"] == {"events": ["level"]}
    assert done.returncode == 69


# --- what goes wrong ---


@pytest.mark.parametrize(("code", "status"), EXIT_CODES.items())
def test_a_refusal_is_a_sentence_and_the_tables_exit_status(server: AnsweringServer, code: str, status: int) -> None:
    server.answers["PING"] = refused(code, "It did not work.", "v2m status")
    done = v2m(server, "ping")
    assert (done.returncode, done.out, done.err) == (status, "", "v2m: It did not work. (v2m status)\n")
    as_json = v2m(server, "ping", "--json")
    assert (as_json.returncode, as_json.err) == (status, "")
    assert json.loads(as_json.out) == server.answers["PING"]


@pytest.mark.parametrize("words", [("PING",), ("status",), ("stop",), ("last",), ("monitor",), ("call", "PING")])
def test_without_a_daemon_the_start_command_is_named(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = v2m(tmp_path / "none", *words)
    assert done.returncode == 69
    assert "v2m daemon start" in done.err + done.out


def test_without_a_daemon_json_has_the_same_fields(tmp_path: Path) -> None:
    reply = json.loads(v2m(tmp_path / "none", "status", "--json").out)
    assert reply["status"] == "error"
    assert reply["error"].keys() == {"code", "message", "hint"}
    assert reply["data"] == {"state": None}


USAGE = [
    (), ("nonsense",), ("NONSENSE",), ("PNIG",), ("type",), ("type", "a", "b"), ("TYPE_TEXT", "a", "b"), ("PING", "a"),
    ("stop", "--nonsense"), ("STOP_RECORDING", "--nonsense"), ("retry",), ("retry", "seven"), ("RETRY_DICTATION", "x"),
    ("stop", "--timeout", "soon"), ("call",), ("call", "PING", "PONG"), ("PING", "--json", "{"), ("PING", "--json={]"),
    ("PING", "--json=[]"),
]  # fmt: skip


@pytest.mark.parametrize("words", USAGE, ids=" ".join)
def test_a_line_that_makes_no_sense_is_64_and_nothing_is_sent(server: AnsweringServer, words: tuple[str, ...]) -> None:
    done = v2m(server, *words)
    assert done.returncode == 64
    assert done.err + done.out
    assert server.requests == []


def test_a_misspelt_command_is_answered_with_the_nearest_name(server: AnsweringServer) -> None:
    assert "STOP_RECORDING" in v2m(server, "STOP_RECORDNG").err


def test_a_usage_error_is_json_where_json_was_asked_for(server: AnsweringServer) -> None:
    assert json.loads(v2m(server, "stop", "--nonsense", "--json").out)["error"]["code"] == "usage"


def test_standard_input_that_is_no_utf8_is_refused(server: AnsweringServer) -> None:
    done = v2m(server, "type", "-", stdin=b"\xff\xfe")
    assert done.returncode == 64
    assert server.requests == []


def test_an_argument_that_is_no_utf8_is_refused(server: AnsweringServer) -> None:
    done = subprocess.run([*V2M, "type", b"a\xff"], capture_output=True, env=environment(server.path), timeout=50)
    assert done.returncode == 64
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("variables", [{"LANG": "C"}, {"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}])
def test_any_text_can_be_printed_in_any_locale(server: AnsweringServer, variables: dict[str, str]) -> None:
    server.answers["STOP_RECORDING"] = good(dictation=7, transcription="Grüße 日本語", delivered=DELIVERED)
    done = subprocess.run([*V2M, "stop"], capture_output=True, env=environment(server.path, **variables), timeout=50)
    assert (done.returncode, done.stdout[:2]) == (0, b"Gr")
    raw = subprocess.run(
        [*V2M, "stop", "--json"], capture_output=True, env=environment(server.path, **variables), timeout=50
    )
    assert json.loads(raw.stdout)["data"]["transcription"] == "Grüße 日本語"


def test_nothing_is_coloured(server: AnsweringServer) -> None:
    for variables in ({"NO_COLOR": "1"}, {"FORCE_COLOR": "1"}):
        assert "\x1b" not in v2m(server, "--help", **variables).out


def test_a_reader_that_has_gone_is_no_complaint(server: AnsweringServer) -> None:
    server.answers["STOP_RECORDING"] = good(dictation=7, transcription="x" * 500_000)
    child = subprocess.Popen(
        [*V2M, "stop"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(server.path)
    )
    assert child.stdout is not None
    child.stdout.close()
    assert child.wait(50) == 141
    assert child.stderr is not None
    assert child.stderr.read() == b""
    child.stderr.close()


@pytest.mark.parametrize("words", [("stop",), ("monitor",)])
def test_ctrl_c_ends_quietly_with_130(server: AnsweringServer, words: tuple[str, ...]) -> None:
    server.answers["STOP_RECORDING"] = server.answers["SUBSCRIBE"] = None
    child = subprocess.Popen(
        [*V2M, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(server.path)
    )
    while not server.requests:
        assert child.poll() is None
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=50)
    assert (child.returncode, out, err) == (130, b"", b"")


@pytest.mark.parametrize(
    "words", [("--help",), ("-h",), ("--version",), ("stop", "--help"), ("call", "--help"), ("PING", "--help")]
)
def test_help_needs_no_daemon(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = v2m(tmp_path / "none", *words)
    assert (done.returncode, done.err) == (0, "")
    assert done.out


def test_help_names_every_verb(tmp_path: Path) -> None:
    text = v2m(tmp_path / "none", "--help").out
    for verb in (*VERBS, "last", "monitor", "call"):
        assert f"  {verb.split()[0]} " in text
