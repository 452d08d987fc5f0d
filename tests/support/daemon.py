"""A real daemon in a private home, and the real programs that talk to it."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from support.audio import write_wav

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
TOAK = BIN / "toak"
HOME_PREFIX = "v2m h."  # and the pid of the test run


def wait_until(condition, timeout_s=20.0, what="it"):
    """Return the first true value of `condition()`; fail after the deadline."""
    end = time.monotonic() + timeout_s
    while True:
        if value := condition():
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"timed out waiting for {what}")
        time.sleep(0.01)


class Home:
    """An empty home with its own runtime directory; `variables` is the whole environment of a process in it."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        self.runtime = folder / "run"
        self.state = folder / "state"
        for path in (self.runtime, self.state, folder / "config"):
            path.mkdir(mode=0o700, exist_ok=True)
        self.variables = {
            "HOME": str(folder),
            "PATH": f"{BIN}:/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "XDG_RUNTIME_DIR": str(self.runtime),
            "XDG_STATE_HOME": str(self.state),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_DATA_HOME": str(folder / "data"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={self.runtime}/bus",
            "V2M_NOTIFICATIONS__ENABLED": "false",
            "V2M_AUDIO__WAV_PATH": str(write_wav(folder / "voice.wav")),
            **variables,
        }

    @property
    def socket(self) -> Path:
        return self.runtime / "v2m" / "v2m.sock"

    @property
    def spools(self) -> list[Path]:
        """Audio files of dictations (the spare one for the next is not counted)."""
        return sorted((self.state / "v2m" / "spool").glob("dictation-*"))

    def run(self, *argv, **kwargs) -> subprocess.CompletedProcess:
        options = {"capture_output": True, "text": True, "timeout": 60, "env": self.variables}
        return subprocess.run([str(word) for word in argv], **{**options, **kwargs})

    def v2m(self, *words, **kwargs) -> subprocess.CompletedProcess:
        """Run the client."""
        return self.run(BIN / "v2m", *words, **kwargs)

    def toak(self, *words, **kwargs) -> subprocess.CompletedProcess:
        """Run the trigger."""
        return self.run(TOAK, *words, **kwargs)

    def ask(self, cmd: str, **data) -> dict:
        """Send one raw frame and return the whole envelope."""
        return ask(self.socket, {"cmd": cmd, "data": data})

    def state_now(self) -> str:
        return self.ask("PING")["data"]["state"]

    def wait_state(self, state: str, timeout_s: float = 20.0) -> None:
        wait_until(lambda: self.state_now() == state, timeout_s, f"state {state}")

    def history(self) -> list[dict]:
        return self.ask("LIST_HISTORY", limit=1000)["data"]["entries"]


def frame(payload: dict) -> bytes:
    body = json.dumps(payload).encode()
    return len(body).to_bytes(4, "big") + body


def read_frame(peer: socket.socket) -> dict:
    """Read one frame; EOFError when the connection ends first."""
    length = int.from_bytes(read_exactly(peer, 4), "big")
    return json.loads(read_exactly(peer, length))


def read_exactly(peer: socket.socket, wanted: int) -> bytes:
    """Read so many bytes; EOFError when the connection ends first."""
    data = b""
    while len(data) < wanted:
        got = peer.recv(wanted - len(data))
        if not got:
            raise EOFError(data)
        data += got
    return data


def connect(path: Path, timeout_s: float = 30.0) -> socket.socket:
    """Connect; a full backlog is waited for."""
    deadline = time.monotonic() + timeout_s
    while True:
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        peer.settimeout(timeout_s)
        try:
            peer.connect(str(path))
        except BlockingIOError:
            peer.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.001)
        except OSError:
            peer.close()
            raise
        else:
            return peer


def listens(path: Path) -> bool:
    """Whether somebody accepts connections there."""
    try:
        connect(path).close()
    except OSError:
        return False
    return True


def ask(path: Path, payload: dict, timeout_s: float = 30.0) -> dict:
    with connect(path, timeout_s) as peer:
        peer.sendall(frame(payload))
        return read_frame(peer)


@contextmanager
def new_home(**variables: str):
    """An empty home in a short path (socket addresses end at 107 bytes); a daemon that lives on in it is ended."""
    with tempfile.TemporaryDirectory(prefix=f"{HOME_PREFIX}{os.getpid()}.") as folder:
        home = Home(Path(folder), **variables)
        try:
            yield home
        finally:
            end_daemons(home.folder)


def end_daemons(folder: Path) -> None:
    """Kill what was started with this home, in sessions of its own, and is still there."""
    mark = b"HOME=" + os.fsencode(folder)
    for lock in folder.glob("**/lock"):  # beside each socket and each history; it holds its daemon's pid
        with contextlib.suppress(OSError, ValueError):
            pid = int(lock.read_text())
            if mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                os.kill(pid, signal.SIGKILL)
                wait_until(lambda pid=pid: not alive(pid), what=f"the end of {pid}")


def sweep_homes() -> None:
    """Take away the homes of test runs that were killed, and what lives on in them."""
    for folder in Path(tempfile.gettempdir()).glob(f"{HOME_PREFIX}*.*"):
        owner = folder.name.removeprefix(HOME_PREFIX).partition(".")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            end_daemons(folder)
            shutil.rmtree(folder, ignore_errors=True)


class Daemon:
    """A running `toakd`."""

    def __init__(self, home: Home, process: subprocess.Popen) -> None:
        self.home = home
        self.process = process
        self.pid = process.pid

    @property
    def log(self) -> str:
        return (self.home.folder / "toakd.log").read_text()

    def worker_pid(self) -> int:
        """The engine's process: the child that runs v2m.worker."""

        def find():
            for child in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
                if b"v2m.worker" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
            return None

        return wait_until(find, what="the worker")

    def kill(self) -> None:
        """As a crash would end it."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """As systemd and Ctrl-C end it; return the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)


@contextmanager
def running_daemon(home: Home, *arguments: str, ready: bool = True, argv=None):
    """Start the daemon and end it; `ready` waits until it is idle."""
    command = argv or [sys.executable, "-m", "v2m.main", "--daemon"]
    with (home.folder / "toakd.log").open("ab") as log:
        process = subprocess.Popen(
            [*map(str, command), *arguments], env=home.variables, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    daemon = Daemon(home, process)
    try:
        wait_until(lambda: listens(home.socket) or process.poll() is not None, what="the socket")
        if process.poll() is not None:
            raise AssertionError(f"toakd ended with {process.returncode}: {daemon.log}")
        if ready:
            home.wait_state("idle", 60)
        yield daemon
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def descendants(pid: int) -> list[int]:
    """Pids of all living descendants."""
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found += [int(child), *descendants(int(child))]
    return found


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
