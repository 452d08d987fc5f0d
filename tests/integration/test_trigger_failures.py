"""A press that the daemon cannot take: an exit code, one line, a notification, never a hang."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from support.trigger import PATIENCE_S, RUNGS, build_trigger, listening, received, run_toak, runtime_dir, tool

pytestmark = pytest.mark.integration

ABSENT = "toak: the daemon is not running; start it with: toakd\n"
BUSY = "toak: the daemon does not answer\n"
FOREIGN = "toak: the daemon's socket belongs to somebody else\n"
NOBODY = 65534
ROOT_USER = os.geteuid() == 0


@pytest.fixture(scope="module", params=RUNGS)
def toak(request, tmp_path_factory):
    return build_trigger(request.param, tmp_path_factory.mktemp("toak"))


@pytest.fixture
def folder():
    with runtime_dir() as path:
        yield path


def nothing_there(path: Path) -> None:
    """Leave the path as it is."""


def stale_socket(path: Path) -> None:
    """Leave what a killed daemon leaves."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(os.fspath(path))


def plain_file(path: Path) -> None:
    """Put something there that is no socket."""
    path.write_text("no socket")


def file_for_a_directory(path: Path) -> None:
    """Let the directory of the socket be a file."""
    path.parent.rmdir()
    path.parent.write_text("no directory")


@pytest.mark.parametrize("arrange", [nothing_there, stale_socket, plain_file, file_for_a_directory])
def test_without_a_daemon_one_line_names_the_start_command(toak, folder, arrange):
    path = folder / "v2m" / "v2m.sock"
    path.parent.mkdir()
    arrange(path)
    for words in (["--start"], ["--status"], ["--stop", "--wait"]):
        done = run_toak(toak, *words, env={"XDG_RUNTIME_DIR": str(folder)})
        assert (done.returncode, done.stdout, done.stderr) == (69, "", ABSENT)


def test_a_socket_of_another_kind_is_reported(toak, folder):
    path = folder / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(os.fspath(path))
        done = run_toak(toak, "--start", env={"V2M_SOCKET": str(path)})
    assert (done.returncode, done.stderr) == (70, "toak: cannot connect to the daemon\n")


def test_a_socket_in_somebody_elses_directory_is_a_matter_of_permission(toak, folder):
    path = folder / "v2m" / "v2m.sock"
    powerless = []
    with listening(path):
        if ROOT_USER:  # without root's power over file permissions, in a directory of another user
            os.chown(path.parent, NOBODY, NOBODY)
            powerless = [
                tool("setpriv", "util-linux"),
                "--inh-caps=-all",
                "--bounding-set=-dac_override,-dac_read_search",
            ]
        else:
            path.parent.chmod(0)
        done = run_toak([*powerless, *toak], "--start", env={"V2M_SOCKET": str(path)})
        path.parent.chmod(0o700)
    assert (done.returncode, done.stderr) == (77, FOREIGN)


def test_another_user_cannot_reach_the_daemon(folder):
    command = build_trigger("freestanding", folder)
    folder.chmod(0o755)
    path = folder / "v2m" / "v2m.sock"
    other = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    as_other = [tool("setpriv", "util-linux"), *other] if ROOT_USER else []
    with listening(path):
        path.parent.chmod(0o700 if ROOT_USER else 0)  # only root can become somebody else
        done = run_toak([*as_other, *command], "--start", env={"V2M_SOCKET": str(path)})
        path.parent.chmod(0o700)
    assert (done.returncode, done.stderr) == (77, FOREIGN)


def test_a_full_queue_of_a_stopped_daemon_is_given_up(toak, folder):
    path = folder / "s"
    with listening(path, backlog=0), socket.socket(socket.AF_UNIX) as waiting:
        waiting.connect(os.fspath(path))
        done = run_toak(toak, "--stop", env={"V2M_SOCKET": str(path)})
    assert (done.returncode, done.stderr) == (75, BUSY)


def test_a_stopped_daemon_with_room_gets_the_byte_when_it_goes_on(toak, folder):
    path = folder / "s"
    server = (
        "import socket, sys\n"
        "listener = socket.socket(socket.AF_UNIX); listener.bind(sys.argv[1]); listener.listen()\n"
        "print('ready', flush=True)\n"
        "connection, _ = listener.accept(); print(connection.recv(64).hex(), flush=True)\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", server, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout.readline() == "ready\n"
        daemon.send_signal(signal.SIGSTOP)
        os.waitpid(daemon.pid, os.WUNTRACED)
        done = run_toak(toak, "--stop", env={"V2M_SOCKET": str(path)})
        assert (done.returncode, done.stderr) == (0, "")
        daemon.send_signal(signal.SIGCONT)
        assert daemon.communicate(timeout=PATIENCE_S)[0] == "02\n"


def test_no_file_descriptor_left_is_no_hang(folder):
    limited = [tool("prlimit", "util-linux"), "--nofile=3", *build_trigger("freestanding", folder)]
    done = run_toak(limited, "--start", env={"V2M_SOCKET": str(folder / "s")})
    assert (done.returncode, done.stderr) == (70, "toak: cannot make a socket\n")


class NotifySend:
    """A notify-send that says how it was called and then hangs until it is let go."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "bin"
        self.folder.mkdir()
        self._called, self._let_go = self.folder / "called", self.folder / "let-go"
        self._pid = self.folder / "pid"
        os.mkfifo(self._called)
        os.mkfifo(self._let_go)
        program = self.folder / "notify-send"
        program.write_text(
            "#!/bin/sh\n"
            f"echo $$ > '{self._pid}'\n"
            f"printf '%s\\n' \"$@\" > '{self._called}'\n"
            f"read -r _ < '{self._let_go}'\n"
            f"echo gone > '{self._called}'\n"
        )
        program.chmod(0o755)

    def arguments(self) -> list[str]:
        """Wait for the call; return its arguments."""
        return self._called.read_text().splitlines()

    def let_go(self) -> None:
        """Let it end, and wait until it has."""
        self._let_go.write_text("\n")
        assert self._called.read_text() == "gone\n"
        self._pid.unlink()

    def end(self) -> None:
        """End what a failed test has left hanging."""
        if self._pid.exists():
            os.kill(int(self._pid.read_text()), signal.SIGKILL)


@pytest.fixture
def notify_send(folder):
    program = NotifySend(folder)
    yield program
    program.end()


def test_a_failing_hotkey_is_seen_on_the_desktop_and_waits_for_nothing(toak, folder, notify_send):
    env = {"V2M_SOCKET": str(folder / "s"), "PATH": f"/nonexistent:{notify_send.folder}:/elsewhere"}
    done = run_toak(toak, "--start", env=env)  # returns while notify-send hangs, and so do its pipes
    assert (done.returncode, done.stdout, done.stderr) == (69, "", ABSENT)
    *options, title, body = notify_send.arguments()
    assert (title, body) == ("No dictation", "the daemon is not running; start it with: toakd")
    assert options == ["--app-name=v2m", "--hint=string:x-canonical-private-synchronous:v2m"]
    notify_send.let_go()


def test_a_notify_send_in_the_current_directory_is_never_run(toak, folder, notify_send):
    decoys = folder / "here"
    (decoys / "relative").mkdir(parents=True)
    for decoy in (decoys / "notify-send", decoys / "relative" / "notify-send"):
        decoy.write_text(f"#!/bin/sh\necho decoy > '{notify_send.folder}/called'\n")
        decoy.chmod(0o755)
    env = {"V2M_SOCKET": str(folder / "s"), "PATH": f":relative:.::{notify_send.folder}"}
    assert run_toak(toak, "--start", env=env, cwd=decoys).returncode == 69
    assert notify_send.arguments() != ["decoy"]
    notify_send.let_go()


def test_the_notification_holds_no_pipe_of_the_compositor(toak, folder, notify_send):
    env = {"V2M_SOCKET": str(folder / "s"), "PATH": str(notify_send.folder)}
    read_end, write_end = os.pipe()
    with open(read_end, "rb") as pipe:
        with subprocess.Popen([*toak, "--start"], env=env, pass_fds=[write_end], stderr=write_end) as child:
            os.close(write_end)
            assert child.wait(PATIENCE_S) == 69
        assert pipe.read() == ABSENT.encode()  # up to the end of file, with notify-send alive
    notify_send.arguments()
    notify_send.let_go()


@pytest.mark.parametrize("path", ["relative", "/" + "a" * 200])
def test_a_misconfigured_hotkey_is_seen_too(toak, notify_send, path):
    done = run_toak(toak, "--toggle", env={"V2M_SOCKET": path, "PATH": str(notify_send.folder)})
    assert done.returncode == 78
    assert done.stderr == f"toak: {notify_send.arguments()[-1]}\n"
    notify_send.let_go()


@pytest.mark.parametrize("words", [["--status"], ["--start", "--wait"], ["bogus"]], ids=" ".join)
def test_whoever_reads_the_answer_gets_no_notification(toak, folder, notify_send, words):
    trace = folder / "trace"
    strace = [tool("strace", "strace"), "-f", "-e", "trace=execve", "-o", str(trace), *toak]
    run_toak(strace, *words, env={"V2M_SOCKET": str(folder / "s"), "PATH": str(notify_send.folder)})
    assert "notify-send" not in trace.read_text()


def test_a_success_starts_no_other_program(toak, folder):
    trace = folder / "trace"
    strace = [tool("strace", "strace"), "-f", "-e", "trace=execve,fork,vfork,clone,clone3", "-o", str(trace)]
    path = folder / "s"
    with listening(path) as listener:
        done = run_toak([*strace, *toak], "--start", env={"V2M_SOCKET": str(path)})
        assert received(listener) == b"\x01"
    assert done.returncode == 0
    calls = [line for line in trace.read_text().splitlines() if "(" in line]
    assert len(calls) == 1, calls
