"""What stands, or is being swapped, at the place of the socket and of its directory."""

import os
import random
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.daemon import BIN, new_home, running_daemon, wait_until
from support.fault_rest import at_the_sockets_place

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

NOBODY = 65534
STARTS = 6
# Puts a link to a directory of its own in the place of v2m's, and takes it away, as fast as it can.
ATTACKER = """
import contextlib, os, sys
place, evil, aside = sys.argv[1:]
print("ready", flush=True)
while True:
    with contextlib.suppress(OSError):
        os.rename(place, aside)
    with contextlib.suppress(OSError):
        os.symlink(evil, place)
    with contextlib.suppress(OSError):
        os.unlink(place)
    with contextlib.suppress(OSError):
        os.rename(aside, place)
"""


def test_a_stale_socket_is_replaced_a_foreign_one_and_a_link_are_left_alone():
    account = at_the_sockets_place(3, random.Random())
    assert account.breaches == []
    assert account.dictations == 3


@contextmanager
def shared_folder(mode: int) -> Iterator[Path]:
    """A directory that another user may write to, and one of that user's in it."""
    if os.getuid() != 0:
        pytest.skip("needs root to be two users; runs in CI")
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        folder = Path(made)
        folder.chmod(mode)
        (folder / "evil").mkdir(mode=0o777)
        (folder / "evil").chmod(0o777)
        os.chown(folder / "evil", NOBODY, NOBODY)
        yield folder


@contextmanager
def attacked(folder: Path, place: Path) -> Iterator[subprocess.Popen[str]]:
    """Have another user swap `place` all the time."""
    argv = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "/usr/bin/python3", "-c", ATTACKER]
    words = [str(place), str(folder / "evil"), str(folder / "aside")]
    attacker = subprocess.Popen([*argv, *words], stdout=subprocess.PIPE, text=True)
    assert attacker.stdout is not None
    try:
        assert attacker.stdout.readline() == "ready\n"
        yield attacker
    finally:
        attacker.kill()
        attacker.wait()
        attacker.stdout.close()


@pytest.mark.parametrize("variable", ["XDG_RUNTIME_DIR", "V2M_SOCKET"])
def test_a_directory_that_others_may_swap_is_refused_and_nothing_is_followed(variable):
    with shared_folder(0o777) as folder, new_home() as home, attacked(folder, folder / "v2m"):
        home.variables[variable] = str(folder if variable == "XDG_RUNTIME_DIR" else folder / "v2m" / "v2m.sock")
        for _ in range(STARTS):
            done = home.run(BIN / "toakd")
            assert done.returncode == 77, done.stderr
            assert "Traceback" not in done.stderr
        assert list((folder / "evil").iterdir()) == []


def test_in_a_directory_with_the_sticky_bit_an_attacker_changes_nothing():
    with shared_folder(0o1777) as folder, new_home(V2M_TRANSCRIPTION__BACKEND="scripted") as home:
        mine = folder / "mine"
        mine.mkdir(mode=0o700)
        home.variables["V2M_SOCKET"] = str(mine / "v2m.sock")
        with attacked(folder, mine):
            process = subprocess.Popen([BIN / "toakd"], env=home.variables, stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            try:
                assert str(mine) in process.stdout.readline()
                assert home.v2m("ping").returncode == 0
                assert (mine / "v2m.sock").is_socket()
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(20)
                process.stdout.close()
        assert list((folder / "evil").iterdir()) == []


def test_a_link_that_takes_the_sockets_place_while_the_daemon_runs_is_not_followed_by_the_next(tmp_path):
    with new_home(V2M_TRANSCRIPTION__BACKEND="scripted") as home:
        with running_daemon(home) as daemon:
            home.socket.unlink()
            (tmp_path / "precious").write_text("precious")
            home.socket.symlink_to(tmp_path / "precious")
            daemon.kill()
        assert home.run(BIN / "toakd").returncode == 77
        assert (tmp_path / "precious").read_text() == "precious"
        home.socket.unlink()
        with running_daemon(home):
            wait_until(lambda: home.state_now() == "idle", what="a daemon")
