"""Every key and command in every state, against a real daemon with a WAV file as microphone."""

import threading
import time

import pytest

from support.audio import write_wav
from support.daemon import connect, frame, new_home, read_frame, running_daemon, wait_until

pytestmark = pytest.mark.integration

START, STOP, ABORT, TOGGLE, STATUS = b"\x01", b"\x02", b"\x03", b"\x04", b"\x05"
SLOW_ENGINE_S = 1.0


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    wav = write_wav(tmp_path_factory.mktemp("wav") / "noise.wav", seconds=30)
    variables = {
        "V2M_TRANSCRIPTION__BACKEND": "scripted",
        "V2M_TRANSCRIPTION__SCRIPT": '["dictation {n}"]',
        "V2M_TRANSCRIPTION__SCRIPT_DELAY_S": str(SLOW_ENGINE_S),
        "V2M_AUDIO__BACKEND": "wav",
        "V2M_AUDIO__WAV_PATH": str(wav),
    }
    with new_home(**variables) as home, running_daemon(home) as daemon:
        home.daemon = daemon
        yield home


@pytest.fixture(autouse=True)
def idle(home):
    home.wait_state("idle")
    time.sleep(0.2)  # longer than every race rule: the next press is a press of its own
    yield
    home.ask("RESUME_DAEMON")
    wait_until(lambda: home.ask("ABORT_RECORDING")["data"]["state"] == "idle", what="idle")


def press(home, byte: bytes) -> dict:
    """Send a control byte and return the acknowledgement."""
    with connect(home.socket) as peer:
        peer.sendall(byte)
        return read_frame(peer)


class Watcher:
    """Collects events while a test runs."""

    def __init__(self, home) -> None:
        self.peer = connect(home.socket)
        self.peer.sendall(frame({"cmd": "SUBSCRIBE"}))
        read_frame(self.peer)
        self.events: list[dict] = []
        self.thread = threading.Thread(target=self._read, daemon=True)

    def _read(self) -> None:
        try:
            while True:
                self.events.append(read_frame(self.peer))
        except (EOFError, OSError):
            pass

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.peer.close()

    def names(self) -> list[str]:
        return [event["event"] for event in self.events]

    def wait(self, name: str) -> dict:
        return wait_until(
            lambda: next((event["data"] for event in self.events if event["event"] == name), None), what=name
        )


def test_start_and_stop_give_the_text(home):
    dictation = home.ask("START_RECORDING")["data"]["dictation"]
    assert home.state_now() == "recording"
    time.sleep(0.4)
    answer = home.ask("STOP_RECORDING", deliver="none")["data"]
    assert answer["dictation"] == dictation
    assert answer["transcription"].startswith("dictation ")
    assert answer["refined"] is False
    assert answer["delivered"] == {
        "method": "none",
        "certainty": "held",
        "confirmed": False,
        "characters": 0,
        "target": "",
        "detail": "",
        "attempts": [],
    }
    assert answer["state"] == "idle"
    assert list(answer["stages"]) == ["open", "first_sample", "released", "transcribed", "handed_over", "delivered"]


def test_start_twice_is_a_conflict_and_the_recording_goes_on(home):
    home.ask("START_RECORDING")
    error = home.ask("START_RECORDING")["error"]
    assert (error["code"], error["hint"]) == ("state_conflict", "v2m stop")
    assert home.state_now() == "recording"


def test_stop_while_idle_is_a_conflict(home):
    error = home.ask("STOP_RECORDING")["error"]
    assert (error["code"], error["hint"]) == ("state_conflict", "v2m start")


def test_abort_while_idle_is_a_conflict_in_json_and_silent_as_a_byte(home):
    assert home.ask("ABORT_RECORDING")["error"]["code"] == "state_conflict"
    assert press(home, ABORT)["status"] == "success"


def test_control_bytes_record_and_deliver(home):
    with Watcher(home) as watcher:
        assert press(home, START)["data"]["state"] == "recording"
        time.sleep(0.4)
        assert press(home, STOP)["data"]["state"] == "transcribing"
        watcher.wait("held")  # no desktop here: the words are kept
    assert home.history()[0]["phase"] == "held"
    assert home.history()[0]["text"].startswith("dictation ")


@pytest.mark.parametrize("slot", range(1, 10))
def test_a_profile_slot_starts_a_recording(home, slot):
    assert press(home, bytes([0x10 + slot]))["data"]["state"] == "recording"


def test_key_repeat_changes_nothing(home):
    press(home, START)
    for _ in range(20):
        assert press(home, START)["data"]["state"] == "recording"
    press(home, STOP)
    home.wait_state("idle")
    assert home.history()[0]["duration_s"] < 1.5


def test_a_lost_release_keeps_the_old_recording_as_held(home):
    press(home, START)
    first = home.ask("GET_STATUS")["data"]["recording"]["dictation"]
    time.sleep(1.2)
    press(home, START)
    second = home.ask("GET_STATUS")["data"]["recording"]["dictation"]
    assert second == first + 1
    wait_until(lambda: row(home, first)["phase"] == "held", what="the old recording")
    assert row(home, first)["text"]
    assert "release was lost" in row(home, first)["reason"]


def row(home, dictation: int) -> dict:
    return next(entry for entry in home.history() if entry["dictation"] == dictation)


def test_a_stop_that_overtook_its_start_is_a_tap(home):
    before = len(home.history())
    with Watcher(home) as watcher:
        press(home, STOP)
        press(home, START)
        assert watcher.wait("discarded")["reason"] == "tap"
    assert home.state_now() == "idle"
    assert len(home.history()) == before


def test_a_tap_is_discarded_without_an_engine_call(home):
    with Watcher(home) as watcher:
        press(home, START)
        press(home, STOP)
        dictation = watcher.wait("discarded")["dictation"]
        assert "transcribed" not in watcher.names()
    assert row(home, dictation)["phase"] == "discarded"
    assert row(home, dictation)["audio"] is False


def test_toggle_starts_and_stops_and_a_bounce_counts_once(home):
    press(home, TOGGLE)
    assert press(home, TOGGLE)["data"]["state"] == "recording"
    time.sleep(0.4)
    assert press(home, TOGGLE)["data"]["state"] == "transcribing"


def test_toggle_over_json(home):
    home.ask("TOGGLE_RECORDING")
    assert home.state_now() == "recording"
    time.sleep(0.4)
    assert home.ask("TOGGLE_RECORDING", deliver="none")["data"]["transcription"]


@pytest.mark.parametrize("how", ["byte", "json"])
def test_abort_while_recording_leaves_no_text_and_no_audio(home, how):
    with Watcher(home) as watcher:
        dictation = home.ask("START_RECORDING")["data"]["dictation"]
        time.sleep(0.4)
        press(home, ABORT) if how == "byte" else home.ask("ABORT_RECORDING")
        assert watcher.wait("discarded") == {"dictation": dictation, "reason": "aborted"}
        home.wait_state("idle")
        assert not {"partial", "transcribed", "delivered", "held"} & set(watcher.names())
    entry = row(home, dictation)
    assert (entry["phase"], entry["text"], entry["raw"], entry["audio"]) == ("aborted", "", "", False)


def test_abort_while_transcribing_leaves_no_text_and_no_audio(home):
    with Watcher(home) as watcher:
        dictation = home.ask("START_RECORDING")["data"]["dictation"]
        time.sleep(0.4)
        home.ask("STOP_RECORDING", wait=False)
        assert home.state_now() == "transcribing"
        assert home.ask("ABORT_RECORDING")["data"]["dictation"] == dictation
        home.wait_state("idle")
        assert "transcribed" not in watcher.names()
    entry = row(home, dictation)
    assert (entry["phase"], entry["text"], entry["audio"]) == ("aborted", "", False)


def test_whoever_waits_for_an_aborted_dictation_is_told(home):
    home.ask("START_RECORDING")
    time.sleep(0.4)
    with connect(home.socket) as waiting:
        waiting.sendall(frame({"cmd": "STOP_RECORDING"}))
        home.wait_state("transcribing")
        home.ask("ABORT_RECORDING")
        assert read_frame(waiting)["error"]["code"] == "state_conflict"


def test_a_waiting_client_that_goes_away_changes_nothing(home):
    dictation = home.ask("START_RECORDING")["data"]["dictation"]
    time.sleep(0.4)
    with connect(home.socket) as waiting:
        waiting.sendall(frame({"cmd": "STOP_RECORDING", "data": {"deliver": "none"}}))
        home.wait_state("transcribing")
    wait_until(lambda: row(home, dictation)["phase"] == "delivered", what="the text")


def test_a_deadline_answers_and_the_work_goes_on(home):
    dictation = home.ask("START_RECORDING")["data"]["dictation"]
    time.sleep(0.4)
    error = home.ask("STOP_RECORDING", timeout_s=0.1, deliver="none")["error"]
    assert (error["code"], error["hint"]) == ("timeout", "v2m last")
    wait_until(lambda: row(home, dictation)["phase"] == "delivered", what="the text")


def test_three_overlapping_dictations_arrive_in_spoken_order(home):
    with Watcher(home) as watcher:
        spoken = []
        for _ in range(3):
            spoken.append(home.ask("START_RECORDING")["data"]["dictation"])
            time.sleep(0.3)
            home.ask("STOP_RECORDING", wait=False, deliver="none")
        assert home.ask("PING")["data"]["state"] == "transcribing"
        home.wait_state("idle")
        heard = [event["data"]["dictation"] for event in watcher.events if event["event"] == "transcribed"]
    assert heard == spoken
    assert [row(home, dictation)["phase"] for dictation in spoken] == ["delivered"] * 3


def test_a_recording_may_start_while_an_older_one_is_transcribed(home):
    home.ask("START_RECORDING")
    time.sleep(0.3)
    home.ask("STOP_RECORDING", wait=False)
    home.ask("START_RECORDING")
    status = home.ask("GET_STATUS")["data"]
    assert (status["state"], status["queue"]) == ("recording", 1)


def test_the_ninth_dictation_on_its_way_is_refused(home):
    try:
        for _ in range(8):
            home.ask("START_RECORDING")
            time.sleep(0.25)
            home.ask("STOP_RECORDING", wait=False, deliver="none")
            if home.ask("GET_STATUS")["data"]["queue"] == 8:
                break
        while home.ask("GET_STATUS")["data"]["queue"] < 8:
            home.ask("START_RECORDING")
            time.sleep(0.25)
            home.ask("STOP_RECORDING", wait=False, deliver="none")
        assert home.ask("START_RECORDING")["error"]["code"] == "busy"
    finally:
        while home.ask("GET_STATUS")["data"]["queue"]:
            home.ask("ABORT_RECORDING")


def test_pause_finishes_what_was_heard(home):
    dictation = home.ask("START_RECORDING")["data"]["dictation"]
    time.sleep(0.4)
    home.ask("PAUSE_DAEMON")
    wait_until(lambda: row(home, dictation)["text"], what="the text")
    home.wait_state("paused")


def test_again_and_retry(home):
    home.ask("START_RECORDING")
    time.sleep(0.4)
    first = home.ask("STOP_RECORDING", deliver="none")["data"]
    assert home.ask("DELIVER_AGAIN", deliver="none")["data"]["dictation"] == first["dictation"]
    again = home.ask("RETRY_DICTATION", dictation=first["dictation"], deliver="none")["data"]
    assert again["dictation"] == first["dictation"]
    assert again["transcription"]
    for cmd, data in [("RETRY_DICTATION", {"dictation": 10**9}), ("DELIVER_AGAIN", {"dictation": 10**9})]:
        assert home.ask(cmd, **data)["error"]["code"] == "bad_request"


def test_a_retry_of_an_aborted_dictation_says_that_its_audio_is_gone(home):
    dictation = home.ask("START_RECORDING")["data"]["dictation"]
    home.ask("ABORT_RECORDING")
    error = home.ask("RETRY_DICTATION", dictation=dictation)["error"]
    assert error["code"] == "bad_request"
    assert "gone" in error["message"]


def test_status_as_a_byte_answers_the_whole_snapshot(home):
    data = press(home, STATUS)["data"]
    assert data["engine"]["name"] == "scripted"
    assert data["engine"]["loads"] == 1
    assert data["outputs"][-1]["name"] == "clipboard"
    assert all(entry["reason"] for entry in data["outputs"])
