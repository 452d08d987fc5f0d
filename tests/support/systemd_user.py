"""A real systemd user manager of an ordinary user, with a journal, and the project's units in it.

It lives in namespaces of its own (scripts/headless/user-systemd.sh), which every command enters.
"""

import grp
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.audio import write_wav
from support.daemon import BIN, ROOT, wait_until

SCRIPT = ROOT / "scripts" / "headless" / "user-systemd.sh"
USER = os.environ.get("V2M_DESK_USER", "v2mdesk")
# One spoken text from a file, one in a file: nothing of the shell reaches a service, so it is settings.
SETTINGS = """
[audio]
backend = "wav"
wav_path = "{home}/voice.wav"
min_recording_ms = 1
[transcription]
backend = "scripted"
script = ["spoken under systemd"]
[output]
method = ["file"]
file = "{home}/written"
[notifications]
enabled = false
"""


class UserSystemd:
    """A running user manager; `home` is its user's, seen from here too."""

    def __init__(self, home: Path, init: int) -> None:
        self.home = home
        self.runtime = home / "run"  # as seen from here; in there it is where it is on every machine
        self.config = home / ".config" / "v2m" / "config.toml"
        self.units = home / ".config" / "systemd" / "user"
        self.state = home / ".local" / "state" / "v2m"
        self.socket = self.runtime / "v2m" / "v2m.sock"
        user = pwd.getpwnam(USER)
        self._enter = ["nsenter", "-t", str(init), "-m", "-p", "--", "setpriv", f"--reuid={user.pw_uid}"]
        self._enter += [f"--regid={user.pw_gid}", f"--groups={grp.getgrnam('systemd-journal').gr_gid}"]
        self.variables = {
            "HOME": str(home),
            "USER": USER,
            "LANG": "C.UTF-8",
            "PATH": f"{BIN}:/usr/local/bin:/usr/bin:/bin",
            "XDG_RUNTIME_DIR": f"/run/user/{user.pw_uid}",
        }

    def argv(self, *words: object, **variables: str) -> list[str]:
        """Return the command line that runs a command there as its user."""
        environment = [f"{key}={value}" for key, value in {**self.variables, **variables}.items()]
        return [*self._enter, "env", "-C", "/", "-i", *environment, *map(str, words)]

    def run(self, *words: object, timeout_s: float = 40.0, check: bool = False, **variables: str):
        done = subprocess.run(self.argv(*words, **variables), capture_output=True, text=True, timeout=timeout_s)
        assert not check or done.returncode == 0, f"{words}: {done.stdout}{done.stderr}{self.journal()}"
        return done

    def v2m(self, *words: object, **options):
        return self.run(BIN / "v2m", *words, **options)

    def toak(self, *words: object):
        return self.run(BIN / "toak", *words)

    def systemctl(self, *words: object, check: bool = True) -> str:
        return self.run("systemctl", "--user", "--no-pager", *words, check=check).stdout.strip()

    def show(self, name: str, unit: str = "toakd.service") -> str:
        return self.systemctl("show", unit, f"--property={name}", "--value")

    def wait_shown(self, name: str, value: str, unit: str = "toakd.service", timeout_s: float = 20.0) -> None:
        try:
            wait_until(lambda: self.show(name, unit) == value, timeout_s, f"{unit} {name}={value}")
        except TimeoutError as error:
            raise AssertionError(f"{error}: {self.show(name, unit)}\n{self.journal()}") from error

    def journal(self, *words: str) -> str:
        return self.run("journalctl", "--no-pager", "-q", *(words or ("-n", "60"))).stdout

    def write(self, path: Path, text: str) -> None:
        """Write a file as the user, whose folders are closed."""
        user = pwd.getpwnam(USER)
        for folder in (*reversed(path.parents), path.parent):
            if self.home in folder.parents and not folder.exists():
                folder.mkdir(mode=0o700)
                os.chown(folder, user.pw_uid, user.pw_gid)
        path.write_text(text)
        os.chown(path, user.pw_uid, user.pw_gid)

    def configure(self, **tables: str) -> None:
        """Write the settings; `extra` is appended."""
        self.write(self.config, SETTINGS.format(home=self.home) + tables.get("extra", ""))

    def drop_in(self, text: str) -> None:
        """Change the service for a test."""
        self.write(self.units / "toakd.service.d" / "test.conf", text)
        self.systemctl("daemon-reload")

    def doing(self) -> str:
        """What the daemon does; asking starts it where systemd listens for it."""
        answer = self.toak("--status").stdout  # some milliseconds; empty while it starts
        return json.loads(answer)["data"]["state"] if answer else "starting"

    def wait_state(self, state: str) -> None:
        wait_until(lambda: self.doing() == state, what=f"state {state}")

    def dictate(self) -> None:
        """Press the key, release it, and wait for the text."""
        lines = self.written.count("\n")
        assert self.toak("--start").returncode == 0
        self.wait_state("recording")
        assert self.toak("--stop").returncode == 0
        wait_until(lambda: self.written.count("\n") == lines + 1, what="the text")

    @property
    def written(self) -> str:
        """What was dictated so far."""
        file = self.home / "written"
        return file.read_text() if file.exists() else ""


@contextmanager
def running_user_systemd():
    """Start a user manager and end it with all that it started; skips where nobody may."""
    _refuse_the_impossible()
    # not in /tmp: units get another one
    home = Path(tempfile.mkdtemp(prefix="v2m-", dir="/home"))
    shutil.chown(home, USER)
    ours = sorted({sys.base_prefix, sys.prefix, str(ROOT)})
    process = subprocess.Popen([SCRIPT, home, USER, *ours], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "running\n"
        (unshared,) = _children(process.pid)
        (init,) = _children(unshared)
        user = UserSystemd(home, init)
        if (reached := user.run(sys.executable, "-c", "import v2m")).returncode:
            pytest.skip(f"another user cannot run this Python: chmod -R o+rX it ({reached.stderr.strip()[-200:]})")
        shutil.chown(write_wav(home / "voice.wav"), USER)
        user.configure()
        yield user
    finally:
        process.stdin.close()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            for pid in _children(process.pid):
                os.kill(pid, 9)
            process.wait()
        process.stdout.close()
        shutil.rmtree(home)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _refuse_the_impossible() -> None:
    if os.getuid() != 0:
        pytest.skip("a user manager of its own needs root; runs in CI")
    if not Path("/lib/systemd/systemd").exists():
        pytest.skip("systemd is missing: apt install systemd")
    try:
        pwd.getpwnam(USER)
    except KeyError:
        subprocess.run(["useradd", "--create-home", "--shell", "/bin/bash", USER], check=True)
