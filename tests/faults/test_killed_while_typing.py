"""SIGKILL of the daemon before, during and after the first key: what was typed is never typed again by itself."""

import ast
import json
import os
import sqlite3
import sys
from pathlib import Path

import pytest

from support.daemon import new_home, running_daemon, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

TEXT = "exactly once"
SCRIPTED = {
    "V2M_TRANSCRIPTION__BACKEND": "scripted",
    "V2M_TRANSCRIPTION__SCRIPT": f'["{TEXT}"]',
    "V2M_AUDIO__BACKEND": "wav",
}
PROGRAM = Path(__file__).resolve().parents[1] / "support" / "piped_daemon.py"
READER = """
import sqlite3, sys
database = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
sys.stdout.write(repr(database.execute("SELECT phase, text, certainty, characters FROM dictation").fetchone()))
"""


class Keyboard:
    """What was typed, and the gate that lets the next keys pass."""

    def __init__(self, folder: Path) -> None:
        self._keys, self._gate = folder / "keys", folder / "gate"
        self._keys.touch()
        os.mkfifo(self._gate)
        self._fd = os.open(self._gate, os.O_RDWR)

    def let(self, keys: int) -> None:
        """Let so many keys pass, and wait until they are typed."""
        before = len(self.typed)
        os.write(self._fd, b"." * keys)
        wait_until(lambda: len(self.typed) == before + keys, what="the keys")

    @property
    def typed(self) -> str:
        return self._keys.read_text()


def on_disk(home):
    """Return the row as another process finds it."""
    return ast.literal_eval(home.run(sys.executable, "-c", READER, home.state / "v2m" / "history.db").stdout)


def dictate(home) -> None:
    """Speak; returns once the text is about to be typed."""
    home.ask("START_RECORDING")
    wait_until(lambda: home.ask("GET_STATUS")["data"]["recording"]["seconds"] > 0.3, what="a recording")
    home.ask("STOP_RECORDING", wait=False)
    home.wait_state("delivering")


@pytest.mark.parametrize("keys", [0, 1, 5, len(TEXT) - 1])
def test_a_death_while_typing_leaves_an_uncertain_row_and_types_nothing_by_itself(tmp_path, keys):
    with new_home(**SCRIPTED) as home:
        keyboard = Keyboard(tmp_path)
        with running_daemon(home, argv=[sys.executable, PROGRAM, tmp_path]) as daemon:
            dictate(home)
            assert wait_until(lambda: (row := on_disk(home))[0] == "delivering" and row) == (
                "delivering",
                TEXT,
                None,
                0,
            )
            assert keyboard.typed == ""  # the disk has it before the first key
            keyboard.let(keys)
            daemon.kill()
        with running_daemon(home, argv=[sys.executable, PROGRAM, tmp_path]):
            (row,) = home.history()
            assert (row["phase"], row["certainty"], row["error"], row["text"]) == (
                "uncertain",
                "uncertain",
                "interrupted",
                TEXT,
            )
            home.wait_state("idle")
            assert keyboard.typed == TEXT[:keys]
            home.ask("DELIVER_AGAIN", deliver="none")
            assert home.history()[0]["phase"] == "delivered"


def test_a_death_after_the_last_key_leaves_what_was_written(tmp_path):
    with new_home(**SCRIPTED) as home:
        keyboard = Keyboard(tmp_path)
        with running_daemon(home, argv=[sys.executable, PROGRAM, tmp_path]) as daemon:
            dictate(home)
            keyboard.let(len(TEXT))
            wait_until(lambda: on_disk(home)[0] == "delivered", what="the row")
            daemon.kill()
        with running_daemon(home, argv=[sys.executable, PROGRAM, tmp_path]):
            (row,) = home.history()
            assert (row["phase"], row["certainty"], row["characters"]) == ("delivered", "sent", len(TEXT))
            part = {"method": "gated", "offered": 12, "characters": 12, "certainty": "sent", "detail": ""}
            assert row["attempts"] == [part]
            assert json.loads(home.v2m("history", "--json").stdout)["data"]["entries"][0]["attempts"] == [part]
            assert keyboard.typed == TEXT


def test_a_death_before_the_text_is_offered_holds_it(tmp_path):
    with new_home(**SCRIPTED) as home:
        keyboard = Keyboard(tmp_path)
        with running_daemon(home, argv=[sys.executable, PROGRAM, tmp_path]) as daemon:
            dictate(home)
            daemon.kill()
        database = sqlite3.connect(home.state / "v2m" / "history.db")
        with database:  # as it was a moment before
            database.execute("UPDATE dictation SET phase = 'transcribed'")
        database.close()
        with running_daemon(home, argv=[sys.executable, PROGRAM, tmp_path]):
            assert home.history()[0]["phase"] == "held"
            assert keyboard.typed == ""
