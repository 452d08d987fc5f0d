"""The units under a real user manager: killed, hung, misconfigured, too often; what follows needs no hand."""

import json
import re
import subprocess
from contextlib import contextmanager

import pytest

from support.audio import write_wav
from support.daemon import BIN, ROOT, wait_until
from support.speech import clips, word_error_rate
from support.systemd_user import USER, running_user_systemd
from v2m.infrastructure.service.units import STARTS_A_MINUTE

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def manager():
    with running_user_systemd() as user:
        done = user.v2m("install", check=True)
        assert "Wrote" in done.stderr
        yield user


@pytest.fixture
def user(manager):
    """The manager with the daemon ready, whatever a test before has left."""
    before = manager.config.read_text()
    manager.configure()
    unchanged = manager.config.read_text() == before
    manager.v2m("daemon", "start" if unchanged else "restart", check=True)
    manager.wait_state("idle")
    return manager


@contextmanager
def changed_service(user, text):
    """Run with a drop-in, and take it away."""
    user.drop_in(text)
    try:
        yield
    finally:
        (user.units / "toakd.service.d" / "test.conf").unlink()
        user.systemctl("daemon-reload")


def test_it_is_there_after_login_and_nobody_complains(user):
    for unit in ("v2m.socket", "toakd.service"):
        assert user.systemctl("is-enabled", unit) == "enabled"
        assert user.systemctl("is-active", unit) == "active"
    assert user.systemctl("is-enabled", "toak.service") == "alias"
    assert (user.units / "default.target.wants" / "toakd.service").is_symlink()
    checked = user.run("systemd-analyze", "--user", "verify", user.units / "toakd.service", user.units / "v2m.socket")
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_installing_again_changes_nothing(user):
    pid = user.show("MainPID")
    again = user.v2m(
        "install", check=True, XDG_SESSION_TYPE="wayland", PATH="/usr/bin:/bin", PYTHONDONTWRITEBYTECODE="1"
    )
    assert "Everything was installed already." in again.stderr
    assert user.show("MainPID") == pid


def test_the_first_key_starts_the_daemon(user):
    user.systemctl("stop", "toakd.service")
    assert user.show("ActiveState") == "inactive"
    assert user.toak("--start").returncode == 0
    user.wait_shown("ActiveState", "active")
    user.wait_state("recording")
    user.toak("--stop")
    wait_until(lambda: user.written.endswith("spoken under systemd\n"), what="the text")


def test_after_a_kill_in_the_middle_the_next_key_works_without_any_hand(user):
    killed = int(user.show("NRestarts"))
    user.toak("--start")
    user.wait_state("recording")
    wait_until(
        lambda: user.run("find", user.state / "spool", "-name", "dictation-*", "-size", "+0").stdout, what="audio"
    )
    pid = user.show("MainPID")
    user.systemctl("kill", "--kill-whom=main", "--signal=KILL", "toakd.service")
    wait_until(lambda: user.show("MainPID") not in (pid, "0"), what="another process")
    user.dictate()
    assert int(user.show("NRestarts")) == killed + 1
    entries = user.v2m("history", "--json").stdout
    assert '"phase": "recording"' not in entries, "what was being recorded rests"


def test_a_restart_in_the_middle_of_a_recording_loses_no_word(user):
    lines = user.written.count("\n")
    user.toak("--start")
    user.wait_state("recording")
    user.systemctl("restart", "toakd.service")
    assert user.written.count("\n") == lines + 1, "what was heard is delivered before the end"
    assert user.show("Result") == "success"
    user.dictate()


def test_a_clean_stop_is_not_restarted_and_a_key_starts_it_again(user):
    restarts = user.show("NRestarts")
    assert user.v2m("shutdown").returncode == 0
    user.wait_shown("ActiveState", "inactive")
    assert (user.show("Result"), user.show("ActiveState", "v2m.socket")) == ("success", "active")
    status = user.v2m("daemon", "status")
    assert (status.returncode, "the next key starts it" in status.stderr) == (69, True)
    assert user.show("ActiveState") == "inactive", "asking for the status starts nothing"
    user.dictate()
    assert user.show("NRestarts") in (restarts, "0")


def test_who_ends_it_again_and_again_finds_that_a_key_still_starts_it(user):
    for _ in range(6):
        assert user.toak("--abort").returncode == 0
        assert user.v2m("shutdown").returncode == 0
        user.wait_shown("ActiveState", "inactive")
    user.dictate()


@pytest.mark.parametrize("words", [("daemon", "start"), ("daemon", "restart"), ("install",)])
def test_after_a_clean_end_the_commands_start_it_too(user, words):
    assert user.v2m("shutdown").returncode == 0
    user.wait_shown("ActiveState", "inactive")
    assert user.v2m(*words, check=True).returncode == 0
    assert user.show("ActiveState") == "active"


def test_neither_a_bar_nor_doctor_starts_it_after_a_clean_end(user):
    bar = subprocess.Popen(user.argv(BIN / "v2m", "status", "--follow"), stdout=subprocess.PIPE, text=True)
    try:
        assert bar.stdout.readline() == "idle\n"
        assert user.v2m("shutdown").returncode == 0
        while bar.stdout.readline() != "off\n":
            pass
        user.wait_shown("ActiveState", "inactive")
        looked = user.v2m("doctor", "--json", "--only", "daemon", "--report", user.home / "report.zip")
        assert "the next key starts it" in looked.stdout
        asked = user.run("sleep", "1.5")  # the bar looks three times
        assert (asked.returncode, user.show("ActiveState")) == (0, "inactive")
        user.dictate()
        assert bar.stdout.readline() != "off\n", "it goes on once somebody else has started it"
    finally:
        bar.kill()
        bar.wait()
        bar.stdout.close()


def test_stop_means_that_no_key_starts_it(user):
    assert user.v2m("daemon", "stop").returncode == 0
    assert user.show("ActiveState", "v2m.socket") == "inactive"
    assert not user.socket.exists()
    assert user.toak("--start").returncode == 69
    assert user.v2m("daemon", "start").returncode == 0
    user.dictate()


def test_a_crash_loop_ends_and_start_mends_it(user):
    with changed_service(user, "[Service]\nExecStart=\nExecStart=/bin/false\n"):
        user.systemctl("restart", "toakd.service", check=False)
        # a key on the socket makes systemd try, too, and gives it the rest
        user.wait_shown("ActiveState", "failed")
        user.toak("--start")
        user.wait_shown("ActiveState", "failed", "v2m.socket")
        assert user.toak("--start").returncode == 69
        assert int(user.show("NRestarts")) <= STARTS_A_MINUTE
        how = user.v2m("daemon", "status").stderr
        assert re.search(r"does not run: (start-limit-hit|exit-code)\.", how), how
        failed = user.v2m("daemon", "start")
        assert failed.returncode == 70
        assert "does not start" in failed.stderr
    assert user.v2m("daemon", "start", check=True).returncode == 0
    user.dictate()


def test_a_daemon_that_hangs_is_replaced(user):
    with changed_service(user, "[Service]\nWatchdogSec=1\n"):
        user.systemctl("restart", "toakd.service")
        beat = user.show("WatchdogTimestampMonotonic")
        wait_until(lambda: user.show("WatchdogTimestampMonotonic") != beat, what="a sign of life of the event loop")
        assert user.show("NRestarts") == "0"
        pid = user.show("MainPID")
        user.systemctl("kill", "--kill-whom=main", "--signal=STOP", "toakd.service")
        user.wait_shown("NRestarts", "1")
        wait_until(lambda: user.show("MainPID") not in (pid, "0"), what="another process")
        user.dictate()


def test_a_daemon_that_cannot_serve_is_not_started_over_and_over(user):
    elsewhere = user.runtime / "elsewhere" / "v2m.sock"
    user.systemctl("set-environment", f"V2M_SOCKET={elsewhere}")
    try:
        refused = user.v2m("daemon", "restart")
        assert refused.returncode == 78
        assert str(elsewhere) in refused.stderr
        answer = user.v2m("ping")
        assert answer.returncode == 78, "whoever knocks hears why"
        assert "unset-environment" in answer.stderr
        user.wait_shown("ActiveState", "failed")
        assert (user.show("NRestarts"), user.show("ActiveState", "v2m.socket")) == ("0", "active")
        tried = user.journal("--user-unit=toakd.service").count(f"clients talk to {elsewhere}")
        assert tried == 2, "once by us, once for who knocked"
    finally:
        user.systemctl("unset-environment", "V2M_SOCKET")
    user.dictate()


def test_a_wrong_setting_does_not_keep_the_daemon_from_serving(user):
    user.configure(extra="[nonsense]\nkey = 1\n")
    user.v2m("daemon", "restart", check=True)
    status = user.v2m("status")
    assert "nonsense" in status.stdout + status.stderr
    user.dictate()


def test_a_second_daemon_by_hand_is_refused(user):
    second = user.run(BIN / "toakd")
    assert (second.returncode, "already running" in second.stderr) == (75, True)
    user.systemctl("stop", "toakd.service")
    second = user.run(BIN / "toakd")
    assert (second.returncode, "systemd listens" in second.stderr) == (75, True)
    user.dictate()


def test_the_embedded_engine_works_under_the_units_own_filter(user):
    clip = min((clip for clip in clips() if clip.kind == "speech"), key=lambda clip: len(clip.pcm))
    voice = write_wav(user.home / "clip.wav", pcm=clip.pcm)
    voice.chmod(0o644)
    user.configure(extra="")
    text = user.config.read_text().replace("voice.wav", "clip.wav").replace('"scripted"', '"moonshine"')
    user.write(user.config, text)
    user.v2m("daemon", "restart", check=True)
    user.wait_state("idle")
    confined = user.run(
        "sh", "-c", 'grep -h -e Seccomp: -e NoNewPrivs: $(sed s,.*,/proc/\\&/status, "$0")', _group(user)
    )
    assert set(confined.stdout.split("\n")) - {""} == {"NoNewPrivs:\t1", "Seccomp:\t2"}
    user.toak("--start")
    user.wait_state("recording")
    wait_until(lambda: user.v2m("status").stdout, what="a moment")
    heard = _spoken(user, clip)
    assert word_error_rate([(clip.text, heard)]) < 0.3, heard


def _spoken(user, clip):
    """Wait until the recording has been played, release the key, return the text."""
    lines = user.written.count("\n")
    events = subprocess.Popen(user.argv(BIN / "v2m", "monitor"), stdout=subprocess.PIPE, text=True)
    try:
        seconds = len(clip.pcm) / 32000
        partial = 0.0
        for line in events.stdout:
            if '"level"' in line:
                partial += 0.05
            if partial > seconds:
                break
    finally:
        events.kill()
        events.wait()
        events.stdout.close()
    user.toak("--stop")
    wait_until(lambda: user.written.count("\n") > lines, what="the text")
    return user.written.splitlines()[-1]


def _group(user):
    """The file with the pids of the daemon and the worker."""
    group = user.show("ControlGroup")
    tops = ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup")
    return next(f"{top}{group}/cgroup.procs" for top in tops if user.run("test", "-e", f"{top}{group}").returncode == 0)


def test_the_journal_has_the_time_of_each_stage_and_no_word(user):
    user.dictate()
    lines = user.v2m("daemon", "logs", "-n", "200").stdout
    assert re.search(r"START \{'open': [\d.]+", lines)
    assert re.search(r"STOP after [\d.]+ s \{", lines)
    (stages, *_) = re.findall(r"confirmed by file (\{.*\}) \[dictation \d+\]", lines)
    for stage in ("open", "first_sample", "released", "transcribed", "handed_over", "delivered"):
        assert f"'{stage}': " in stages
    assert "spoken" not in user.journal("--user-unit=toakd.service")
    assert '"PRIORITY":"6"' in user.v2m("daemon", "logs", "--json").stdout.replace(" ", "")


DESKTOP = """
output HEADLESS-1 resolution 640x480 position 0,0
xwayland disable
seat seat0 fallback true
"""


@contextmanager
def compositor(user, name):
    """Run sway with a terminal in it as the user; yield the terminal's log."""
    user.write(user.home / "sway.conf", DESKTOP)
    log = user.home / f"{name}.jsonl"
    sink = (
        "foot",
        "-o",
        "colors.background=000000",
        "/usr/bin/python3",
        "-P",
        ROOT / "scripts/headless/ttysink.py",
        log,
    )
    headless = {"WLR_BACKENDS": "headless", "WLR_LIBINPUT_NO_DEVICES": "1", "WLR_RENDERER": "pixman"}
    sway = subprocess.Popen(
        user.argv("sway", "-c", user.home / "sway.conf", **headless),
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    try:
        display = wait_until(lambda: next((p.name for p in user.runtime.glob("wayland-*") if p.is_socket()), ""))
        foot = subprocess.Popen(user.argv(*sink, WAYLAND_DISPLAY=display), stderr=subprocess.DEVNULL)
        wait_until(lambda: log.exists() and "ready" in log.read_text(), what="the terminal")
        yield log
    finally:
        user.run("pkill", "-U", USER, "-x", "sway")
        sway.wait(timeout=20)
        foot.wait(timeout=20)


def _typed(log):
    chunks = re.findall(r'\[\d+, "([0-9a-f]*)"\]', log.read_text())
    return bytes.fromhex("".join(chunks)).decode()


def test_words_reach_the_compositor_that_came_later_and_the_one_after_it(user):
    text = user.config.read_text().replace('method = ["file"]', 'method = "auto"')
    user.write(user.config, text)
    user.v2m("daemon", "restart", check=True)
    assert '"wayland"' not in user.v2m("status", "--json").stdout
    for name in ("first", "second"):
        with compositor(user, name) as log:
            user.toak("--start")
            user.wait_state("recording")
            user.toak("--stop")
            wait_until(lambda: "spoken under systemd" in _typed(log), what=f"the text in the {name} compositor")


def test_confinement_by_namespaces_is_tried_and_then_holds(user):
    user.write(user.home / ".ssh" / "id", "a secret")
    elsewhere = user.home / "elsewhere"
    user.configure(extra=f'[paths]\nstate_dir = "{elsewhere}"\n')
    refused = json.loads(user.v2m("install", "--harden", "--json", check=True).stdout)["data"]
    assert refused["reason"] in (
        "this machine grants no user namespaces to services",
        "settings, models, history or audio are kept where such a unit cannot write",
    )
    user.configure()
    said = user.v2m("install", "--harden", "--json", check=True)
    found = json.loads(said.stdout)["data"]
    if not found["hardened"]:
        assert found["reason"] == "this machine grants no user namespaces to services"
        assert not (user.units / "toakd.service.d").exists()
        pytest.skip("this machine grants no user namespaces: sysctl kernel.unprivileged_userns_clone=1")
    assert found["written"] == ["toakd.service.d/hardening-ns.conf"]
    assert user.show("ProtectHome") == "read-only"
    user.toak("--start")
    user.wait_state("recording")
    assert user.v2m("stop", "--none").stdout == "spoken under systemd\n"
    assert user.v2m("last").stdout == "spoken under systemd\n", "the history is written to"
    seen = f"/proc/{user.show('MainPID')}/root{user.home}"
    assert user.run("cat", f"{seen}/.ssh/id").returncode != 0
    assert "Read-only" in user.run("touch", f"{seen}/new").stderr
    assert user.v2m("uninstall", check=True).returncode == 0
    assert not (user.units / "toakd.service.d").exists()
    user.v2m("install", check=True)


def test_uninstall_leaves_nothing_but_what_was_dictated(user):
    text = user.v2m("uninstall", check=True).stderr
    assert f"Kept {user.state}" in text
    assert "--purge" in text
    left = user.run("find", user.home / ".config", user.runtime / "v2m").stdout
    assert "toak" not in left
    assert "v2m.sock" not in left
    assert not (user.runtime / "v2m").exists()
    assert user.show("LoadState") == "not-found"
    assert user.v2m("last").returncode == 69
    assert (user.state / "history.db").exists()
    assert "Removed" in user.v2m("uninstall", "--purge", check=True).stderr
    assert not user.state.exists()
    assert not user.config.exists()
    user.v2m("install", check=True)
