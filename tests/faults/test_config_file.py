"""The settings file across faults: whatever happens while it is written, it is the old one or the new one, whole."""

import contextlib
import subprocess
import sys
import threading
import time
import tomllib

import pytest

from support.daemon import new_home, running_daemon
from support.mounts import on_small_disk
from support.settings import SettingsFile
from v2m.domain.errors import BusyError, StorageError
from v2m.infrastructure.settings import file as settings_file
from v2m.infrastructure.settings.file import replace_file

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

WRITER = """
import sys
from pathlib import Path
from v2m.infrastructure.settings.file import replace_file
texts = ["a" * 200_000, "b" * 100_000]
while True:
    for text in texts:
        replace_file(Path(sys.argv[1]), text)
        print("written", flush=True)
"""
KILLS = 25


def test_a_writer_that_is_killed_leaves_a_whole_file(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("a" * 200_000)
    seen = set()
    for number in range(KILLS):
        child = subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE)
        for _ in range(1 + number % 2):
            child.stdout.readline()
        time.sleep(number * 0.0002)  # somewhere in the next one, which takes about 2 ms
        child.kill()
        child.wait()
        child.stdout.close()
        text = path.read_text()
        assert text in ("a" * 200_000, "b" * 100_000)
        seen.add(text[0])
    assert seen == {"a", "b"}, "the kills hit one moment only"
    replace_file(path, "c")
    assert list(tmp_path.iterdir()) == [path], "what a kill left is gone"


def full(folder):
    path = folder / "config.toml"
    path.write_text("old")
    path.chmod(0o600)
    with contextlib.suppress(OSError), (folder / "fill").open("wb") as file:
        while True:
            file.write(bytes(4096))
            file.flush()
    with pytest.raises(StorageError) as refused:
        replace_file(path, "new" * 10_000)
    assert path.read_text() == "old"
    assert "No space left" in str(refused.value)
    assert sorted(entry.name for entry in folder.iterdir()) == ["config.toml", "fill"]
    print("done")


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path):
    assert "done" in on_small_disk(full, tmp_path, size="1m")


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(StorageError):
        replace_file(tmp_path / "missing" / "config.toml", "x")


def test_a_daemon_that_is_killed_while_clients_change_settings_starts_again_with_whole_settings():
    changes = [{"audio.min_recording_ms": ms, "audio.lost_release_silence_s": ms} for ms in range(100, 140)]
    with new_home() as home:
        settings = SettingsFile(home)
        settings.write('[audio]\nbackend = "wav"\n[transcription]\nbackend = "scripted"\n')
        for moment_s in (0.05, 0.15):
            with running_daemon(home, ready=False) as daemon:

                def flood():
                    with contextlib.suppress(OSError, EOFError, ValueError):
                        for change in changes:
                            home.ask("UPDATE_CONFIG", changes=change)

                home.ask("GET_CONFIG", keys=["audio"])
                clients = [threading.Thread(target=flood) for _ in range(3)]
                for client in clients:
                    client.start()
                time.sleep(moment_s)
                daemon.kill()
                for client in clients:
                    client.join()
            audio = tomllib.loads(settings.path.read_text())["audio"]
            assert audio.get("min_recording_ms") == audio.get("lost_release_silence_s"), "half a change"
        with running_daemon(home):
            assert settings.degraded() == ""


HOLD = "import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], 0), 2); print(1, flush=True); sys.stdin.read()"


def test_a_folder_that_another_program_holds_is_not_waited_for_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(settings_file, "LOCK_S", 0.1)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, stdin=subprocess.PIPE
    ) as holder:
        holder.stdout.readline()
        with pytest.raises(BusyError), settings_file.locked_folder(tmp_path):
            pass
        holder.stdin.close()
        holder.wait()
    with settings_file.locked_folder(tmp_path):
        pass
