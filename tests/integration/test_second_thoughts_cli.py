"""`v2m undo`, `raw` and `refined` through the real client and daemon, where there is no desktop to type into."""

import json

import pytest

from support.daemon import new_home, running_daemon

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def home():
    with new_home(V2M_AUDIO__BACKEND="wav", V2M_TRANSCRIPTION__BACKEND="scripted") as home, running_daemon(home):
        yield home


def test_without_anything_typed_undo_says_so_and_ends_with_75(home):
    done = home.v2m("undo")
    assert done.returncode == 75
    assert done.stdout == ""
    assert "Nothing was typed that could be taken back." in done.stderr
    answer = json.loads(home.v2m("undo", "--json").stdout)
    assert answer["error"]["code"] == "state_conflict"


@pytest.mark.parametrize("verb", ["raw", "refined"])
def test_without_a_dictation_there_is_no_other_version(home, verb):
    done = home.v2m(verb)
    assert done.returncode == 64
    assert "no dictation with text" in done.stderr


def test_help_says_what_they_do(home):
    for verb, says in {"undo": "Take back", "raw": "what the engine heard", "refined": "the refined text"}.items():
        assert says in home.v2m(verb, "--help").stdout
        assert "--version" not in home.v2m(verb, "--help").stdout


@pytest.mark.parametrize("data", [{}, {"version": "loud"}, {"version": "raw", "more": 1}])
def test_a_version_that_is_none_is_refused(home, data):
    assert home.ask("SWAP_TEXT", **data)["error"]["code"] == "bad_request"
