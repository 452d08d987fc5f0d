"""A daemon whose settings hold a key in the wrong place, endless texts, or a pipe in the place of the file."""

import json
import os

import pytest

from support.daemon import new_home, running_daemon, wait_until
from support.settings import SettingsFile

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

FILE = '[audio]\nbackend = "wav"\n[transcription]\nbackend = "scripted"\n'
KEY = "gsk_0123456789"


@pytest.fixture(scope="module")
def daemon():
    with new_home() as home:
        settings = SettingsFile(home)
        settings.write(FILE)
        with running_daemon(home) as settings.process:
            yield settings


@pytest.fixture
def settings(daemon):
    """The daemon with the file as above, afterwards too."""
    yield daemon
    daemon.path.unlink()
    daemon.write(FILE)
    assert daemon.home.ask("RELOAD_CONFIG")["status"] == "success"


@pytest.mark.parametrize(
    "table",
    [
        f'[cloud]\napi_key_cmd = "{KEY}"\n',
        f'[cloud]\napi_key_file = "{KEY}"\n',
        f'[transcription.openai]\nbase_url = "https://me:{KEY}@corp.example/v1"\n',
        f'[vocabulary]\nwords = ["= {KEY}"]\n',
    ],
)
def test_a_key_in_the_wrong_place_reaches_neither_log_nor_status(settings, table):
    key = table.splitlines()[1].partition(" ")[0]
    settings.write(FILE.partition("[transcription]")[0] + table)
    wait_until(lambda: key in settings.degraded(), what="the complaint")
    answer = settings.home.ask("RELOAD_CONFIG")
    assert (answer["status"], key in answer["error"]["message"]) == ("error", True)
    assert key in settings.process.log
    for said in (answer, settings.home.ask("GET_STATUS"), settings.home.ask("GET_CONFIG"), settings.process.log):
        assert KEY not in json.dumps(said)


@pytest.mark.parametrize(
    ("key", "value"),
    [("audio.device", "x" * 900_000), ("audio.device", "\ud800"), ("transcription.whisper.model", "a\0b")],
)
def test_an_endless_or_broken_text_is_refused_by_its_key(settings, key, value):
    error = settings.home.ask("UPDATE_CONFIG", changes={key: value})["error"]
    assert (error["code"], key in error["message"]) == ("bad_config", True)
    assert settings.path.read_text() == FILE
    assert len(settings.home.ask("GET_CONFIG")["data"]["settings"]) > 80


def test_a_pipe_in_the_place_of_the_file_is_refused_at_once(settings):
    settings.path.unlink()
    os.mkfifo(settings.path)
    for cmd, words in [("RELOAD_CONFIG", {}), ("UPDATE_CONFIG", {"changes": {"audio.tail_ms": 9}})]:
        assert "it is no plain file" in settings.home.ask(cmd, **words)["error"]["message"]
    done = settings.home.v2m("config", "check")
    assert (done.returncode, "it is no plain file" in done.stderr) == (78, True)


def test_no_start_waits_for_a_pipe_in_the_place_of_the_file():
    arguments = ("--set", "audio.backend=wav", "--set", "transcription.backend=scripted")
    with new_home() as home:
        settings = SettingsFile(home)
        settings.path.parent.mkdir()
        os.mkfifo(settings.path)
        by_hand = home.run("toakd", *arguments, timeout=20)
        assert (by_hand.returncode, "it is no plain file" in by_hand.stderr) == (78, True)
        home.variables["INVOCATION_ID"] = "0123456789abcdef0123456789abcdef"  # as systemd starts it
        with running_daemon(home, *arguments):
            assert "it is no plain file" in settings.degraded()
            settings.path.unlink()
            settings.write("")
            wait_until(lambda: not settings.degraded(), what="the file")
