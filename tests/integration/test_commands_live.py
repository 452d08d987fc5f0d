"""The documents' command lines, the libraries and the README's examples against a real daemon."""

import asyncio
import json
import subprocess
import sys
import time

import pytest

from support.audio import write_wav
from support.daemon import BIN, connect, listens, new_home, read_frame, running_daemon, wait_until
from v2m.client import AsyncClient, Client

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

SCRIPTED = {
    "V2M_TRANSCRIPTION__BACKEND": "scripted",
    "V2M_TRANSCRIPTION__SCRIPT": '["dictation {n}"]',
    "V2M_AUDIO__BACKEND": "wav",
}


@pytest.fixture(scope="module")
def home():
    with new_home(**SCRIPTED) as home, running_daemon(home):
        yield home


def module(home, *words):
    return home.run(sys.executable, "-m", "v2m.main", *words)


def test_the_documents_three_lines_work_as_they_stand(home):
    ping = module(home, "PING")
    assert (ping.returncode, "PONG" in ping.stdout) == (0, True)
    assert module(home, "START_RECORDING").returncode == 0
    assert home.state_now() == "recording"
    time.sleep(0.4)
    stop = module(home, "STOP_RECORDING", "--json")
    assert stop.returncode == 0
    answer = json.loads(stop.stdout)
    assert answer["status"] == "success"
    assert answer["data"]["transcription"].startswith("dictation")


def test_both_clients_talk_to_the_real_daemon(home):
    with Client(home.socket) as client:
        assert client.call("PING")["message"] == "PONG"

    async def ask():
        async with AsyncClient(home.socket) as client:
            return await client.call("GET_STATUS")

    assert asyncio.run(ask())["engine"]["name"] == "scripted"


def test_every_verb_answers(home):
    for words in (["status"], ["history"], ["devices"], ["outputs"], ["pause"], ["resume"], ["toggle"]):
        result = home.v2m(*words, "--json")
        assert result.returncode == 0, (words, result.stderr)
        assert json.loads(result.stdout)["status"] == "success"
    assert home.v2m("abort").returncode == 0


def test_an_answer_that_cannot_be_written_is_one_sentence(home):
    with open("/dev/full", "w") as full:
        result = home.v2m("status", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert result.returncode == 70
    assert result.stderr == "v2m: The answer cannot be written: No space left on device.\n"


def test_words_typed_by_hand_are_kept_where_there_is_no_window(home):
    result = home.v2m("type", "hello")
    assert result.returncode == 70
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_file_is_transcribed(home, tmp_path, suffix):
    path = write_wav(tmp_path / "speech.wav", seconds=2)
    if suffix == ".flac":
        path = tmp_path / "speech.flac"
        subprocess.run(["sox", str(tmp_path / "speech.wav"), str(path)], check=True)
    result = home.v2m("transcribe", path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("dictation")


@pytest.mark.parametrize("case", ["missing", "directory", "text", "relative", "fifo", "device"])
def test_a_file_that_is_no_sound_is_refused_in_a_sentence(home, tmp_path, case):
    path = {"directory": tmp_path, "relative": "speech.wav", "device": "/dev/zero"}.get(case, tmp_path / case)
    if case == "text":
        path.write_text("hello")
    if case == "fifo":
        subprocess.run(["mkfifo", str(path)], check=True)
    error = home.ask("TRANSCRIBE_FILE", file_path=str(path))["error"]
    assert error["code"] in ("bad_request", "engine_failed")
    assert home.state_now() == "idle"


def test_a_key_pressed_while_the_daemon_starts_is_obeyed_in_order():
    with new_home(**SCRIPTED) as home, running_daemon(home, ready=False):
        wait_until(lambda: listens(home.socket), what="the socket")
        with connect(home.socket) as start:
            start.sendall(b"\x01")
            time.sleep(2)  # the speaker; a busy machine needs one of them to load everything
            with connect(home.socket) as stop:
                stop.sendall(b"\x02")
                assert read_frame(start)["data"]["state"] == "recording"
                read_frame(stop)
        wait_until(lambda: home.history() and home.history()[0]["text"], what="the text")


def test_a_slow_model_does_not_keep_a_key_waiting():
    with new_home(V2M_AUDIO__BACKEND="wav") as home, running_daemon(home, ready=False):
        assert home.ask("START_RECORDING")["data"]["state"] == "recording"
        time.sleep(0.5)
        answer = home.ask("STOP_RECORDING", deliver="none")
        assert answer["status"] == "success" or answer["error"]["code"] == "no_speech"


def test_the_daemon_takes_settings_on_its_command_line():
    with new_home() as home:
        arguments = ["--set", "transcription.backend=scripted", "--set", "audio.backend=wav"]
        with running_daemon(home, *arguments):
            assert home.ask("GET_STATUS")["data"]["engine"]["name"] == "scripted"
        result = home.run(BIN / "toakd", "--set", "nonsense")
        assert result.returncode == 64
        result = home.run(BIN / "toakd", "--config", "/nowhere.toml")
        assert result.returncode == 78
        assert "/nowhere.toml" in result.stderr
