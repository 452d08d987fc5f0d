"""The accuracy bar: every recording through the whole daemon with the embedded engine, as files."""

import pytest

from support.audio import write_wav
from support.daemon import ask, new_home, running_daemon
from support.speech import clips, wheel_clips, word_error_rate

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

MOST_WORD_ERRORS = 0.04


@pytest.fixture(scope="module")
def home():
    with new_home() as home, running_daemon(home):
        yield home


def transcribed(home, path) -> str:
    """Return the text of a file; nothing where the daemon hears no speech."""
    answer = ask(home.socket, {"cmd": "TRANSCRIBE_FILE", "data": {"file_path": str(path)}}, timeout_s=120)
    if answer["status"] == "error":
        assert answer["error"]["code"] == "no_speech"
        return ""
    return answer["data"]["transcription"]


@pytest.mark.parametrize("collection", [clips, wheel_clips])
def test_at_most_4_words_of_100_are_wrong_and_noise_gives_no_text(home, tmp_path, collection):
    found = collection()
    texts = [transcribed(home, write_wav(tmp_path / f"{clip.id}.wav", pcm=clip.pcm)) for clip in found]
    pairs = [(clip.text, text) for clip, text in zip(found, texts, strict=True) if clip.kind != "nonspeech"]
    assert len(pairs) >= 8
    rate = word_error_rate(pairs)
    print(f"{len(pairs)} recordings, {100 * rate:.1f} % of the words are wrong")
    assert rate <= MOST_WORD_ERRORS
    assert [clip.id for clip, text in zip(found, texts, strict=True) if clip.kind == "nonspeech" and text] == []
