"""For each injected failure: doctor names it, its printed command is run as it stands, the next doctor is green."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest

from support import own_models
from support.certificates import authority
from support.daemon import BIN, ROOT, Home, new_home, running_daemon, wait_until
from support.doctor import QUIET, leave, mends
from support.file_server import file_server

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

Failure = Callable[[Home], AbstractContextManager[object]]
FAILURES: dict[str, tuple[str, str, Failure]] = {}  # name → check, what it says, how it is brought about


def failure(check: str, says: str) -> Callable[[Callable[[Home], Iterator[object]]], Failure]:
    """Register a failure by the name of its function."""

    def register(inject: Callable[[Home], Iterator[object]]) -> Failure:
        broken: Failure = contextmanager(inject)
        FAILURES[inject.__name__] = (check, says, broken)
        return broken

    return register


@pytest.fixture
def home() -> Iterator[Home]:
    with new_home(**QUIET, SSL_CERT_FILE=str(authority())) as empty:
        yield empty
        leave(empty)


# --- places ------------------------------------------------------------------------------------------------------


@failure("runtime-dir", "not a plain directory")
def linked_runtime_directory(home: Home) -> Iterator[None]:
    home.socket.parent.symlink_to(home.folder)
    yield


@failure("runtime-dir", "Others may write")
def shared_runtime_base(home: Home) -> Iterator[None]:
    home.runtime.chmod(0o777)
    yield


@failure("runtime-dir", "not absolute")
def relative_socket(home: Home) -> Iterator[None]:
    home.variables["V2M_SOCKET"] = "here.sock"
    yield


@failure("socket", "is no socket")
def foreign_file_at_the_socket(home: Home) -> Iterator[None]:
    home.socket.parent.mkdir(mode=0o700)
    home.socket.write_text("mine")
    earlier = home.socket.with_name("v2m.sock.aside")
    earlier.write_text("put there before")
    yield
    assert earlier.read_text() == "put there before"
    assert home.socket.with_name("v2m.sock.aside-2").read_text() == "mine"


@failure("socket", "Others may reach")
def socket_for_everybody(home: Home) -> Iterator[None]:
    with running_daemon(home):
        home.socket.chmod(0o666)
        yield


# --- the daemon --------------------------------------------------------------------------------------------------


@failure("daemon", "hangs or is stopped")
def stopped_daemon(home: Home) -> Iterator[None]:
    with running_daemon(home) as daemon:
        os.kill(daemon.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            if daemon.process.poll() is None:
                os.kill(daemon.pid, signal.SIGCONT)


@failure("version", "0.0.1")
def older_daemon(home: Home) -> Iterator[None]:
    """A daemon that runs on since before an update."""
    older = home.folder / "older"
    shutil.copytree(ROOT / "src", older, ignore=shutil.ignore_patterns("__pycache__"))
    (older / "v2m" / "__init__.py").write_text('__version__ = "0.0.1"\n')
    home.variables["PYTHONPATH"] = str(older)
    with running_daemon(home):
        del home.variables["PYTHONPATH"]
        yield


@failure("second-daemon", "on another socket")
def second_daemon(home: Home) -> Iterator[None]:
    """In the same home, with audio and rows of its own."""
    with new_home(**QUIET, HOME=str(home.folder)) as other, running_daemon(home), running_daemon(other):
        yield


@failure("second-daemon", "does not answer at")
def daemon_on_another_socket(home: Home) -> Iterator[None]:
    """A healthy one, which ends in order: what was heard is not cut off."""
    with new_home(**QUIET, HOME=str(home.folder), XDG_RUNTIME_DIR=str(home.runtime)) as other:
        other.variables["V2M_SOCKET"] = str(other.socket)
        other.socket.parent.mkdir(mode=0o700)
        with running_daemon(other) as daemon:
            yield
            assert daemon.process.wait(20) == 0


@failure("rivals", "voxtype")
def rival(home: Home) -> Iterator[None]:
    program = home.folder / "voxtype"
    shutil.copy(shutil.which("sleep") or "", program)
    with subprocess.Popen([program, "60"]) as running:
        yield
        assert running.wait() == -signal.SIGTERM


@failure("descriptors", "512")
def few_descriptors(home: Home) -> Iterator[None]:
    command = ["prlimit", "--nofile=512:512", sys.executable, "-m", "v2m.main", "--daemon"]
    with running_daemon(home, argv=command):
        yield


# --- settings ----------------------------------------------------------------------------------------------------


def write_config(home: Home, text: str) -> Path:
    path = home.folder / "config" / "v2m" / "config.toml"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_text(text)
    return path


@failure("config", "did you mean audio.device")
def misspelt_key(home: Home) -> Iterator[None]:
    path = write_config(home, '# mine\n[audio]\ndevise = "usb"\ntail_ms = 100\n')
    yield
    assert path.read_text() == '# mine\n[audio]\n# devise = "usb"\ntail_ms = 100\n'
    assert "\ndevise" in path.with_name("config.toml.before").read_text()


@failure("config", "line 2")
def no_toml(home: Home) -> Iterator[None]:
    write_config(home, "[audio]\ndevice = usb\n[history]\nretention_days = 3\n")
    yield


@failure("variables", "V2M_AUDIO__DEVISE")
def misspelt_variable(home: Home) -> Iterator[None]:
    home.variables["V2M_AUDIO__DEVISE"] = "usb"
    yield


@failure("variables", "V2M_AUDIO__DEVISE")
def misspelt_variable_in_a_file(home: Home) -> Iterator[None]:
    path = write_config(home, "").with_name(".env")
    path.write_text("GROQ_API_KEY=gsk_1\nV2M_AUDIO__DEVISE=usb\n")
    path.chmod(0o600)
    yield
    assert path.read_text() == "GROQ_API_KEY=gsk_1\n# V2M_AUDIO__DEVISE=usb\n"


@failure("secret-files", "Others may read")
def readable_keys(home: Home) -> Iterator[None]:
    path = write_config(home, "").with_name(".env")
    path.write_text("GROQ_API_KEY=gsk_1\n")
    path.chmod(0o644)
    yield


@failure("cloud-key", "GROQ_API_KEY is not set")
def no_key(home: Home) -> Iterator[None]:
    home.variables["V2M_TRANSCRIPTION__BACKEND"] = "openai"
    yield


@failure("gpu", "no NVIDIA GPU")
def no_gpu(home: Home) -> Iterator[None]:
    if Path("/proc/driver/nvidia/gpus").is_dir():
        pytest.skip("this machine has a GPU")
    home.variables["V2M_TRANSCRIPTION__FALLBACK"] = "whisper"
    write_config(home, '[transcription.whisper]\ndevice = "cuda"\n')
    yield


@failure("model", "lacks")
def model_folder_without_files(home: Home) -> Iterator[None]:
    del home.variables["V2M_TRANSCRIPTION__BACKEND"]
    write_config(home, f'[transcription]\nmodel_dir = "{home.folder}"\n')
    yield


@failure("model", "not whole")
def damaged_model(home: Home) -> Iterator[None]:
    """A file of a fetched model was cut; a server has it."""
    with file_server(own_models.at("/own", own_models.FILES)) as server:
        own_models.write_list(home, own_models.entry(f"{server.url}/own", own_models.FILES))
        home.variables["V2M_TRANSCRIPTION__FALLBACK"] = "whisper"
        home.variables["V2M_TRANSCRIPTION__WHISPER__MODEL"] = own_models.ID
        assert own_models.run(home, "download", own_models.ID).returncode == 0
        (own_models.store_of(home) / own_models.ID / "model.bin").write_bytes(b"cut")
        yield


# --- what is kept ------------------------------------------------------------------------------------------------


@failure("state-dir", "Others may look")
def open_state_directory(home: Home) -> Iterator[None]:
    (home.state / "v2m").mkdir(mode=0o755)
    yield


@failure("private-files", "Others may read 1 files")
def readable_history(home: Home) -> Iterator[None]:
    folder = home.state / "v2m"
    folder.mkdir(mode=0o700)
    (folder / "history.db").touch(mode=0o644)
    yield


def dictated(home: Home) -> Path:
    """Leave a history with a dictation in it."""
    with running_daemon(home):
        home.ask("START_RECORDING")
        home.ask("STOP_RECORDING", wait=True, deliver="none")
    return home.state / "v2m" / "history.db"


@failure("history", "damaged")
def damaged_history(home: Home) -> Iterator[None]:
    path = dictated(home)
    path.write_bytes(b"no database at all" * 100)
    yield
    assert list(path.parent.glob("history.db.corrupt-*"))


KILLED_WRITER = """
import os, signal, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA user_version = 99")
for _ in range(5):
    columns = "started_ns, moved_ns, phase, duration_s, raw, text, method, characters, target, engine, language"
    copied = f"{columns}, error, reason, stages"
    database.execute(f"INSERT INTO dictation ({copied}) SELECT {copied} FROM dictation LIMIT 1")
os.kill(os.getpid(), signal.SIGKILL)
"""


@failure("history", "newer v2m")
def newer_history(home: Home) -> Iterator[None]:
    """With rows that stand in its journal only, as a newer daemon that was killed leaves them."""
    path = dictated(home)
    assert home.run(sys.executable, "-c", KILLED_WRITER, path).returncode == -signal.SIGKILL
    yield
    assert not list(path.parent.glob("history.db-*"))
    with closing(sqlite3.connect(path.with_name("history.db.newer"))) as database:
        assert database.execute("SELECT count(*) FROM dictation").fetchone() == (6,)


@failure("recordings", "1 dictations that were not finished")
def interrupted_recording(home: Home) -> Iterator[None]:
    with running_daemon(home) as daemon:
        home.ask("START_RECORDING")
        wait_until(home.history, what="its row")
        daemon.kill()
    yield


# --- the installation --------------------------------------------------------------------------------------------


@failure("trigger", "not on PATH")
def trigger_that_no_hotkey_finds(home: Home) -> Iterator[None]:
    home.variables["PATH"] = f"{home.folder}/.local/bin:/usr/local/bin:/usr/bin:/bin"
    yield
    assert (home.folder / ".local/bin/toak").resolve() == (BIN / "toak").resolve()


# --- the test ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAILURES)
def test_the_printed_command_mends_it(home: Home, name: str) -> None:
    check, says, broken = FAILURES[name]
    with broken(home):
        mends(home, check, says)


def test_there_are_enough_of_them() -> None:
    assert len(FAILURES) >= 15
