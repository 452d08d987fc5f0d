"""The units' text, and the daemon's life where no systemd looks after it."""

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from support.daemon import BIN, HOME_PREFIX, Home, alive, new_home, sweep_homes, wait_until
from v2m.domain.errors import AlreadyRunningError, ConfigError
from v2m.infrastructure.service.lock import held_lock
from v2m.infrastructure.service.units import quoted, toakd_command, unit_texts
from v2m.local._daemon_ways import Found
from v2m.local.daemon import _told

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

SCRIPTED = {
    "V2M_AUDIO__BACKEND": "wav",
    "V2M_AUDIO__MIN_RECORDING_MS": "1",
    "V2M_TRANSCRIPTION__BACKEND": "scripted",
    "V2M_TRANSCRIPTION__SCRIPT": '["spoken without systemd"]',
    "V2M_OUTPUT__METHOD": "clipboard",
}


@pytest.fixture
def home():
    with new_home(**SCRIPTED) as made:
        yield made


def found(home) -> dict:
    return json.loads(home.v2m("daemon", "status", "--json").stdout)["data"]


# --- the text ---------------------------------------------------------------------------------------------


def test_the_text_is_the_same_whatever_environment_installs(home, tmp_path):
    plain = home.v2m("install", "--print").stdout
    odd = {"PATH": "/usr/bin", "VIRTUAL_ENV": "/elsewhere", "XDG_DATA_HOME": str(tmp_path), "V2M_SOCKET": "/x/y.sock"}
    other = home.v2m("install", "--print", cwd=tmp_path, env={**home.variables, **odd, "DISPLAY": ":7", "LANG": "C"})
    assert (other.returncode, other.stdout) == (0, plain)
    assert f"ExecStart={BIN / 'toakd'}\n" in plain
    assert str(home.folder) not in plain
    assert "hardening" not in plain
    assert "ProtectHome=read-only" in home.v2m("install", "--print", "--harden").stdout


def verified(home, *units) -> subprocess.CompletedProcess:
    return home.run("systemd-analyze", "--user", "verify", *units)


@pytest.mark.parametrize("folder", ["plain", "two words", "100%h", "a;b", "münchen"])
def test_systemd_understands_every_path(home, tmp_path, folder):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is missing: apt install systemd")
    program = tmp_path / folder / "toakd"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    files = []
    for name, text in unit_texts([str(program)]).items():
        files.append(tmp_path / name)
        files[-1].write_text(text)
    checked = verified(home, *files)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    program.chmod(0o644)
    checked = verified(home, *files)
    assert f"{program} is not executable" in checked.stderr, "systemd has read this very path"


@pytest.mark.parametrize("path", ["/a\nb", '/a"b', "/a'b", "/a\\b"])
def test_a_path_that_no_unit_can_name_is_refused(path):
    with pytest.raises(ConfigError, match="systemd cannot start"):
        quoted(path)


def test_the_command_is_the_one_beside_this_interpreter():
    assert toakd_command() == [str(BIN / "toakd")]
    assert os.access(toakd_command()[0], os.X_OK)


# --- without systemd --------------------------------------------------------------------------------------


def test_without_systemd_nothing_is_installed_and_the_way_to_start_is_named(home):
    refused = home.v2m("install")
    assert (refused.returncode, "v2m daemon start" in refused.stderr) == (69, True)
    assert list((home.folder / "config").iterdir()) == []


def test_uninstalling_what_was_never_installed_is_no_error(home):
    done = home.v2m("uninstall")
    assert (done.returncode, "Nothing was installed." in done.stderr) == (0, True)


def test_uninstalling_takes_away_no_lock_that_is_held_and_no_socket_behind_it(home):
    runtime = home.runtime / "v2m"
    runtime.mkdir(mode=0o700)
    home.socket.touch()
    with held_lock(runtime / "lock"):
        assert home.v2m("uninstall").returncode == 0
        assert {path.name for path in runtime.iterdir()} == {"lock", "v2m.sock"}
    assert home.v2m("uninstall").returncode == 0
    assert not runtime.exists()


def test_a_lock_that_was_taken_away_meanwhile_locks_nobody_out_of_the_new_one(tmp_path, monkeypatch):
    path, way = tmp_path / "lock", os.open

    def too_late(name, *flags):
        """Open what its holder takes away before it is locked."""
        monkeypatch.undo()
        fd = way(name, *flags)
        path.unlink()
        return fd

    monkeypatch.setattr(os, "open", too_late)
    with held_lock(path):
        assert path.read_text() == f"{os.getpid()}\n"
        with pytest.raises(AlreadyRunningError), held_lock(path):
            pass


def test_of_several_starts_at_once_each_is_a_success(home):
    words = [BIN / "v2m", "daemon", "start"]
    for _ in range(2):
        starts = [subprocess.Popen(words, env=home.variables, stderr=subprocess.PIPE, text=True) for _ in range(4)]
        said = [start.communicate(timeout=40)[1] for start in starts]
        assert [start.returncode for start in starts] == [0] * 4, said
        assert found(home)["running"]
        assert home.v2m("daemon", "stop").returncode == 0


def test_a_daemon_without_systemd_lives_and_ends(home):
    assert home.v2m("daemon", "status").returncode == 69
    assert home.v2m("daemon", "logs").returncode == 69
    assert home.v2m("daemon", "start").returncode == 0
    first = found(home)
    assert (first["running"], first["manager"], alive(first["pid"])) == (True, "none", True)
    assert os.getsid(first["pid"]) == first["pid"], "closing the terminal does not end it"
    assert home.v2m("daemon", "start").returncode == 0
    assert found(home)["pid"] == first["pid"], "a second start leaves it alone"
    log = home.state / "v2m" / "toakd.log"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert "listens on" in home.v2m("daemon", "logs").stdout
    assert home.v2m("daemon", "restart").returncode == 0
    second = found(home)
    assert second["pid"] != first["pid"]
    wait_until(lambda: not alive(first["pid"]), what="the end of the first")
    stopped = home.v2m("daemon", "stop", "--json")
    assert (stopped.returncode, json.loads(stopped.stdout)["data"]["running"]) == (0, False)
    wait_until(lambda: not alive(second["pid"]), what="the end of the second")
    assert home.v2m("daemon", "stop").returncode == 0, "twice is harmless"


def test_a_daemon_that_still_loads_is_said_to_obey_keys():
    loading = Found(running=True, manager="none", pid=17, state="warming", version="1")
    assert _told(loading)[1] == "toakd 1 runs without systemd (pid 17): ready for keys, the speech engine loads"


def test_no_daemon_outlives_its_home_nor_a_killed_test_run():
    with new_home(**SCRIPTED) as home:
        assert home.v2m("daemon", "start").returncode == 0
        first = found(home)["pid"]
    assert not alive(first)
    ended = subprocess.run(["/bin/sh", "-c", "echo $$"], capture_output=True, text=True, check=True).stdout.strip()
    left = Home(Path(tempfile.mkdtemp(prefix=f"{HOME_PREFIX}{ended}.")), **SCRIPTED)
    assert left.v2m("daemon", "start").returncode == 0
    second = found(left)["pid"]
    sweep_homes()
    assert (alive(second), left.folder.exists()) == (False, False)


def test_a_daemon_that_cannot_start_says_why(home):
    refused = home.v2m("daemon", "start", env={**home.variables, "V2M_AUDIO__BACKEND": "gramophone"})
    assert refused.returncode != 0
    assert "gramophone" in refused.stderr


def test_logs_are_followed(home):
    assert home.v2m("daemon", "start").returncode == 0
    argv = [str(BIN / "v2m"), "daemon", "logs", "-n", "1", "-f"]
    with subprocess.Popen(argv, env=home.variables, stdout=subprocess.PIPE, text=True) as following:
        following.stdout.readline()
        home.v2m("start")
        home.v2m("stop", "--none")
        said = []
        for line in following.stdout:
            said.append(line)
            if "STOP after" in line:
                break
        following.kill()
    assert any("START" in line for line in said)


ROTATE = """
import logging, sys, pathlib
from v2m.infrastructure.service.log_file import LogFile
logging.getLogger().addHandler(LogFile(pathlib.Path(sys.argv[1]), limit_bytes=1000))
logging.getLogger().addHandler(logging.StreamHandler())
for number in range(100):
    logging.warning("line %d %s", number, "x" * 40)
"""


def test_a_log_does_not_grow_for_ever(tmp_path):
    log = tmp_path / "new" / "toakd.log"
    subprocess.run([sys.executable, "-c", ROTATE, log], check=True, timeout=50)
    files = sorted(log.parent.iterdir())
    assert [file.name for file in files] == ["toakd.log", "toakd.log.1"]
    assert all(file.stat().st_size < 1200 and stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)
    assert log.read_text().splitlines()[-1].startswith("line 99 ")


def test_a_log_is_not_written_through_a_link(home, tmp_path):
    (tmp_path / "log").symlink_to(tmp_path / "target")
    refused = home.run(BIN / "toakd", "--log-file", tmp_path / "log")
    assert (refused.returncode, (tmp_path / "target").exists()) == (77, False)
