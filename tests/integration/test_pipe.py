"""`v2m stop --pipe`: the text appears while it is decoded, once, and nothing else does."""

import os
import select
import subprocess
import threading

import pytest

from support.answering import V2M, answering, environment, good, refused
from support.audio import write_wav
from support.daemon import new_home, running_daemon, wait_until
from support.speech import RATE, silence, wheel_clips

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

DELIVERED = {"method": "none", "certainty": "held", "confirmed": False, "target": "", "detail": ""}
WHOLE = "one two three four."


class Scene(list):
    """A daemon's events and its answer, in an order that the test sets; `went` is set as each has been sent."""

    def __init__(self, server, *, dictation=7, recording=7, text=WHOLE, answer=None):
        super().__init__()
        self._recording, self._events = recording, []
        self.asked = threading.Event()
        self.may_answer = threading.Event()
        self.answer = answer or good(dictation=dictation, transcription=text, delivered=DELIVERED)
        server.answers["SUBSCRIBE"] = self
        server.answers["STOP_RECORDING"] = server.answers["TOGGLE_RECORDING"] = self._stopped

    def tells(self, text, stable, dictation=7):
        data = {"dictation": dictation, "text": text, "stable": stable, "final": False}
        self._events.append({"event": "partial", "data": data, "seq": len(self._events) + 2})
        return self

    def __iter__(self):
        recording = {"dictation": self._recording} if self._recording else None
        yield {"event": "snapshot", "data": {"state": "recording", "recording": recording}, "seq": 1}
        assert self.asked.wait(20)
        yield from self._events

    def _stopped(self, _request):
        self.asked.set()
        assert self.may_answer.wait(20)
        return self.answer


@pytest.fixture
def server():
    with answering() as running:
        yield running


@pytest.fixture
def running(server):
    """Start `v2m` with the ends of its output in our hands."""
    started = []

    def start(*words):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen([*V2M, *words], env=environment(server.path), **pipes))
        return started[-1]

    yield start
    for process in started:
        with process:  # closes and reaps
            process.kill()


def finish(process, scene):
    scene.may_answer.set()
    out, err = process.communicate(timeout=30)
    assert b"Traceback" not in err, err.decode()
    return process.returncode, out.decode(), err.decode()


def read_until(process, text):
    """Read standard output until it is this text."""
    got = b""
    while got.decode() != text:
        assert select.select([process.stdout], [], [], 20)[0], got
        chunk = os.read(process.stdout.fileno(), 1000)
        assert chunk, got
        got += chunk


@pytest.mark.parametrize("verb", ["stop", "toggle"])
def test_what_is_stable_appears_before_the_answer_and_the_whole_is_exactly_the_text(server, running, verb):
    scene = Scene(server).tells("one tw", 3).tells("one two thr", 8).tells("one two three fou", 15)
    process = running(verb, "--pipe")
    read_until(process, "one two three")
    assert finish(process, scene) == (0, " four.\n", "")
    commands = [request["cmd"] for request in server.requests]
    assert commands.index("SUBSCRIBE") < max(commands.index(cmd) for cmd in commands if cmd != "SUBSCRIBE")
    stop = server.requests[-1]
    assert (stop["data"]["deliver"], stop["data"].get("wait")) == ("none", None)


def test_nothing_that_may_change_is_printed(server, running):
    scene = Scene(server, text="completely different").tells("one two three four five", 0).tells("one two", 2)
    process = running("stop", "--pipe")
    assert finish(process, scene) == (0, "completely different\n", "")


def test_another_dictation_is_not_ours(server, running):
    scene = Scene(server).tells("somebody else spoke before", 26, dictation=6)
    process = running("stop", "--pipe")
    assert finish(process, scene) == (0, WHOLE + "\n", "")


def test_a_text_that_breaks_its_promise_is_printed_whole_and_said_so(server, running):
    scene = Scene(server, text="ONE TWO THREE").tells("one two three", 8)
    process = running("stop", "--pipe")
    read_until(process, "one two")
    code, rest, err = finish(process, scene)
    assert (code, rest) == (0, "\nONE TWO THREE\n")
    assert "the last line is the whole text" in err


def test_without_events_the_text_comes_in_one_piece(server, running):
    scene = Scene(server)
    server.answers["SUBSCRIBE"] = refused("busy")
    process = running("stop", "--pipe")
    assert finish(process, scene) == (0, WHOLE + "\n", "")


def test_a_toggle_that_starts_prints_no_text(server, running):
    scene = Scene(server, recording=None, answer=good(state="recording", dictation=8))
    process = running("toggle", "--pipe")
    code, out, err = finish(process, scene)
    assert code == 0
    assert "one" not in out + err


def test_a_refusal_is_told_as_ever_after_what_was_printed(server, running):
    scene = Scene(server, answer=refused("engine_failed", "The engine broke.")).tells("one two three", 8)
    process = running("stop", "--pipe")
    read_until(process, "one two")
    assert finish(process, scene) == (70, "\n", "v2m: The engine broke. (v2m status)\n")


def test_a_reader_that_goes_away_ends_it_quietly_after_the_recording_was_stopped(server, running):
    scene = Scene(server).tells("one two three", 8)
    process = running("stop", "--pipe")
    process.stdout.close()
    assert scene.asked.wait(20)
    scene.may_answer.set()
    assert process.wait(timeout=20) == 141
    assert process.stderr.read() == b""


def test_without_a_daemon_it_says_so(tmp_path):
    done = subprocess.run([*V2M, "stop", "--pipe"], capture_output=True, env=environment(tmp_path / "none"), timeout=30)
    assert (done.returncode, done.stdout) == (69, b"")
    assert b"not running" in done.stderr


def test_no_waiting_and_a_pipe_exclude_each_other(server, running):
    process = running("stop", "--pipe", "--no-wait")
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (64, b"")
    assert b"--pipe" in err
    assert server.requests == []


def test_as_json_the_whole_answer_is_printed(server, running):
    scene = Scene(server).tells("one two three", 8)
    process = running("stop", "--pipe", "--json")
    code, out, _ = finish(process, scene)
    assert code == 0
    assert out.count("\n") == 1
    assert '"transcription"' in out
    assert server.requests[-1]["data"]["deliver"] == "none"


def test_the_real_daemon_s_text_is_piped_exactly(tmp_path):
    """Several sentences with pauses, so that some are stable before the key goes up."""
    pcm = b"".join(clip.pcm + silence(0.9) for clip in wheel_clips()[:2])
    wav = write_wav(tmp_path / "voice.wav", pcm=pcm)
    with new_home(V2M_AUDIO__BACKEND="wav", V2M_AUDIO__WAV_PATH=str(wav)) as home, running_daemon(home):
        home.ask("START_RECORDING")
        wait_until(
            lambda: home.ask("GET_STATUS")["data"]["recording"]["seconds"] > len(pcm) / 2 / RATE, what="the speaker"
        )
        done = home.v2m("stop", "--pipe")
        row = home.history()[0]
    assert (done.returncode, done.stderr) == (0, "")
    assert len(row["text"]) > 20
    assert done.stdout == row["text"] + "\n"
    assert row["method"] == "none"
