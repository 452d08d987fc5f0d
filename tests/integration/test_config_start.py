"""A start with settings that are wrong: by hand it is refused with the place; under systemd the last good ones hold."""

import json
import os

import pytest

from support.daemon import new_home, running_daemon, wait_until
from support.settings import SettingsFile, noting_notifications

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

GOOD = '[audio]\nbackend = "wav"\n\n[transcription]\nbackend = "scripted"\nscript = ["still here"]\n'
BAD = GOOD + '[output]\nwhen_moved = "stay"\n'
SYSTEMD = {"INVOCATION_ID": "0123456789abcdef0123456789abcdef"}
SECRET = "sk-very-secret-0123456789"


@pytest.fixture
def settings():
    with new_home(GROQ_API_KEY=SECRET) as home:
        yield SettingsFile(home)


def kept(settings):
    return settings.home.state / "v2m/last-good-settings.json"


def test_by_hand_it_is_refused_with_file_line_key_and_what_is_allowed(settings):
    settings.write(BAD)
    done = settings.home.run("toakd")
    assert done.returncode == 78
    for word in (f"{settings.path}, line 8", "output.when_moved", "hold, follow or return", "'stay'"):
        assert word in done.stderr


def test_a_shell_inside_a_service_is_no_service(settings):
    settings.write(BAD)
    environment = {**settings.home.variables, **SYSTEMD, "SYSTEMD_EXEC_PID": str(os.getpid())}
    assert settings.home.run("toakd", env=environment).returncode == 78


def test_under_systemd_the_last_good_settings_hold_until_the_file_is_right(settings):
    home = settings.home
    settings.write(GOOD)
    with running_daemon(home):
        wait_until(kept(settings).exists, what="the copy")
    assert kept(settings).stat().st_mode & 0o777 == 0o600
    assert SECRET not in kept(settings).read_text()
    settings.write(BAD)
    home.variables |= SYSTEMD
    del home.variables["V2M_NOTIFICATIONS__ENABLED"]
    with noting_notifications(home) as shown, running_daemon(home):
        assert f"{settings.path}, line 8: output.when_moved must be hold, follow or return" in settings.degraded()
        assert settings.of("transcription.script")["source"] == "last good"
        assert settings.of("groq_api_key")["source"] == "environment"
        assert settings.dictate() == "still here"
        assert shown == [], "the notifications are those of the last good settings: none were wanted then"
        settings.write(GOOD)
        wait_until(lambda: not settings.degraded(), what="the end of the complaint")
        assert settings.of("transcription.script")["source"] == "file"
        assert settings.of("notifications.enabled")["value"] is True


@pytest.mark.parametrize(
    "copy",
    [
        None,
        "{",
        "[]",
        '{"layers": {"x": {"audio.min_recording_ms": -1}}}',
        '{"layers": {"x": 1}}',
        json.dumps({"layers": {"x": {"transcription.gone": 1}}}),
        "[" * 100_000,
    ],
)
def test_without_a_good_copy_the_defaults_hold(settings, copy):
    settings.write("[audio\n")
    settings.home.variables |= SYSTEMD | {"V2M_AUDIO__BACKEND": "wav"}
    if copy is not None:
        kept(settings).parent.mkdir()
        kept(settings).write_text(copy)
    with running_daemon(settings.home, ready=False):
        wait_until(lambda: settings.home.state_now() in ("idle", "warming"), what="a state")
        assert "line 1" in settings.degraded()
        assert settings.of("audio.min_recording_ms")["value"] == 200


def test_one_notification_at_the_start(settings):
    home = settings.home
    settings.write(BAD)
    home.variables |= SYSTEMD
    del home.variables["V2M_NOTIFICATIONS__ENABLED"]
    with noting_notifications(home) as shown, running_daemon(home, ready=False):
        wait_until(lambda: shown, what="the notification")
        home.v2m("config", "reload")
        told = [body for title, body in shown if title == "Settings"]
        assert len(told) == 1
        assert "output.when_moved" in told[0]


def test_a_misspelt_variable_under_systemd_keeps_the_last_good_settings_too(settings):
    settings.write(GOOD)
    with running_daemon(settings.home):
        wait_until(kept(settings).exists, what="the copy")
    settings.home.variables |= SYSTEMD | {"V2M_AUDIO__POLCY": "armed"}
    with running_daemon(settings.home):
        assert "V2M_AUDIO__POLCY" in settings.degraded()
        assert settings.dictate() == "still here"
