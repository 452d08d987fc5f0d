"""PAUSE lets the microphone go at once and finishes what was heard; keys and commands make sense meanwhile."""

import asyncio

import pytest

from support.audio import write_wav
from support.container import ask, private_home, run
from support.daemon import connect, new_home, read_frame, running_daemon, wait_until
from v2m.infrastructure.engines.scripted import ScriptedTranscriber

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

START, STOP, ABORT, TOGGLE = b"\x01", b"\x02", b"\x03", b"\x04"
VARIABLES = {
    "V2M_TRANSCRIPTION__BACKEND": "scripted",
    "V2M_TRANSCRIPTION__SCRIPT": "what was heard",
    "V2M_TRANSCRIPTION__SCRIPT_DELAY_S": "1",
    "V2M_AUDIO__BACKEND": "wav",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    wav = write_wav(tmp_path_factory.mktemp("wav") / "noise.wav", seconds=30)
    with new_home(**VARIABLES, V2M_AUDIO__WAV_PATH=str(wav)) as home:
        yield home


@pytest.fixture(scope="module")
def daemon(place):
    with running_daemon(place):
        yield place


@pytest.fixture
def home(daemon):
    yield daemon
    daemon.ask("RESUME_DAEMON")
    daemon.wait_state("idle")


def press(home, byte):
    with connect(home.socket) as peer:
        peer.sendall(byte)
        return read_frame(peer)


def recording(home):
    """Start a recording that is no tap; return its number."""
    dictation = home.ask("START_RECORDING")["data"]["dictation"]
    wait_until(lambda: home.ask("GET_STATUS")["data"]["recording"]["seconds"] > 0.4, what="some sound")
    return dictation


def row(home, dictation):
    return next(entry for entry in home.history() if entry["dictation"] == dictation)


def test_pause_closes_the_microphone_before_anything_is_decoded_and_the_words_arrive(home):
    dictation = recording(home)
    answer = home.ask("PAUSE_DAEMON")["data"]
    status = home.ask("GET_STATUS")["data"]
    assert (answer["state"], status["recording"], status["paused"]) == ("transcribing", None, True)
    assert row(home, dictation)["phase"] == "captured", "nothing has been decoded yet"
    wait_until(lambda: row(home, dictation)["text"] == "what was heard", what="the text")
    home.wait_state("paused")
    assert row(home, dictation)["phase"] in ("delivered", "held")
    home.ask("RESUME_DAEMON")
    assert home.ask("GET_STATUS")["data"]["paused"] is False


def test_a_paused_daemon_answers_every_key_and_command_sensibly(home):
    home.ask("PAUSE_DAEMON")
    for refused in ("START_RECORDING", "TOGGLE_RECORDING", "STOP_RECORDING"):
        error = home.ask(refused)["error"]
        assert (error["code"], error["hint"]) == ("state_conflict", "v2m resume"), refused
    assert home.ask("ABORT_RECORDING")["error"]["code"] == "state_conflict"
    for byte in (START, TOGGLE):
        assert press(home, byte)["error"]["hint"] == "v2m resume"
    for byte in (STOP, ABORT):  # the end of a press that was refused is no fault
        assert press(home, byte)["status"] == "success"
    assert home.ask("PAUSE_DAEMON")["data"]["state"] == "paused"
    assert home.ask("LIST_HISTORY")["status"] == home.ask("GET_CONFIG")["status"] == "success"
    for _ in range(2):
        assert home.ask("RESUME_DAEMON")["data"]["state"] == "idle"
    recording(home)
    assert home.ask("STOP_RECORDING")["data"]["transcription"] == "what was heard"


def test_abort_still_throws_away_what_is_being_finished_and_stop_finds_nothing(home):
    dictation = recording(home)
    home.ask("PAUSE_DAEMON")
    assert home.ask("STOP_RECORDING")["error"]["hint"] == "v2m resume"
    assert home.ask("ABORT_RECORDING")["data"]["dictation"] == dictation
    home.wait_state("paused")
    found = row(home, dictation)
    assert (found["phase"], bool(found["audio"])) == ("aborted", False)


@pytest.mark.parametrize("how", ["PAUSE_DAEMON", "drain"])
def test_nobody_waits_for_the_end_of_a_word(tmp_path, monkeypatch, how):
    arguments, _ = private_home(tmp_path, monkeypatch)
    transcriber = ScriptedTranscriber(["half a wo"])
    transcriber.silence = asyncio.Event()  # the word never ends

    async def scenario(container, output, notifier):
        await ask(container, "START_RECORDING")
        spool = container.dictations.recording.spool
        while spool.head < 8000:
            await asyncio.sleep(0.01)
        at = spool.head
        await (container.drain(True) if how == "drain" else ask(container, how))
        return spool.head - at, container

    more, _ = run(arguments, scenario, transcriber=transcriber)
    assert more < 4800 // 2, "half of audio.tail_ms"


def test_a_pause_ends_with_the_daemon_and_shutdown_finishes_or_keeps_what_was_heard():
    with new_home(**VARIABLES) as home:
        with running_daemon(home) as daemon:
            home.ask("PAUSE_DAEMON")
            assert daemon.stop() == 0
        with running_daemon(home) as daemon:  # which waits until it is idle
            finished = recording(home)
            assert home.ask("SHUTDOWN")["data"]["message"] == "SHUTTING_DOWN"
            assert daemon.process.wait(10) == 0
        with running_daemon(home) as daemon:
            assert row(home, finished)["text"] == "what was heard"
            kept = recording(home)
            home.ask("SHUTDOWN", finish=False)
            assert daemon.process.wait(10) == 0
        with running_daemon(home):
            wait_until(lambda: row(home, kept)["phase"] not in ("recording", "captured"), what="the recovery")
            assert row(home, kept)["audio"]
