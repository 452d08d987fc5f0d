"""`v2m status`: once, with the figures of the process, and followed by bars through restarts of the daemon."""

import json
import os
import signal
import subprocess
import time
import tomllib
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise

import pytest

from support.daemon import BIN, ROOT, new_home, running_daemon, wait_until
from v2m.infrastructure.desktop.telemetry import ProcGauges

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

SCRIPTED = {
    "V2M_AUDIO__BACKEND": "wav",
    "V2M_TRANSCRIPTION__BACKEND": "scripted",
    "V2M_TRANSCRIPTION__SCRIPT": '["hello"]',
}
FIGURES = {"daemon", "workers", "power", "gpu_busy_percent", "dictations_today"}


@pytest.fixture
def home():
    with new_home(**SCRIPTED) as home:
        yield home


def dictate(home):
    home.ask("START_RECORDING")
    wait_until(lambda: home.ask("GET_STATUS")["data"]["recording"]["seconds"] > 0.4, what="some speech")
    home.ask("STOP_RECORDING", deliver="none", wait=True)


@contextmanager
def followed(home, *words):
    """Run `v2m status --follow`; yields what reads its next line."""
    command = [BIN / "v2m", "status", "--follow", *words]
    process = subprocess.Popen(command, env=home.variables, stdout=subprocess.PIPE, text=True)
    try:
        yield lambda: process.stdout.readline().rstrip("\n")
    finally:
        process.send_signal(signal.SIGTERM)
        process.stdout.close()
        process.wait(10)


@pytest.mark.parametrize("words", [("status", "--follow"), ("monitor",)], ids=lambda words: words[0])
def test_what_follows_ends_with_the_program_that_reads_it(home, words):
    with running_daemon(home):
        process = subprocess.Popen([BIN / "v2m", *words], env=home.variables, stdout=subprocess.PIPE)
        try:
            assert process.stdout.readline()
            process.stdout.close()
            assert process.wait(10) == 141
        finally:
            process.kill()
            process.wait()


def test_json_gives_state_since_engine_and_queue(home):
    with running_daemon(home):
        before = time.time()
        dictate(home)
        data = json.loads(home.v2m("status", "--json").stdout)["data"]
        assert (data["state"], data["queue"], data["engine"]["name"]) == ("idle", 0, "scripted")
        assert before <= data["since"] <= time.time()
        said = home.v2m("status").stdout
        assert "idle, since " + datetime.fromtimestamp(data["since"]).strftime("%Y-%m-%d") in said  # noqa: DTZ006 - local
        assert "scripted" in said
    done = home.v2m("status", "--json")
    assert done.returncode == 69
    assert json.loads(done.stdout)["data"]["state"] is None


def test_a_bar_follows_every_change_and_a_restart_of_the_daemon(home):
    def kinds(line):
        return json.loads(line)["class"]

    with followed(home, "--format", "waybar") as line:
        assert kinds(line()) == ["off"]
        with running_daemon(home, ready=False) as daemon:
            while kinds(line()) != ["idle"]:
                pass
            home.ask("START_RECORDING")
            assert json.loads(line()) == {
                "text": "● rec",
                "alt": "recording",
                "class": ["recording"],
                "tooltip": "v2m: recording\nv2m: engine: scripted",
            }
            wait_until(lambda: home.ask("GET_STATUS")["data"]["recording"]["seconds"] > 0.4, what="some speech")
            home.ask("STOP_RECORDING", deliver="none")
            while (kind := kinds(line())) != ["idle"]:
                assert kind[0] in ("transcribing", "delivering", "refining")
            daemon.kill()
            off = json.loads(line())
            assert (off["alt"], off["text"]) == ("off", "off")
            assert "v2m daemon start" in off["tooltip"]
        with running_daemon(home):
            while kinds(line()) != ["idle"]:
                pass


def test_text_and_json_are_lines_too(home):
    with running_daemon(home), followed(home) as text, followed(home, "--format", "json") as form:
        assert text() == "idle"
        first = json.loads(form())
        assert (first["state"], first["queue"], first["engine"], first["degraded"]) == ("idle", 0, "scripted", {})
        home.ask("START_RECORDING")
        assert text() == "recording"
        after = json.loads(form())
        assert after["state"] == "recording"
        assert after["since"] >= first["since"]


def test_a_weaker_promise_shows_and_no_markup_gets_into_the_tooltip(home):
    from v2m.ui.status import _LINES, _after

    now = _after({}, {"event": "snapshot", "data": {"state": "idle", "since": 1.0, "queue": 2, "degraded": {}}})
    now = _after(now, {"event": "degraded", "data": {"what": "storage", "detail": "<b>full</b> & slow\n\x1b[0m"}})
    shown = json.loads(_LINES["waybar"](now))
    assert shown["class"] == ["idle", "degraded"]
    assert shown["tooltip"].splitlines()[1] == "v2m: degraded: storage: &lt;b&gt;full&lt;/b&gt; &amp; slow  [0m"
    assert _LINES["text"](now) == "idle, 2 on their way"
    now = _after(now, {"event": "degraded", "data": {"what": "storage", "detail": ""}})
    assert json.loads(_LINES["waybar"](now))["class"] == ["idle"]


def test_monitor_prints_one_line_of_json_per_change(home):
    with running_daemon(home):
        command = [BIN / "v2m", "monitor", "--event", "state_changed"]
        monitor = subprocess.Popen(command, env=home.variables, stdout=subprocess.PIPE, text=True)
        assert json.loads(monitor.stdout.readline())["event"] == "snapshot"
        dictate(home)
        states = []
        while states[-1:] != ["idle"]:
            event = json.loads(monitor.stdout.readline())
            assert event["event"] == "state_changed"
            states.append(event["data"]["state"])
        assert states[0] == "recording"
        assert all(one != other for one, other in pairwise(states)), states
    assert monitor.wait(10) == 69
    monitor.stdout.close()


def test_a_format_without_follow_is_a_mistake(home):
    done = home.v2m("status", "--format", "waybar")
    assert (done.returncode, done.stdout) == (64, "")
    assert "v2m status --follow --format waybar" in done.stderr
    assert home.v2m("status", "--follow", "--format", "xml").returncode == 64


# --- telemetry ---


def test_telemetry_is_told_only_if_it_is_asked_for(home):
    with running_daemon(home) as daemon:
        assert "telemetry" not in home.ask("GET_STATUS")["data"]
        dictate(home)
        dictate(home)
        figures = home.ask("GET_STATUS", telemetry=True)["data"]["telemetry"]
        assert figures.keys() == FIGURES
        assert figures["daemon"]["pid"] == daemon.pid
        assert [worker["pid"] for worker in figures["workers"]] == [daemon.worker_pid()]
        for process in (figures["daemon"], *figures["workers"]):
            assert 1 << 20 < process["rss_bytes"] < 1 << 30
            assert 0 < process["cpu_s"] < 60
            assert 0 < process["uptime_s"] < 90
        assert figures["dictations_today"] == 2
        said = home.v2m("status", "--telemetry").stdout
        assert f"pid {daemon.pid}" in said
        assert "2 dictations" in said
        assert home.ask("GET_STATUS", telemetry="much")["error"]["code"] == "bad_request"


@pytest.mark.parametrize(
    ("files", "power", "gpu"),
    [
        ({}, (None, None), None),
        ({"AC/type": "Mains", "AC/online": "1", "BAT0/type": "Battery", "BAT0/capacity": "87"}, (True, 87), None),
        ({"AC/type": "Mains", "AC/online": "0", "BAT0/type": "Battery", "BAT0/capacity": "9"}, (False, 9), None),
        ({"mouse/type": "Battery", "mouse/scope": "Device", "mouse/capacity": "3"}, (None, None), None),
        ({"BAT0/type": "Battery", "BAT0/capacity": "unknown", "AC/type": "Mains"}, (None, None), None),
        ({"card0": "42 active"}, (None, None), 42),
        ({"card0": "42 suspended"}, (None, None), None),
    ],
)
def test_power_and_graphics_are_read_where_the_kernel_shows_them(tmp_path, files, power, gpu):
    for name, text in files.items():
        if name.startswith("card"):
            busy, status = text.split()
            device = tmp_path / "sys/class/drm" / name / "device"
            (device / "power").mkdir(parents=True)
            (device / "power/runtime_status").write_text(status)
            (device / "gpu_busy_percent").write_text(busy + "\n")
            continue
        path = tmp_path / "sys/class/power_supply" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    figures = ProcGauges(root=tmp_path).read()
    assert (figures["power"]["plugged_in"], figures["power"]["battery_percent"]) == power
    assert figures["gpu_busy_percent"] == gpu
    assert figures["daemon"]["pid"] == os.getpid()


# --- the page about bars ---


def test_the_page_for_bars_holds_what_bars_read(home):
    page = (ROOT / "docs/status-bar.md").read_text()
    blocks = {kind: text for kind, _, text in (part.partition("\n") for part in page.split("```")[1::2])}
    waybar = json.loads(blocks["json"])["custom/v2m"]
    assert waybar["return-type"] == "json"
    with running_daemon(home):
        for command in (waybar["exec"], ini(blocks["ini"])["command"]):
            words = command.split()
            assert words[0] == "v2m"
            process = subprocess.Popen([BIN / "v2m", *words[1:]], env=home.variables, stdout=subprocess.PIPE, text=True)
            assert "idle" in process.stdout.readline()
            process.terminate()
            process.stdout.close()
            process.wait(10)
        clicked = subprocess.run([BIN / waybar["on-click"].split()[0], "--toggle"], env=home.variables, check=False)
        assert clicked.returncode == 0
        home.wait_state("recording")
    states = {*waybar["format-icons"]}
    assert states >= {"off", "idle", "recording", "transcribing", "delivering", "paused", "warming"}


def ini(text):
    """Return the first table of a simple configuration file."""
    lines = [line for line in text.splitlines() if "=" in line]
    return tomllib.loads(
        "\n".join(f"{name.strip()} = {json.dumps(value)}" for name, _, value in (each.partition("=") for each in lines))
    )
