"""GET_CONFIG, UPDATE_CONFIG, RELOAD_CONFIG at a real daemon: sources, refusals, what is written, what holds."""

import json
import os
import signal
import tomllib

import pytest

from support.daemon import connect, frame, new_home, read_frame, running_daemon, wait_until
from support.settings import SettingsFile

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

FILE = """\
# mine
[audio]  # how I am heard
backend = "wav"
min_recording_ms = 100  # quick fingers

[transcription]
backend = "scripted"
script = ["one"]
threads = 2
"""
SECRET = "sk-very-secret-0123456789"


@pytest.fixture(scope="module")
def daemon():
    variables = {"V2M_AUDIO__TAIL_MS": "5", "GROQ_API_KEY": SECRET}
    with new_home(**variables) as home:
        settings = SettingsFile(home)
        settings.write(FILE)
        (settings.path.parent / ".env").write_text("V2M_TRANSCRIPTION__SCRIPT_DELAY_S=0.0\n")
        with running_daemon(home, "--set", "daemon.max_connections=32") as running:
            settings.process = running
            yield settings


@pytest.fixture
def settings(daemon):
    """The daemon with the file as above, whatever a test before did to it."""
    daemon.write(FILE)
    daemon.home.ask("RELOAD_CONFIG")
    yield daemon
    daemon.write(FILE)
    daemon.home.ask("RELOAD_CONFIG")


# --- what is told ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "source", "place"),
    [
        ("daemon.max_connections", 32, "argument", "argument daemon.max_connections"),
        ("audio.tail_ms", 5, "environment", "environment variable V2M_AUDIO__TAIL_MS"),
        ("transcription.script_delay_s", 0.0, ".env", "{folder}/.env, line 1"),
        ("audio.min_recording_ms", 100, "file", "{folder}/config.toml, line 4"),
        ("transcription.script", ["one"], "file", "{folder}/config.toml, line 8"),
        ("history.keep_audio", "1h", "default", ""),
        ("groq_api_key", "********", "environment", "environment variable V2M_GROQ_API_KEY"),
        ("openai_api_key", None, "default", ""),
    ],
)
def test_each_value_is_told_with_its_source(settings, key, value, source, place):
    entry = settings.of(key)
    found = (entry["value"], entry["source"], entry["place"])
    assert found == (value, source, place.format(folder=settings.path.parent))


def test_everything_is_told_and_no_secret(settings):
    answer = settings.home.ask("GET_CONFIG")
    entries = answer["data"]["settings"]
    assert {"audio.device", "policy", "paths.state_dir", "daemon.log_level"} <= {entry["key"] for entry in entries}
    assert answer["data"]["file"] == str(settings.path)
    assert SECRET not in json.dumps(answer)
    assert not any(entry["pending"] for entry in entries)


def test_a_table_can_be_asked_for_and_what_is_none_is_refused_with_the_nearest(settings):
    (audio,) = {
        entry["key"].partition(".")[0] for entry in settings.home.ask("GET_CONFIG", keys=["audio"])["data"]["settings"]
    }
    assert audio == "audio"
    error = settings.home.ask("GET_CONFIG", keys=["audio.devise"])["error"]
    assert (error["code"], "did you mean audio.device?" in error["message"]) == ("bad_config", True)


# --- what is written ---------------------------------------------------------------------------------------


def test_a_change_keeps_comments_and_order_and_the_file_before(settings):
    answer = settings.change(audio__min_recording_ms=150, notifications__sounds=True, transcription__threads=None)
    assert answer["status"] == "success"
    assert settings.path.read_text() == (
        FILE.replace("= 100 ", "= 150 ").replace("threads = 2\n", "") + "\n[notifications]\nsounds = true\n"
    )
    assert settings.path.with_name("config.toml.previous").read_text() == FILE
    for file in (settings.path, settings.path.with_name("config.toml.previous")):
        assert file.stat().st_mode & 0o777 == 0o600
    assert set(answer["data"]["applied"]) == {
        "audio.min_recording_ms",
        "notifications.sounds",
        "transcription.threads",
    }
    entry = settings.of("audio.min_recording_ms")
    assert (entry["value"], entry["source"], entry["place"]) == (150, "file", f"{settings.path}, line 4")
    assert settings.of("transcription.threads")["source"] == "default"
    assert not [path for path in settings.path.parent.iterdir() if path.name.startswith(".config")]


def test_what_needs_a_restart_is_said_until_it_is_taken_back(settings):
    answer = settings.change(history__enabled=False, audio__min_recording_ms=120)["data"]
    assert (answer["applied"], answer["restart"]) == (["audio.min_recording_ms"], ["history.enabled"])
    assert settings.of("history.enabled")["pending"]
    assert settings.change(audio__min_recording_ms=130)["data"]["restart"] == ["history.enabled"]
    assert settings.change(history__enabled=None)["data"]["restart"] == []


def test_a_stronger_source_is_named(settings):
    answer = settings.change(audio__tail_ms=7, audio__min_recording_ms=110)["data"]
    assert answer["no_effect"] == [{"key": "audio.tail_ms", "place": "environment variable V2M_AUDIO__TAIL_MS"}]
    assert settings.of("audio.tail_ms")["value"] == 5
    assert tomllib.loads(settings.path.read_text())["audio"]["tail_ms"] == 7


def test_a_link_to_a_file_elsewhere_stays_a_link(settings, tmp_path):
    elsewhere = tmp_path / "dotfiles.toml"
    elsewhere.write_text(FILE)
    settings.path.unlink()
    settings.path.symlink_to(elsewhere)
    try:
        settings.change(audio__min_recording_ms=140)
        assert settings.path.is_symlink()
        assert "= 140 " in elsewhere.read_text()
        elsewhere.write_text(FILE.replace("= 100 ", "= 160 "))  # and what is saved there is noticed
        wait_until(lambda: settings.of("audio.min_recording_ms")["value"] == 160, what="the saved file")
    finally:
        settings.path.unlink()


# --- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"audio.min_recording_ms": 9000}, ["audio.min_recording_ms", "0 to 5000", "9000"]),
        ({"audio.min_recording_ms": "150"}, ["audio.min_recording_ms", "whole number", "'150'"]),
        ({"audio.min_recording_ms": True}, ["audio.min_recording_ms", "True"]),
        ({"audio.polcy": "armed"}, ["audio.polcy", "did you mean audio.policy?"]),
        ({"audio": {"tail_ms": 1}}, ["no setting audio"]),
        ({"audio.preroll_ms": 100}, ["audio.preroll_ms", "needs audio.policy armed"]),
        ({"audio.device": "x", "output.newline": "tab"}, ["output.newline", "space or newline", "tab"]),
        ({"audio.device": "${HOME}"}, ["${"]),
        ({"vocabulary.words": ["a", None]}, ["vocabulary.words"]),
        ({"vocabulary.words": [{"a": 1}]}, ["vocabulary.words"]),
        ({"transcription.backend": "moonshine", "transcription.language": "tr"}, ["transcription.language"]),
        ({"groq_api_key": SECRET}, ["groq_api_key", "secret"]),
        ({"gemini.api_key": SECRET}, ["gemini.api_key"]),
        ({"cloud.api_key_cmd": ["sh", "-c", "id"]}, ["cloud.api_key_cmd", "over the socket", "a command"]),
        ({"cloud.api_key_file": "/etc/passwd"}, ["cloud.api_key_file", "over the socket", "a path"]),
        ({"transcription.openai.base_url": "http://evil"}, ["base_url", "over the socket", "an address"]),
        ({"transcription.whisper.model": "/tmp/model"}, ["model", "over the socket", "folder"]),
        ({"policy": [{"app": "foot", "submit": True}]}, ["policy", "over the socket"]),
        ({"paths.state_dir": None}, ["paths.state_dir", "over the socket"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_bad_change_changes_nothing(settings, changes, words):
    before, stat = settings.path.read_bytes(), settings.path.stat()
    good = {"audio.lost_release_silence_s": 61}
    error = settings.home.ask("UPDATE_CONFIG", changes={**good, **changes})["error"]
    assert error["code"] == "bad_config", error
    for word in words:
        assert word in error["message"], error
    assert SECRET not in json.dumps(error)
    assert (settings.path.read_bytes(), settings.path.stat().st_ino) == (before, stat.st_ino)
    assert settings.of("audio.lost_release_silence_s")["value"] == 60
    assert settings.degraded() == ""


@pytest.mark.parametrize("data", [{}, {"changes": {}}, {"changes": []}, {"changes": {"a": 1}, "file": "/etc/x"}])
def test_a_request_of_the_wrong_shape_is_a_bad_request(settings, data):
    assert settings.home.ask("UPDATE_CONFIG", **data)["error"]["code"] == "bad_request"


def test_no_path_command_or_address_can_be_changed_over_the_socket(settings):
    entries = settings.home.ask("GET_CONFIG")["data"]["settings"]
    guarded = [entry for entry in entries if not entry["writable"]]
    before = settings.path.read_bytes()
    for entry in guarded:
        value = entry["default"] if entry["default"] is not None else "x"
        error = settings.home.ask("UPDATE_CONFIG", changes={entry["key"]: value})["error"]
        assert error["code"] == "bad_config"
        assert entry["key"] in error["message"]
    assert settings.path.read_bytes() == before


# --- files that are saved ----------------------------------------------------------------------------------


def save(settings):
    """Save, and let the daemon notice by itself."""


def hang_up(settings):
    os.kill(settings.process.pid, signal.SIGHUP)


def reload(settings):
    settings.home.ask("RELOAD_CONFIG")


@pytest.mark.parametrize("how", [save, hang_up, reload])
def test_a_saved_file_holds_and_a_bad_one_leaves_everything_as_it_was(settings, how):
    settings.write(FILE.replace("= 100 ", "= 170 "))
    how(settings)
    wait_until(lambda: settings.of("audio.min_recording_ms")["value"] == 170, what="the new value")
    settings.write(FILE.replace("threads = 2", 'threads = "two"').replace("= 100 ", "= 180 "))
    how(settings)
    wait_until(settings.degraded, what="the complaint")
    for word in (f"{settings.path}, line 9", "transcription.threads", "a whole number from 1 to 64", "'two'"):
        assert word in settings.degraded()
    assert settings.of("audio.min_recording_ms")["value"] == 170
    assert settings.dictate() == "one"
    assert settings.home.ask("GET_CONFIG", keys=["audio"])["data"]["problem"] == settings.degraded()
    settings.write(FILE.replace("= 100 ", "= 190 "))
    how(settings)
    wait_until(lambda: not settings.degraded(), what="the end of the complaint")
    assert settings.of("audio.min_recording_ms")["value"] == 190


def test_reload_says_what_is_wrong(settings):
    settings.write("[audio\n")
    error = settings.home.ask("RELOAD_CONFIG")["error"]
    assert error["code"] == "bad_config"
    assert "line 1" in error["message"]


def test_a_change_mends_a_file_that_was_wrong(settings):
    settings.write(FILE.replace("threads = 2", "threads = 200"))
    wait_until(settings.degraded, what="the complaint")
    assert settings.change(transcription__threads=3)["status"] == "success"
    assert settings.degraded() == ""


def test_subscribers_hear_of_changes_and_of_what_is_wrong(settings):
    with connect(settings.home.socket) as peer:
        peer.sendall(frame({"cmd": "SUBSCRIBE", "data": {"events": ["settings_changed", "degraded"]}}))
        read_frame(peer)
        settings.change(audio__min_recording_ms=145)
        assert read_frame(peer)["event"] == "settings_changed"
        settings.write("x = 1\n")
        wrong = read_frame(peer)
        assert (wrong["event"], wrong["data"]["what"]) == ("degraded", "config")


# --- what holds --------------------------------------------------------------------------------------------


def test_a_dictation_under_way_keeps_the_settings_it_started_with(settings):
    home = settings.home
    home.ask("START_RECORDING")
    wait_until(lambda: home.ask("GET_STATUS")["data"]["recording"]["seconds"] > 0.3, what="some sound")
    settings.write(FILE.replace('["one"]', '["two"]').replace("= 100 ", "= 5000 "))
    answer = home.ask("RELOAD_CONFIG")["data"]
    assert (set(answer["later"]), answer["applied"]) == ({"transcription.script", "audio.min_recording_ms"}, [])
    assert settings.of("transcription.script")["pending"]
    assert home.ask("STOP_RECORDING")["data"]["transcription"] == "one"
    wait_until(lambda: not settings.of("transcription.script")["pending"], what="the new settings")
    home.ask("START_RECORDING")
    wait_until(lambda: home.ask("GET_STATUS")["data"]["recording"]["seconds"] > 0.3, what="some sound")
    assert home.ask("STOP_RECORDING")["data"]["discarded"], "shorter than 5 s is a tap now"
    settings.change(audio__min_recording_ms=100)
    assert settings.dictate() == "two"


def test_the_last_of_several_changes_during_a_dictation_holds(settings):
    settings.home.ask("START_RECORDING")
    wait_until(lambda: settings.home.ask("GET_STATUS")["data"]["recording"]["seconds"] > 0.3, what="some sound")
    for words in ("two", "three"):
        settings.write(FILE.replace('["one"]', f'["{words}"]'))
        assert settings.home.ask("RELOAD_CONFIG")["data"]["later"] == ["transcription.script"]
    settings.home.ask("ABORT_RECORDING")
    wait_until(lambda: not settings.of("transcription.script")["pending"], what="the new settings")
    assert settings.dictate() == "three"


def test_every_live_setting_is_applied_without_a_restart(settings):
    entries = [entry for entry in settings.home.ask("GET_CONFIG")["data"]["settings"] if entry["live"]]
    other = {
        "audio.policy": "armed",
        "audio.preroll_ms": 100,
        "audio.resample_quality": 10,
        "transcription.language": "en",
        "transcription.languages": ["en", "de"],
        "transcription.fallback": ["moonshine"],
        "transcription.vad.release_threshold": 0.3,
        "transcription.whisper.temperature": [0.1],
        "vocabulary.words": ["GitHub"],
        "output.method": ["clipboard"],
        "output.exclude": ["xtest"],
        "history.keep_audio": "2h",
        "history.keep_audio_trouble": "8d",
    }
    changes = {}
    for entry in entries:
        key, value = entry["key"], entry["value"]
        if not entry["writable"] or entry["source"] in ("environment", ".env") or key == "transcription.backend":
            continue
        if key in other:
            changes[key] = other[key]
        elif isinstance(value, bool):
            changes[key] = not value
        elif entry["type"] == "name":
            changes[key] = next(name for name in entry["allowed"].replace(" or ", ", ").split(", ") if name != value)
        elif isinstance(value, int | float):
            changes[key] = value + 1 if value + 1 <= 10 else value - 1
            if isinstance(value, float) and value < 1:
                changes[key] = 0.5 if value != 0.5 else 0.6
        else:
            changes[key] = "en" if key.startswith("profile.") else "int8" if key.endswith("quantization") else "base"
    answer = settings.home.ask("UPDATE_CONFIG", changes=changes)
    assert answer["status"] == "success", answer
    assert set(answer["data"]["applied"]) == set(changes)
    assert answer["data"]["restart"] == []
    assert len(changes) > 60
    settings.write(FILE)
    assert set(settings.home.ask("RELOAD_CONFIG")["data"]["applied"]) == set(changes)
    assert settings.dictate() == "one"


def test_ways_of_typing_follow_the_settings(settings):
    def names():
        return [way["name"] for way in settings.home.ask("LIST_OUTPUTS")["data"]["outputs"]]

    assert "xdotool" in names()
    settings.change(output__exclude=["xdotool"])
    assert "xdotool" not in names()
    settings.change(output__method=["xdotool", "wtype"], output__exclude=[])
    assert names() == ["xdotool", "wtype", "clipboard"]


def test_what_is_typed_follows_the_settings(settings):
    def typed():
        return settings.home.ask("TEST_POLICY", text="a\nb", app="gedit")["data"]["text"]

    before = typed()
    settings.change(output__trailing_space=True)
    assert typed() == f"{before} "
    settings.write(FILE + '\n[[policy]]\napp = "gedit"\ncasing = "upper"\n')
    settings.home.ask("RELOAD_CONFIG")
    assert typed() == before.upper()


def test_status_tells_the_settings_that_hold(settings):
    settings.change(audio__device="Some microphone")
    assert settings.home.ask("GET_STATUS")["data"]["microphone"]["device"] == "Some microphone"


def test_the_log_level_follows_the_settings(settings):
    settings.change(daemon__log_level="error")
    before = settings.process.log
    settings.write("x = 1\n")
    wait_until(settings.degraded, what="the complaint")
    assert settings.process.log == before
