"""`v2m bench` by the real program: stages of real dictations, accuracy, the table of engines."""

import json
import time

import pytest

from support.audio import write_wav
from support.daemon import new_home, running_daemon
from support.speech import wheel_clips

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture
def recordings(tmp_path):
    """A folder with two recordings of speech and one of noise, each beside its text."""
    folder = tmp_path / "my recordings"
    folder.mkdir()
    clips = wheel_clips()
    for clip in (clips[0], clips[1], clips[-2]):
        write_wav(folder / f"{clip.id}.wav", pcm=clip.pcm)
        (folder / f"{clip.id}.txt").write_text(clip.text + "\n")
    return folder


@pytest.fixture(scope="module")
def home():
    with new_home() as home:
        yield home


def test_stages_are_those_of_the_dictations(tmp_path):
    variables = {"V2M_TRANSCRIPTION__BACKEND": "scripted", "V2M_TRANSCRIPTION__SCRIPT": '["a text"]'}
    with new_home(V2M_AUDIO__BACKEND="wav", **variables) as home, running_daemon(home):
        refused = home.v2m("bench", "stages")
        assert (refused.returncode, "no dictation to measure" in refused.stderr) == (64, True)
        for _ in range(3):
            home.ask("START_RECORDING")
            time.sleep(0.4)  # the speaker
            home.ask("STOP_RECORDING", deliver="none")
        shown = home.v2m("bench", "stages")
        found = json.loads(home.v2m("bench", "stages", "--json").stdout)["data"]["stages"]
    assert shown.returncode == 0
    assert "key-up → text" in shown.stdout
    assert "█" in shown.stdout
    assert found["transcribed"]["n"] == 3
    assert 0 < found["transcribed"]["p50"] <= found["transcribed"]["p99"] <= found["delivered"]["p99"]


def test_without_a_daemon_there_are_no_stages(home):
    refused = home.v2m("bench", "stages")
    assert (refused.returncode, "v2m daemon start" in refused.stderr) == (69, True)


def test_accuracy_counts_wrong_words_and_text_from_nothing(home, recordings):
    done = home.v2m("bench", "accuracy", str(recordings), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["data"]
    assert (found["engine"], found["recordings"], found["text_from_nothing"]) == ("moonshine-tiny-en", 3, 0)
    assert found["wrong_words"] == 0
    assert {one["file"] for one in found["files"]} == {path.name for path in recordings.glob("*.wav")}
    (recordings / "beckett-1.txt").write_text("nothing of that was said")
    again = json.loads(home.v2m("bench", "accuracy", str(recordings), "--json").stdout)["data"]
    assert again["wrong_words"] > 0.2


def test_engines_are_compared_on_what_comes_with_v2m(home):
    done = home.v2m("bench", "engines")
    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if line.startswith("moonshine-tiny-en"))
    assert float(row.split()[3]) < 6  # per cent of wrong words
    assert "whisper: not here." in done.stderr
    assert "v2m models download whisper-large-v3-turbo" in done.stderr


@pytest.mark.parametrize(
    ("manifest", "sentence"),
    [
        (None, "There are no recordings with texts in"),
        ("[", "cannot be understood"),
        ('[{"file": "a.wav"}]', "cannot be understood"),
        ("3", "cannot be understood"),
        ('[{"file": "a.wav", "text": "a"}]', "is not there, or is no file"),
    ],
)
def test_a_folder_that_is_no_set_of_recordings_is_refused(home, tmp_path, manifest, sentence):
    if manifest is not None:
        (tmp_path / "manifest.json").write_text(manifest)
    refused = home.v2m("bench", "accuracy", str(tmp_path))
    assert (refused.returncode, sentence in refused.stderr, "docs/bench.md" in refused.stderr) == (78, True, True)


def test_a_recording_that_is_none_is_an_error_of_the_engine(home, tmp_path):
    (tmp_path / "a.wav").write_bytes(b"not a sound" * 100)
    (tmp_path / "a.txt").write_text("a")
    refused = home.v2m("bench", "accuracy", str(tmp_path))
    assert refused.returncode == 70
    assert "Traceback" not in refused.stderr
