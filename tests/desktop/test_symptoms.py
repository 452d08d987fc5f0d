"""The three symptoms of the document's troubleshooting page, reproduced; what the page and doctor say cures each."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

import pytest

from support.audio import write_wav
from support.daemon import ROOT, Home, listens, new_home, running_daemon, wait_until
from support.doctor import QUIET, examine, leave, mends
from support.speech import wheel_clips
from v2m.local._checks.table import CHECKS

pytestmark = [pytest.mark.desktop, pytest.mark.timeout(120)]

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")


@pytest.fixture
def home() -> Iterator[Home]:
    with new_home(**QUIET) as empty:
        yield empty
        leave(empty)


def section(title: str) -> str:
    """Return the text under a heading of the page."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found[1]


# --- the client says that the daemon is not running --------------------------------------------------------------


def test_the_client_says_that_the_daemon_is_not_running(home: Home) -> None:
    said = home.v2m("status")
    assert (said.returncode, said.stderr.partition(" (")[0]) == (69, "v2m: The daemon is not running.")
    assert "The daemon is not running" in section("The client says that the daemon is not running")
    mends(home, "daemon", "The daemon is not running.")
    assert home.v2m("status").returncode == 0


def test_the_documents_own_line_starts_it(home: Home) -> None:
    line = "python -m v2m.main --daemon"
    assert f"`{line}`" in section("The client says that the daemon is not running")
    words = [sys.executable, *shlex.split(line)[1:]]
    with subprocess.Popen(words, env=home.variables, stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        assert daemon.stdout.readline().startswith("toakd listens on")
        assert home.v2m("status").returncode == 0
        assert examine(home, "daemon")["daemon"]["verdict"] == "ok"
        daemon.terminate()
        assert daemon.wait(20) == 0


# --- the socket's path -------------------------------------------------------------------------------------------


def test_a_directory_that_is_open_to_others(home: Home) -> None:
    home.socket.parent.mkdir()
    home.socket.parent.chmod(0o777)
    refused = home.run(sys.executable, "-m", "v2m.main", "--daemon")
    assert refused.returncode == 77
    found = mends(home, "runtime-dir", f"{home.socket.parent} is open to others (mode 0777)")
    assert re.search(r"chmod 700 \S+", section("The socket's path"))
    assert found["fix"].startswith("chmod 700 ")
    with running_daemon(home):
        assert home.v2m("status").returncode == 0


def test_another_runtime_directory_than_the_daemons(home: Home) -> None:
    """A terminal whose XDG_RUNTIME_DIR is not the one of the session: su, ssh, a container."""
    other = home.folder / "other"
    other.mkdir(mode=0o700)
    with running_daemon(home):
        found = examine(home, "daemon", "second-daemon", XDG_RUNTIME_DIR=str(other))
        assert found["daemon"]["verdict"] == "fail"
        assert found["second-daemon"]["verdict"] == "warn"
        assert str(other / "v2m" / "v2m.sock") in found["second-daemon"]["evidence"]
        assert found["second-daemon"]["fix"] == f"export XDG_RUNTIME_DIR={shlex.quote(str(home.runtime))}"
        script = f"{found['second-daemon']['fix']}; exec v2m status"
        assert home.run("sh", "-c", script, env={**home.variables, "XDG_RUNTIME_DIR": str(other)}).returncode == 0
    assert "XDG_RUNTIME_DIR" in section("The socket's path")


def test_a_socket_that_a_crash_left(home: Home) -> None:
    with running_daemon(home) as daemon:
        daemon.kill()
    assert home.socket.is_socket()
    assert home.v2m("status").returncode == 69
    mends(home, "socket", "nobody listens")
    assert listens(home.socket)


# --- the first command is slow -----------------------------------------------------------------------------------


def dictate(home: Home) -> int:
    """Dictate; return how often the model has been loaded by then."""
    started = home.ask("START_RECORDING")
    assert started["status"] == "success", started
    wait_until(lambda: home.ask("GET_STATUS")["data"]["recording"]["seconds"] > 2.0, what="some words")
    assert home.ask("STOP_RECORDING", wait=True, deliver="none")["data"]["transcription"]
    return json.loads(home.v2m("status", "--json").stdout)["data"]["engine"]["loads"]


def test_a_text_that_waits_for_its_model(home: Home) -> None:
    """The real model, loaded for each recording as the settings ask for; afterwards it is kept."""
    del home.variables["V2M_TRANSCRIPTION__BACKEND"]
    spoken = write_wav(home.folder / "spoken.wav", pcm=wheel_clips()[3].pcm)
    home.variables["V2M_AUDIO__WAV_PATH"] = str(spoken)
    path = home.folder / "config" / "v2m" / "config.toml"
    path.parent.mkdir()
    path.write_text('[transcription]\nresidency = "on-record"\n')
    with running_daemon(home):
        first = dictate(home)
        assert dictate(home) == first + 1
        mends(home, "residency", "loaded anew for each recording")
        home.wait_state("idle", 60)
        first = dictate(home)
        assert dictate(home) == first == 1
    assert "`engine.loads`" in section("The first command is slow")


def test_a_daemon_that_still_loads_says_so(home: Home) -> None:
    """No hand has to do anything: it is over when the model is there."""
    home.variables["V2M_TRANSCRIPTION__SCRIPT_DELAY_S"] = "1.5"
    with running_daemon(home, ready=False):
        found = examine(home, "daemon", "engine")
        assert found["daemon"]["verdict"] == "ok"
        assert found["engine"]["verdict"] in {"ok", "warn"}
        home.wait_state("idle")
        assert examine(home, "engine")["engine"]["verdict"] == "ok"


# --- the page ----------------------------------------------------------------------------------------------------


def test_the_page_has_every_check_with_what_helps() -> None:
    rows = dict(re.findall(r"^\| .+? \| `([a-z-]+)`.*? \| (.+?) \|$", PAGE, re.MULTILINE))
    assert set(rows) == {check.id for check in CHECKS}
    assert all(rows.values())
