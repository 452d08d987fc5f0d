"""A changed setting holds where it is about, from the next dictation on."""

import asyncio
from fnmatch import fnmatchcase

import pytest

import v2m.core.di.container
from support.audio import write_wav
from support.container import ask, private_home, run
from support.daemon import new_home, running_daemon, wait_until
from support.settings import SettingsFile, noting_notifications
from v2m._settings_change import LIVE, is_live
from v2m.config import kinds, load_settings
from v2m.core.di.live import _STEPS
from v2m.infrastructure._spool_mend import CORRUPT
from v2m.infrastructure.engines.scripted import ScriptedTranscriber
from v2m.infrastructure.history.memory import MemoryHistory

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

FILE = """\
[audio]
backend = "wav"

[transcription]
backend = "scripted"
script = ["{steps}"]
"""


@pytest.mark.parametrize("key", [key for key in kinds() if is_live(key)])
def test_every_live_setting_reaches_something(key):
    assert any(fnmatchcase(key, pattern) for patterns, _ in _STEPS for pattern in patterns)


def test_every_pattern_is_about_a_setting():
    for pattern in [*LIVE, *(pattern for patterns, _ in _STEPS for pattern in patterns)]:
        assert any(fnmatchcase(key, pattern) for key in kinds()), pattern


def changed(tmp_path, monkeypatch, changes, look, **overrides):
    """Change settings of a container between two dictations; return what `look` sees before and after."""
    arguments, _ = private_home(tmp_path, monkeypatch)

    async def scenario(container, output, notifier):
        async def seen():
            await ask(container, "START_RECORDING", profile=2)
            found = look(container)
            await ask(container, "ABORT_RECORDING")
            return found

        before = await seen()
        assert set((await ask(container, "UPDATE_CONFIG", changes=changes))["applied"]) == set(changes)
        return before, await seen()

    return run(arguments, scenario, transcriber=ScriptedTranscriber(["x"]), **overrides)


@pytest.mark.parametrize(
    ("changes", "languages"),
    [
        ({"transcription.language": "en"}, ("auto", "en")),
        ({"transcription.backend": "scripted", "profile.2.language": "de", "profile.3.language": "fr"}, ("auto", "de")),
    ],
)
def test_languages(tmp_path, monkeypatch, changes, languages):
    assert changed(tmp_path, monkeypatch, changes, lambda c: c.dictations.recording.language) == languages


def test_how_long_a_word_may_go_on_and_when_a_recording_ends_by_itself(tmp_path, monkeypatch):
    changes = {
        "audio.tail_ms": 20,
        "audio.lost_release_silence_s": 7,
        "audio.toggled_silence_s": 8,
        "audio.max_recording_s": 9,
    }

    def look(container):
        recorder = container.dictations._recorder
        limits = recorder._limits
        return (
            recorder._tail_s,
            limits.lost_release_silence_s,
            limits.toggled_silence_s,
            limits.max_recording_s,
        )

    assert changed(tmp_path, monkeypatch, changes, look) == ((0.3, 60, 300, 7200), (0.02, 7, 8, 9))


def test_what_is_kept(tmp_path, monkeypatch):
    history = MemoryHistory()

    def look(_):
        return (
            history._keep.retention_days,
            history._keep.delivered_until_ns(10**18),
            history._keep.keep_trouble_audio_s,
        )

    changes = {"history.retention_days": 3, "history.keep_audio": "2h", "history.keep_audio_trouble": "1d"}
    _, after = changed(tmp_path, monkeypatch, changes, look, history=history)
    assert after == (3, 10**18 - 7200 * 10**9, 86_400)


def test_how_long_what_was_found_broken_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(v2m.core.di.container, "SWEEP_S", 0.02)
    arguments, _ = private_home(tmp_path, monkeypatch)

    async def scenario(container, output, notifier):
        broken = load_settings(arguments).paths.spool() / f"1.spool{CORRUPT}"
        broken.write_bytes(b"x")
        await ask(container, "UPDATE_CONFIG", changes={"history.keep_audio_trouble": "0"})
        async with asyncio.timeout(10):
            while broken.exists():
                await asyncio.sleep(0.02)

    run(arguments, scenario, transcriber=ScriptedTranscriber(["x"]))


def test_the_longest_recording_and_the_microphone_of_a_running_daemon(tmp_path):
    with new_home() as home:
        settings = SettingsFile(home)
        settings.write(FILE)
        with running_daemon(home):
            settings.start()
            assert home.ask("GET_STATUS")["data"]["recording"]["source"] == "voice.wav"
            home.ask("ABORT_RECORDING")
            other = write_wav(tmp_path / "other.wav", seconds=3)
            del home.variables["V2M_AUDIO__WAV_PATH"]  # for the next daemon
        settings.write(FILE.replace("[audio]", f'[audio]\nwav_path = "{other}"'))
        with running_daemon(home):
            settings.start()
            assert home.ask("GET_STATUS")["data"]["recording"]["source"] == "other.wav"
            home.ask("ABORT_RECORDING")
            third = write_wav(tmp_path / "third.wav", seconds=3)
            settings.write(FILE.replace("[audio]", f'[audio]\nwav_path = "{third}"'))
            assert home.ask("RELOAD_CONFIG")["data"]["applied"] == ["audio.wav_path"]
            settings.start()
            assert home.ask("GET_STATUS")["data"]["recording"]["source"] == "third.wav"
            home.ask("ABORT_RECORDING")
            assert settings.change(audio__max_recording_s=1)["data"]["applied"] == ["audio.max_recording_s"]
            home.ask("START_RECORDING")
            wait_until(lambda: home.history()[0]["phase"] in ("held", "suppressed"), what="its end")


def test_a_bad_edit_is_notified_once_and_notifications_follow_the_settings():
    with new_home() as home:
        del home.variables["V2M_NOTIFICATIONS__ENABLED"]
        settings = SettingsFile(home)
        settings.write(FILE)
        with noting_notifications(home) as shown, running_daemon(home):

            def about_settings():
                return [body for title, body in shown if title == "Settings"]

            for _ in range(2):
                settings.write(FILE + "[output]\nnewline = 'tab'\n")
                assert home.ask("RELOAD_CONFIG")["error"]["code"] == "bad_config"
            wait_until(about_settings, what="the notification")
            settings.write(FILE + "[output]\nnewlin = 'tab'\n")  # another fault
            wait_until(lambda: len(about_settings()) > 1, what="the next notification")
            first, second = about_settings()
            for word in (f"{settings.path}, line 8", "output.newline must be space or newline", "'tab'"):
                assert word in first
            assert "did you mean output.newline?" in second
            settings.write(FILE)
            wait_until(lambda: not settings.degraded(), what="the end of the complaint")
            wait_until(lambda: len(about_settings()) > 2, what="the good news")
            settings.change(notifications__enabled=False)
            settings.write("x = 1\n")
            wait_until(settings.degraded, what="the complaint")
            assert settings.home.ask("PING")["status"] == "success"
            assert len(about_settings()) == 3
