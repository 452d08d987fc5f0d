"""`v2m history show | export | import` and `v2m stats`, with a daemon and without."""

import json
import sqlite3
import sys

import pytest

from support.daemon import new_home, running_daemon, wait_until
from v2m.local.history import MAX_LINE

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture
def home(tmp_path):
    with new_home(
        V2M_TRANSCRIPTION__BACKEND="scripted",
        V2M_TRANSCRIPTION__SCRIPT='["dictation number {n} ☃"]',
        V2M_AUDIO__BACKEND="wav",
        V2M_OUTPUT__METHOD='["file"]',
        V2M_OUTPUT__FILE=str(tmp_path / "typed"),
    ) as home:
        yield home


def dictate(home, count: int) -> None:
    for _ in range(count):
        home.ask("START_RECORDING")
        wait_until(lambda: home.ask("GET_STATUS")["data"]["recording"]["seconds"] > 0.3, what="a recording")
        assert home.ask("STOP_RECORDING", wait=True)["status"] == "success"


READINGS = [  # with a daemon and without one the same
    (),
    ("list", "-n", "2"),
    ("--grep", "number 2"),
    ("--grep", "nowhere"),
    ("--before", "2", "--with-text"),
    ("show", "2"),
    ("show", "2", "--json"),
    ("show", "9"),
]


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_an_export_is_the_same_with_and_without_a_daemon_and_can_be_taken_in(home, tmp_path):
    file = tmp_path / "export.jsonl"
    with running_daemon(home):
        assert home.v2m("history", "export", "-").stdout == ""
        dictate(home, 3)
        assert home.v2m("history", "export", file).returncode == 0
        assert file.stat().st_mode & 0o777 == 0o600
        exported = lines(file.read_text())
        assert [row["text"] for row in exported] == [f"dictation number {n} ☃" for n in (3, 2, 1)]
        assert lines(home.v2m("history", "--export", "-").stdout) == exported
        assert exported == home.history()
        shown = json.loads(home.v2m("history", "show", "2", "--json").stdout)["data"]
        assert shown == exported[1]
        assert "dictation number 2 ☃" in home.v2m("history", "show", "2").stdout
        assert home.v2m("history", "show", "9").returncode == 64
        asked = [home.v2m("history", *words) for words in READINGS]
        with_daemon = home.v2m("stats", "--json").stdout
        assert home.v2m("history", "import", file).returncode == 75
    before = (home.state / "v2m" / "history.db").read_bytes()
    for words, told in zip(READINGS, asked, strict=True):
        alone = home.v2m("history", *words)
        assert (alone.returncode, alone.stdout, alone.stderr) == (told.returncode, told.stdout, told.stderr), words
    assert '"more": true' in home.v2m("history", "-n", "2", "--json").stdout
    assert lines(home.v2m("history", "export", "-").stdout) == exported
    without = json.loads(home.v2m("stats", "--json").stdout)["data"]
    assert without == json.loads(with_daemon)["data"]
    assert (without["dictations"], without["words"], without["phases"]) == (3, 12, {"delivered": 3})
    assert without["words_per_minute"] > 0
    assert (home.state / "v2m" / "history.db").read_bytes() == before, "reading changes nothing"
    assert sorted(path.name for path in (home.state / "v2m").glob("history*")) == ["history.db"]

    bad = [
        "nonsense",
        "[]",
        "{}",
        "null",
        '{"started": "yesterday"}',
        json.dumps({**exported[0], "phase": "recording"}),
    ]
    bad += [json.dumps({**exported[0], **wrong}) for wrong in ({"text": 7}, {"duration_s": -1}, {"attempts": [3]})]
    bad += [json.dumps({**exported[0], **wrong}) for wrong in ({"certainty": "surely"}, {"stages": [1]}, {"sent": 5})]
    other = {**exported[0], "text": "another text", "dictation": 1}
    source = "\n".join([*bad, "", json.dumps(other), *map(json.dumps, exported), "[" * 9999]) + "\n"
    taken = home.v2m("history", "import", "-", "--json", input=source)
    data = json.loads(taken.stdout)["data"]
    assert (taken.returncode, data["imported"], data["there"]) == (0, 1, 3)
    assert [one["line"] for one in data["bad"]] == [*range(1, len(bad) + 1), len(bad) + 6]
    rows = lines(home.v2m("history", "export", "-").stdout)
    assert rows[1:] == exported, "nothing that was there has changed"
    assert (rows[0]["dictation"], rows[0]["text"], rows[0]["audio"]) == (4, "another text", False)
    with running_daemon(home):
        dictate(home, 1)
        assert home.history()[0]["dictation"] == 5
        assert [row["text"] for row in home.ask("LIST_HISTORY", grep="another")["data"]["entries"]] == ["another text"]


def test_a_hostile_export_is_refused_line_by_line(home, tmp_path):
    good = {"started": "2026-01-01T10:00:00+00:00", "phase": "held", "text": "before"}
    wrong = [
        {"started": "9999-12-31T23:59:59Z"},
        {"started": "2262-04-12T00:00:00Z"},
        {"stages": 5},
        {"characters": 10**400},
        {"stages": {"open": 10**400}},
        {"sent": [{"what": "text", "provider": {}, "host": 5, "size_bytes": "x"}]},
        {"attempts": [{"method": "file", "offered": "1", "characters": None, "certainty": "sent"}]},
    ]
    lone = {**good, "text": "\ud800", "raw": "\udfff"}
    after = {**good, "started": "2262-04-11T00:00:00Z"}
    source = "\n".join(map(json.dumps, [good, *({**good, **one} for one in wrong), lone, lone, after]))
    first, second = (home.v2m("history", "import", "-", "--json", input=source) for _ in range(2))
    found = [json.loads(done.stdout)["data"] for done in (first, second)]
    assert [(one["imported"], one["there"], len(one["bad"])) for one in found] == [(3, 1, 7), (0, 4, 7)]
    assert [row["text"] for row in lines(home.v2m("history", "export", "-").stdout)] == ["before", "?", "before"]

    for endless in ("/dev/zero", "-"):
        refused = home.run("bash", "-c", f"timeout 20 {sys.executable} -m v2m.main history import {endless} </dev/zero")
        assert (refused.returncode, "neither a file nor a pipe" in refused.stderr) == (64, True), endless
    (tmp_path / "long").write_text(json.dumps({**good, "text": "first"}) + "\n" + " " * MAX_LINE + json.dumps(after))
    refused = home.v2m("history", "import", tmp_path / "long")
    assert (refused.returncode, "Line 2" in refused.stderr, "Imported 1" in refused.stderr) == (64, True, True)


def test_verbs_without_any_history_say_so(home, tmp_path):
    assert home.v2m("history", "export", "-").stdout == ""
    assert json.loads(home.v2m("stats", "--json").stdout)["data"]["dictations"] == 0
    assert home.v2m("history", "import", tmp_path / "none").returncode == 64
    assert home.v2m("history", "export", "/nowhere/at/all").returncode == 70
    assert home.v2m("history", "show", "1").returncode == 64
    assert home.v2m("history").stderr == "There is no dictation yet.\n"
    assert home.v2m("recover", "1").returncode == 64


def test_a_history_of_another_version_is_not_guessed_at(home):
    path = home.state / "v2m" / "history.db"
    path.parent.mkdir(mode=0o700)
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE dictation (id INTEGER PRIMARY KEY)")
    database.close()
    refused = home.v2m("stats")
    assert refused.returncode == 70
    assert "cannot be read" in refused.stderr
