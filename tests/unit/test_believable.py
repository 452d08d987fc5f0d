"""Which heard texts are believed: what engines write for noise is not, what people say is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2m.domain.text.believable import Belief, believe, is_loop, is_phrase

pytestmark = pytest.mark.unit

SURE, UNSURE = -0.1, -0.8


@pytest.mark.parametrize(
    "text",
    [
        "You",
        "Thank you for watching.",
        "Thanks for watching!",
        "♪♪♪♪",
        "♪ ♪",
        "...",
        "Subtitles by the Amara.org community",
        "Untertitel im Auftrag des ZDF, 2021",
        "Untertitelung des ZDF, 2020",
        "SWR 2021",
        "Vielen Dank fürs Zuschauen!",
        "¡Gracias por ver el vídeo!",
        "Subtítulos realizados por la comunidad de Amara.org",
        "Yeah. Yeah. Yeah.",
        "The first is the first is the first is",
    ],
)
def test_what_engines_invent_is_dropped_where_they_were_unsure_and_only_there(text):
    assert is_phrase(text) or is_loop(text)
    assert believe(text, confidence=UNSURE, speech_s=4.0) == Belief("", text)
    assert believe(text, confidence=SURE, speech_s=4.0) == Belief(text)
    assert believe(text, confidence=None, speech_s=4.0) == Belief(text)


@pytest.mark.parametrize(
    "text",
    [
        "Thank you for watching the children yesterday.",
        "The music was too loud.",
        "Put the subtitles by the door.",
        "Subtitles by default are off, so please turn them on before the next meeting begins on Monday.",
        "Can you turn off the subtitles?",
        "You know what I mean.",
        "Gracias por ver esto mañana.",
        "Musik von Bach höre ich gern.",
        "He said no, no, and no.",
        "No, no, no, I did not.",
    ],
)
def test_real_sentences_pass_however_unsure_the_engine_was(text):
    assert believe(text, confidence=UNSURE, speech_s=2.5) == Belief(text)


def test_a_word_of_little_speech_is_dropped_only_if_the_engine_was_unsure():
    assert believe("Stop.", confidence=UNSURE, speech_s=0.3) == Belief("", "Stop.")
    assert believe("Stop.", confidence=SURE, speech_s=0.3) == Belief("Stop.")
    assert believe("Stop.", confidence=UNSURE, speech_s=0.5) == Belief("Stop.")


@pytest.mark.parametrize(
    ("text", "speech_s", "kept"),
    [
        ("no no no no no no no no no no no", 1.0, "no"),
        ("and then the end, the end, the end, the end, the end, the end", 1.0, "and then the end,"),
        ("It is. It is. It is. It is. It is. It is. It", 1.0, "It is."),
        ("The first is the first is the first is the first is the fir", 1.0, "The first is"),
        ("谢谢谢谢谢谢谢谢谢谢谢谢谢谢谢谢", 1.0, "谢"),
        ("Testing, testing, testing.", 1.5, None),
        ("no no no no no no no no no no no", 4.0, None),
        ("one two three four five six seven eight nine ten", 0.5, None),
    ],
)
def test_a_loop_is_cut_where_nobody_can_say_so_much(text, speech_s, kept):
    belief = believe(text, confidence=SURE, speech_s=speech_s)
    assert belief.text == (text if kept is None else kept)
    if kept is not None:
        assert belief.text + belief.doubted == text.replace(f"{kept} ", kept, 1)
        assert believe(text, confidence=SURE, speech_s=speech_s, vad=False) == belief
        assert believe(text, confidence=UNSURE, speech_s=speech_s) == Belief("", text)


def test_whoever_asked_for_everything_is_told_everything():
    assert believe("You", confidence=UNSURE, speech_s=0.1, vad=False) == Belief("You")


def test_three_rounds_of_anything_are_a_loop():
    assert is_loop("Yes. Yes. Yes.")
    assert is_loop("a b c a b c A B C")
    assert not is_loop("yes yes")
    assert not is_loop("a b c a b c a b d")
    assert not is_loop("well yes yes yes")
    assert not is_loop("")


@given(st.text(), st.none() | st.floats(-5, 0), st.floats(0, 100), st.booleans())
def test_nothing_is_made_up_or_lost(text, confidence, speech_s, vad):
    belief = believe(text, confidence=confidence, speech_s=speech_s, vad=vad)
    assert text.strip().startswith(belief.text)
    assert "".join((belief.text + belief.doubted).split()) == "".join(text.split())
    assert belief.text == believe(belief.text, confidence=confidence, speech_s=speech_s, vad=vad).text
