"""Text while somebody speaks: partial events of the real engine, as a subscriber of the real daemon gets them."""

import pytest

from support.audio import write_wav
from support.daemon import connect, frame, new_home, read_frame, running_daemon, wait_until
from support.speech import RATE, silence, wheel_clips, word_error_rate

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

SAID = (0, 1, 3)  # with pauses between them
PAUSE_S = 0.9


@pytest.fixture(scope="module")
def said():
    """A recording with pauses, and its text."""
    chosen = [wheel_clips()[number] for number in SAID]
    return b"".join(clip.pcm + silence(PAUSE_S) for clip in chosen), " ".join(clip.text for clip in chosen)


@pytest.fixture(scope="module")
def dictated(tmp_path_factory, said):
    """The answer to a dictation of it, every event until its end, and its row."""
    wav = write_wav(tmp_path_factory.mktemp("voice") / "voice.wav", pcm=said[0])
    variables = {"V2M_AUDIO__BACKEND": "wav", "V2M_AUDIO__WAV_PATH": str(wav)}
    with new_home(**variables) as home, running_daemon(home), connect(home.socket) as peer:
        peer.sendall(frame({"cmd": "SUBSCRIBE"}))
        read_frame(peer)
        home.ask("START_RECORDING")
        seconds = len(said[0]) / 2 / RATE
        wait_until(lambda: home.ask("GET_STATUS")["data"]["recording"]["seconds"] > seconds, what="the speaker")
        answer = home.ask("STOP_RECORDING", deliver="none")["data"]
        events = [read_frame(peer)]
        while events[-1]["event"] not in ("delivered", "held"):
            events.append(read_frame(peer))
        return answer, events, home.history()[0]


def partials_of(events):
    return [event["data"] for event in events if event["event"] == "partial"]


def test_what_is_promised_stays_and_the_last_one_is_the_text(dictated, said):
    answer, events, _ = dictated
    partials = partials_of(events)
    assert {one["dictation"] for one in partials} == {answer["dictation"]}
    promised = ""
    for one in partials:
        assert one["text"].startswith(promised)
        promised = one["text"][: one["stable"]]
        assert len(promised) == one["stable"]
    assert [one["final"] for one in partials] == [False] * (len(partials) - 1) + [True]
    assert (partials[-1]["text"], partials[-1]["stable"]) == (answer["transcription"], len(answer["transcription"]))
    assert word_error_rate([(said[1], answer["transcription"])]) <= 0.1


def test_text_is_there_before_the_key_goes_up_and_nothing_of_it_is_typed(dictated):
    answer, events, row = dictated
    states = [event["data"].get("state") for event in events]
    released = states.index("transcribing")
    early = partials_of(events[:released])
    assert any(one["stable"] for one in early)
    names = [event["event"] for event in events]
    assert not {"delivered", "held", "transcribed"} & set(names[:released])
    assert (names.count("transcribed"), names.count("delivered")) == (1, 1)
    assert answer["delivered"]["method"] == "none"
    assert (row["dictation"], row["text"]) == (answer["dictation"], answer["transcription"])
