"""What was heard of a recording, in order: what is joined, what stays, what is not believed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2m.domain.transcript import Hypothesis, Segment
from v2m.infrastructure.engines._notes import Notes

pytestmark = pytest.mark.unit


def stretch(number, seconds=4.0, *, continues=False):
    """Return segment `number` of a recording, of speech without padding."""
    start, end = number * 160_000, number * 160_000 + round(seconds * 16_000)
    return Segment(start, end, continues, start, end)


def noted(*heard, vad=True, seconds=4.0):
    notes = Notes(vad=vad)
    for number, (text, confidence) in enumerate(heard):
        notes.add(stretch(number, seconds), Hypothesis(text, confidence))
    return notes


def test_passages_say_where_each_text_stands():
    notes = noted(("One.", -0.1), ("", -0.1), ("Two.", -0.1))
    assert notes.whole() == ("One. Two.", "")
    assert notes.passages == [[0.0, 4.0, "One."], [20.0, 24.0, "Two."]]


def test_each_passage_is_told_once():
    notes = noted(("One.", -0.1))
    assert notes.partial() == ("One.", 3, [[0.0, 4.0, "One."]])
    notes.add(stretch(1, continues=True), Hypothesis("And two", -0.1))
    assert notes.partial("three.") == ("One and two three.", 11, [[10.0, 14.0, "And two"]])
    assert notes.partial() == ("One and two", 11, [])


def test_a_name_keeps_its_capital_where_a_sentence_was_cut():
    for names, text in ((frozenset(), "We use groq daily."), (frozenset({"Groq"}), "We use Groq daily.")):
        notes = Notes(vad=True, names=names)
        notes.add(stretch(0), Hypothesis("We use.", -0.1))
        notes.add(stretch(1, continues=True), Hypothesis("Groq daily.", -0.1))
        assert notes.whole()[0] == text


def test_confidence_is_weighted_by_length_and_may_be_unknown():
    notes = Notes(vad=True)
    notes.add(stretch(0, 1), Hypothesis("One.", -0.4))
    notes.add(stretch(1, 3), Hypothesis("Two.", 0.0))
    notes.add(stretch(2, 3), Hypothesis("Three."))
    assert notes.confidence == pytest.approx(-0.1)
    assert noted(("One.", None)).confidence is None


def test_the_language_is_what_most_of_the_speech_was_taken_for():
    notes = Notes(vad=True)
    for number, (seconds, language) in enumerate([(2, "de"), (3, "en"), (2, "de"), (9, "")]):
        notes.add(stretch(number, seconds), Hypothesis("Ja.", -0.1, language=language))
    assert notes.language == "de"
    assert Notes(vad=True).language == ""


def test_an_invented_stretch_is_left_out_and_kept_aside():
    notes = noted(("Dear all,", -0.1), ("Thank you for watching.", -0.8), ("see below.", -0.1))
    assert notes.whole() == ("Dear all, see below.", "Thank you for watching.")
    assert [text for _, _, text in notes.passages] == ["Dear all,", "see below."]


def test_a_recording_in_which_nothing_is_sure_may_be_invented_as_a_whole():
    notes = noted(("Well.", -0.8), ("Well.", -0.8), ("Well.", -0.8))
    assert notes.partial()[:2] == ("Well. Well. Well.", 0)
    assert notes.whole() == ("", "Well. Well. Well.")
    assert notes.passages == []
    assert noted(("Well.", -0.8), ("Well.", -0.8), ("Well.", -0.1)).whole()[0] == "Well. Well. Well."
    assert noted(("Well.", -0.8), ("So what.", -0.8)).whole()[0] == "Well. So what."


def test_whoever_asked_for_everything_gets_it():
    heard = [("You", -0.9), ("Thank you for watching.", -0.9)]
    assert noted(*heard, vad=False).whole() == ("You Thank you for watching.", "")


texts = st.one_of(
    st.text(max_size=20),
    st.lists(st.sampled_from(["the", "The", "you", "word", ".", "...", "?", " ", "♪"]), max_size=8).map("".join),
    st.sampled_from(["You", "Thank you for watching.", "Yeah. Yeah. Yeah.", "I went. ", "no no no no no no no no no"]),
)
confidences = st.none() | st.floats(-2, 0)
parts = st.lists(st.tuples(texts, confidences, st.floats(0.1, 15), st.booleans(), texts), max_size=8)


@given(parts, st.booleans())
def test_what_a_partial_promises_is_in_every_later_one_and_in_the_text(heard, vad):
    notes, promised = Notes(vad=vad), ""
    for number, (text, confidence, seconds, continues, more) in enumerate(heard):
        notes.add(stretch(number, seconds, continues=continues), Hypothesis(text, confidence))
        shown, stable, _ = notes.partial(more, continues=continues)
        assert 0 <= stable <= len(shown)
        assert shown.startswith(promised)
        assert stable >= len(promised)
        promised = shown[:stable]
    assert notes.whole()[0].startswith(promised)
