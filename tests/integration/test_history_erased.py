"""What is deleted, shredded or never kept is in no byte of any file."""

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.audio import write_wav
from support.daemon import new_home, running_daemon, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

SCRIPT = "zebra{n}finch"  # so that no setting holds the words
MARKER = "zebra1finch"
SOUND = bytes(range(1, 240)) * 400  # never zero, never silence


@pytest.fixture
def home(tmp_path):
    with new_home(
        V2M_TRANSCRIPTION__BACKEND="scripted",
        V2M_TRANSCRIPTION__SCRIPT=json.dumps([SCRIPT]),
        V2M_AUDIO__BACKEND="wav",
        V2M_AUDIO__WAV_PATH=str(write_wav(tmp_path / "marker.wav", pcm=SOUND)),
        V2M_OUTPUT__METHOD='["file"]',
        V2M_OUTPUT__FILE=str(tmp_path / "typed"),
    ) as home:
        yield home


def dictate(home) -> int:
    dictation = home.ask("START_RECORDING")["data"]["dictation"]
    wait_until(lambda: home.ask("GET_STATUS")["data"]["recording"]["seconds"] > 0.3, what="a recording")
    assert home.ask("STOP_RECORDING", wait=True)["status"] == "success"
    return dictation


def holding(folder: Path, *words: bytes) -> list[str]:
    """Return the files below a folder in which one of the words stands."""
    files = [file for file in folder.rglob("*") if file.is_file() and not file.is_symlink()]
    return [str(file) for file in files if any(word in file.read_bytes().lower() for word in words)]


def copies(state: Path) -> list[Path]:
    """Leave what damage and migrations leave: older copies of database and recording."""
    made = [state / "history.db.corrupt-20260101T000000", state / "history.db.before-2"]
    for path in made:
        path.write_bytes(MARKER.encode() * 99)
    return made


@pytest.mark.parametrize("verb", ["delete", "shred"])
def test_deleted_words_and_audio_are_in_no_file(home, verb):
    state = home.state / "v2m"
    with running_daemon(home):
        one, two, three = dictate(home), dictate(home), dictate(home)
        made = copies(state)
        (spool,) = [path for path in home.spools if path == min(home.spools)]
        broken = spool.with_name(f"{spool.name}.corrupt-20260101T000000")
        broken.write_bytes(SOUND)
        assert holding(state, MARKER.encode())
        assert home.v2m("history", verb, one).returncode == 0
        assert holding(home.folder, MARKER.encode()) == [], "while the daemon runs"
        assert not any(path.exists() for path in (*made, broken, spool))
        assert [row["dictation"] for row in home.history()] == [three, two]
        assert len(home.spools) == 2
        assert home.ask("LIST_HISTORY", grep=MARKER)["data"]["entries"] == []
        assert dictate(home) == three + 1
        assert home.v2m("history", verb, "--all", "--yes").returncode == 0
        assert home.history() == []
        assert home.spools == []
        assert holding(state, b"zebra3finch", SOUND[:64]) == []
        assert dictate(home) > three + 1, "ids are never given twice"
    assert len(rows_on_disk(state)) == 1


def rows_on_disk(state: Path) -> list:
    database = sqlite3.connect(f"{(state / 'history.db').as_uri()}?mode=ro", uri=True)
    try:
        return database.execute("SELECT id FROM dictation").fetchall()
    finally:
        database.close()


def test_what_to_delete_has_to_be_said_exactly(home):
    with running_daemon(home):
        one = dictate(home)
        for data in (
            {},
            {"all": True, "dictations": [one]},
            {"dictations": [0]},
            {"dictations": ["1"]},
            {"dictations": [one], "older_than_days": 3},
            {"older_than_days": -1},
            {"older_than_days": float("1e300")},
            {"dictations": [one, 99]},
        ):
            answer = home.ask("DELETE_HISTORY", **data)
            assert (answer["status"], answer["error"]["code"]) == ("error", "bad_request"), data
        assert home.ask("DELETE_HISTORY", older_than_days=1)["data"]["deleted"] == 0
        for words in ([], ["--all"], ["x"], ["--older-than", "soon"]):
            assert home.v2m("history", "delete", *words).returncode == 64
        open_one = home.ask("START_RECORDING")["data"]["dictation"]
        answer = home.ask("DELETE_HISTORY", dictations=[open_one])["data"]
        assert (answer["deleted"], answer["kept"]) == (0, [open_one])
        assert home.ask("DELETE_HISTORY", all=True)["data"] == {"state": "recording", "deleted": 1, "kept": [open_one]}
        assert home.ask("STOP_RECORDING", wait=True)["status"] == "success"
        assert home.ask("DELETE_HISTORY", older_than_days=0)["data"]["deleted"] == 1


def test_what_is_decoded_once_more_is_not_deleted_meanwhile(home):
    home.variables["V2M_TRANSCRIPTION__SCRIPT_DELAY_S"] = "1"
    with running_daemon(home), ThreadPoolExecutor(1) as beside:
        one = dictate(home)
        retry = beside.submit(home.ask, "RETRY_DICTATION", dictation=one)
        home.wait_state("transcribing")
        for which in ({"dictations": [one]}, {"older_than_days": 0}):
            answer = home.ask("DELETE_HISTORY", **which)["data"]
            assert (answer["deleted"], answer["kept"]) == (0, [one])
        assert retry.result()["status"] == "success"
        assert [row["text"] for row in home.history()] == ["zebra2finch"]
        assert home.ask("DELETE_HISTORY", dictations=[one])["data"]["deleted"] == 1
        assert home.spools == []


def test_private_mode_leaves_nothing_on_the_disk(home):
    home.variables["V2M_HISTORY__ENABLED"] = "false"
    Path(home.variables["V2M_OUTPUT__FILE"]).unlink(missing_ok=True)
    with running_daemon(home) as daemon:
        dictate(home)
        home.ask("START_RECORDING")
        wait_until(lambda: home.ask("GET_STATUS")["data"]["recording"]["seconds"] > 0.3, what="a recording")
        assert home.spools == []
        assert holding(home.folder, MARKER.encode(), SOUND[:64]) == []
        daemon.kill()
    with running_daemon(home):
        assert home.history() == []
    assert holding(home.folder, MARKER.encode(), SOUND[:64]) == []
    assert not (home.state / "v2m" / "history.db").exists()
