"""SIGTERM in every state of a real daemon: it ends by itself within its drain, and every row comes to rest.

What is finished within the drain is finished; what hangs is kept, and offered at the next start.
"""

import os
import signal
import sys
from pathlib import Path

import pytest

from support.daemon import connect, frame, new_home, read_frame, running_daemon, wait_until
from support.pipewire import PipewireSession
from v2m.daemon import DRAIN_S

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

TEXT = "word {n}"
SCRIPTED = {
    "V2M_TRANSCRIPTION__BACKEND": "scripted",
    "V2M_TRANSCRIPTION__SCRIPT": f'["{TEXT}"]',
    "V2M_AUDIO__BACKEND": "wav",
}
SLOWLY = {**SCRIPTED, "V2M_TRANSCRIPTION__SCRIPT_DELAY_S": "60"}  # no drain lasts so long
PROGRAM = Path(__file__).resolve().parents[1] / "support" / "piped_daemon.py"
ENDED_S = DRAIN_S + 10  # of which ten are for the interpreter of a loaded machine; `scripts/bench orders` has the bar
TEXTLESS = ("failed", "suppressed")


def terminated(daemon) -> None:
    """End it as systemd does; it must end by itself, and cleanly."""
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(timeout=ENDED_S) == 0, daemon.log
    assert not daemon.home.socket.exists()


def rows_of(home) -> list[dict]:
    """Return the rows as the next start brings them to rest."""
    with running_daemon(home):
        return home.history()


def record(home) -> int:
    """Open the microphone and hear something."""
    dictation = home.ask("START_RECORDING")["data"]["dictation"]
    wait_until(lambda: home.ask("GET_STATUS")["data"]["recording"]["seconds"] > 0.3, what="a recording")
    return dictation


def test_while_warming():
    with new_home(V2M_AUDIO__BACKEND="wav") as home:
        with running_daemon(home, ready=False) as daemon:
            assert home.state_now() == "warming"
            terminated(daemon)
        assert rows_of(home) == []


def test_while_warming_after_a_key_was_pressed():
    with new_home(V2M_AUDIO__BACKEND="wav") as home:
        with running_daemon(home, ready=False) as daemon, connect(home.socket) as key:
            key.sendall(b"\x01")
            read_frame(key)
            terminated(daemon)
        assert all(row["phase"] in (*TEXTLESS, "held", "discarded") for row in rows_of(home))


def test_while_idle():
    with new_home(**SCRIPTED) as home:
        with running_daemon(home) as daemon:
            terminated(daemon)
        assert rows_of(home) == []


def test_while_paused():
    with new_home(**SCRIPTED) as home:
        with running_daemon(home) as daemon:
            record(home)
            home.ask("PAUSE_DAEMON")
            home.wait_state("paused")
            terminated(daemon)
        (row,) = rows_of(home)
        assert row["text"] == "word 1"


def test_while_recording():
    with new_home(**SCRIPTED) as home:
        with running_daemon(home) as daemon:
            record(home)
            terminated(daemon)
        (row,) = rows_of(home)
        assert (row["phase"], row["text"]) == ("held", "word 1")  # there is no window: kept, told


def test_while_transcribing_what_hangs_keeps_its_audio():
    queued = 3
    with new_home(**SLOWLY) as home:
        with running_daemon(home) as daemon:
            numbers = []
            for _ in range(queued):
                numbers.append(record(home))
                home.ask("STOP_RECORDING", wait=False)
            home.wait_state("transcribing")
            assert home.ask("GET_STATUS")["data"]["queue"] == queued
            terminated(daemon)
        home.variables["V2M_TRANSCRIPTION__SCRIPT_DELAY_S"] = "0"
        rows = {row["dictation"]: row for row in rows_of(home)}
        assert sorted(rows) == numbers
        # That the daemon ended is no fault of the engine's: the next start decodes and offers them.
        assert all(row["audio"] and row["error"] == "interrupted" for row in rows.values())


def test_a_recording_on_top_of_a_queue(tmp_path):
    with new_home(**SLOWLY) as home:
        with running_daemon(home) as daemon:
            for _ in range(2):
                record(home)
                home.ask("STOP_RECORDING", wait=False)
            record(home)
            assert home.state_now() == "recording"
            terminated(daemon)
        rows = rows_of(home)
        assert len(rows) == 3
        assert all(row["audio"] and row["duration_s"] > 0.2 for row in rows)


def test_whoever_waits_for_a_text_hears_that_the_daemon_ends():
    with new_home(**SLOWLY) as home, running_daemon(home) as daemon, connect(home.socket) as peer:
        record(home)
        record_number = home.ask("STOP_RECORDING", wait=False)["data"]["dictation"]
        home.wait_state("transcribing")
        peer.sendall(frame({"cmd": "SHUTDOWN", "data": {"finish": False}}))
        assert read_frame(peer)["data"]["message"] == "SHUTTING_DOWN"
        assert daemon.process.wait(timeout=ENDED_S) == 0
        assert [row["dictation"] for row in rows_of(home)] == [record_number]


def test_while_delivering_nothing_is_typed_after_the_end(tmp_path):
    keys = 3
    typed, gate = tmp_path / "keys", tmp_path / "gate"
    typed.touch()
    os.mkfifo(gate)
    gate_fd = os.open(gate, os.O_RDWR)
    argv = [sys.executable, PROGRAM, tmp_path]
    with new_home(**SCRIPTED) as home:
        with running_daemon(home, argv=argv) as daemon:
            record(home)
            home.ask("STOP_RECORDING", wait=False)
            home.wait_state("delivering")
            os.write(gate_fd, b"." * keys)
            wait_until(lambda: len(typed.read_text()) == keys, what="the keys")
            terminated(daemon)
        with running_daemon(home, argv=argv):
            (row,) = home.history()
        assert (row["phase"], row["text"]) == ("uncertain", "word 1")
        assert typed.read_text() == "word 1"[:keys]
    os.close(gate_fd)


def test_while_delivering_what_can_be_typed_is_typed_to_its_end(tmp_path):
    typed, gate = tmp_path / "keys", tmp_path / "gate"
    typed.touch()
    os.mkfifo(gate)
    gate_fd = os.open(gate, os.O_RDWR)
    argv = [sys.executable, PROGRAM, tmp_path]
    with new_home(**SCRIPTED) as home:
        with running_daemon(home, argv=argv) as daemon:
            record(home)
            home.ask("STOP_RECORDING", wait=False)
            home.wait_state("delivering")
            daemon.process.send_signal(signal.SIGTERM)
            os.write(gate_fd, b"." * len("word 1"))
            assert daemon.process.wait(timeout=ENDED_S) == 0
        with running_daemon(home, argv=argv):
            (row,) = home.history()
        assert (row["phase"], typed.read_text()) == ("delivered", "word 1")
    os.close(gate_fd)


def test_the_microphone_is_let_go_before_anything_is_waited_for():
    with PipewireSession() as session:
        sound = {name: session.env[name] for name in ("PIPEWIRE_RUNTIME_DIR", "PULSE_SERVER")}
        with new_home(**{**SLOWLY, **sound, "V2M_AUDIO__BACKEND": "pipewire"}) as home:
            with running_daemon(home) as daemon:
                record(home)
                assert session.links()
                os.kill(daemon.worker_pid(), signal.SIGSTOP)  # so that the drain takes all of its time
                daemon.process.send_signal(signal.SIGTERM)
                wait_until(lambda: not session.links(), what="the microphone's release")
                assert daemon.process.poll() is None, "released only because the process was gone"
                assert daemon.process.wait(timeout=ENDED_S) == 0
            (row,) = rows_of(home)
            assert row["audio"]
