"""The user's words: reading the list, what sounds alike, where a listed word is proposed, and how it is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2m.domain.segments import join_texts
from v2m.domain.text.sounds import letters, likeness, sound_key
from v2m.domain.text.vocabulary import (
    MAX_ENTRY,
    SAME_SOUND,
    UNSURE,
    Proposal,
    Term,
    Vocabulary,
    apart,
    corrected,
    parse_vocabulary,
    propose,
    rewritten,
)
from v2m.domain.transcript import Hypothesis, Word

pytestmark = pytest.mark.unit

SURE, DOUBTED = -0.01, -0.9


def words(text: str) -> tuple[Word, ...]:
    """Return words of which those in brackets are unsure."""
    return tuple(
        Word(word.replace("[", "").replace("]", ""), DOUBTED if "[" in word or "]" in word else SURE)
        for word in text.split()
    )


def heard(text: str) -> Hypothesis:
    spoken = words(text)
    return Hypothesis(" ".join(word.text for word in spoken), -0.1, spoken)


def written(text: str, *entries: str) -> str:
    return corrected(heard(text), parse_vocabulary(entries)).text


# --- the list -----------------------------------------------------------------------------------------


def test_an_entry_is_a_word_and_perhaps_how_it_sounds():
    vocabulary = parse_vocabulary(
        ["GitHub = get up,  git   hub", "Kubernetes", "New  York", "github=x", "", "GitHub=get up, g"]
    )
    assert vocabulary.terms == (
        Term("GitHub", ("get up", "git hub", "g")),
        Term("Kubernetes"),
        Term("New York"),
        Term("github", ("x",)),
    )
    assert vocabulary.words == ("GitHub", "Kubernetes", "New York", "github")
    assert vocabulary.names == {"GitHub", "Kubernetes", "New York"}


@pytest.mark.parametrize("entries", [[], [""], ["  ", ""]])
def test_an_empty_list_corrects_nothing(entries):
    assert parse_vocabulary(entries) == Vocabulary()
    assert written("[get] [up]", *entries) == "get up"


@pytest.mark.parametrize(
    "entry", ["= get up", "--", "...= dots", " =", "a\nb", "a\x00", "git\udcffhub", "zero\u200bwidth"]
)
def test_an_entry_without_a_word_is_refused_by_its_number(entry):
    with pytest.raises(ValueError, match="names no word") as caught:
        parse_vocabulary(["GitHub", entry])
    assert str(caught.value).startswith("entry 2 names")


def test_a_text_in_the_place_of_a_word_is_refused_by_its_number():
    assert parse_vocabulary(["x" * MAX_ENTRY]).terms
    with pytest.raises(ValueError, match=r"^entry 1 is longer than 200"):
        parse_vocabulary(["x" * (MAX_ENTRY + 1)])


# --- sounds -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Salters", "psalters"),
        ("Schoffer", "Schoeffer"),
        ("Quilder", "Quilter"),
        ("Lubak", "Lubeck"),
        ("cubanetties", "Kubernetes"),
        ("engine ex", "Nginx"),
        ("fone", "phone"),
        ("knight", "nite"),
        ("chek", "check"),
        ("Müller", "Muller"),
    ],
)
def test_what_sounds_alike_is_alike(one, other):
    assert likeness(sound_key(one), sound_key(other)) >= 0.8


@pytest.mark.parametrize(
    ("one", "other"),
    [("the first", "Lubeck"), ("could", "GitHub"), ("window", "Kubernetes"), ("", "a"), ("日本", "Tokyo")],
)
def test_what_sounds_different_is_not(one, other):
    assert likeness(sound_key(one), sound_key(other)) < 0.4


@given(st.text(max_size=30), st.text(max_size=30))
def test_likeness_is_a_share_and_has_no_direction(one, other):
    a, b = sound_key(one), sound_key(other)
    assert 0 <= likeness(a, b) <= 1
    assert likeness(a, b) == pytest.approx(likeness(b, a))
    assert likeness(a, a) == (1 if a else 0)
    if likeness(a, b) >= 0.5:
        assert likeness(a, b, least=0.5) == likeness(a, b)


def test_spacing_case_and_accents_are_no_letters():
    assert letters("Crème-Brûlée 2!") == "cremebrulee2"


# --- corrections --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "entries", "result"),
    [
        ("the [missile] type", ["missal"], "the missal type"),
        ("the missile type", ["missal"], "the missile type"),  # it was sure
        ("a star on [get] [up].", ["GitHub = get up"], "a star on GitHub."),
        ("a star on [get] [up].", ["GitHub"], "a star on get up."),  # alike, not the same
        ("a star on [get] up.", ["GitHub = get up"], "a star on GitHub."),  # one of them unsure
        ("I [get] [up], you", ["GitHub = get up"], "I GitHub, you"),
        ("I [get]. [Up] we go", ["GitHub = get up"], "I get. Up we go"),  # no name goes over a full stop
        ("by [Schoffer],", ["Schoeffer"], "by Schoeffer,"),
        ('the "[Schoffer]" press', ["Schoeffer"], 'the "Schoeffer" press'),
        ("[Schoffer's] press", ["Schoeffer"], "Schoeffer's press"),
        ("at [Macdonald's] now", ["McDonald's"], "at McDonald's now"),
        ("[letter] [press].", ["letterpress"], "letterpress."),
        ("[Letter] [press].", ["letterpress"], "Letterpress."),
        ("on [github] now", ["GitHub"], "on GitHub now"),
        ("[May] I, or [may] I not", ["may"], "May I, or may I not"),
        ("you [may] go", ["May"], "you may go"),  # only an initial apart: both are words
        ("in [newyork] city", ["New York"], "in New York city"),
        ("the [missile] and the [missels]", ["missal", "missals"], "the missal and the missals"),
        ("the [missal] book", ["missal", "missals"], "the missal book"),  # listed itself
        ("[日本] で", ["日本"], "日本 で"),
        ("[...] what", ["GitHub"], "... what"),
    ],
)
def test_listed_words_are_put_where_they_sound_the_same_and_the_engine_was_unsure(text, entries, result):
    assert written(text, *entries) == result


def test_an_engine_without_confidences_is_left_alone():
    vocabulary = parse_vocabulary(["missal"])
    for hypothesis in (
        Hypothesis("the missile"),
        Hypothesis("the missile", -0.5, (Word("the"), Word("missile"))),
        Hypothesis("the missile", -0.5, (Word("the", SURE), Word("missile", UNSURE + 0.001))),
    ):
        assert corrected(hypothesis, vocabulary) is hypothesis


def test_times_and_doubt_of_what_was_replaced_are_kept():
    old = (Word("get", -0.3, 1.0, 1.2), Word("up", -0.2, 1.3, 1.5), Word("now", -0.01, 1.6, 1.9))
    once = rewritten(old, [Proposal(0, 2, "GitHub", 1.0)])
    assert once == (Word("GitHub", -0.3, 1.0, 1.5), old[2])
    twice = rewritten(old, [Proposal(2, 3, "New York", 1.0), Proposal(0, 1, "Gert", 1.0)])
    assert [word.text for word in twice] == ["Gert", "up", "New", "York"]
    assert (twice[2].start_s, twice[2].end_s, twice[3].start_s, twice[3].end_s) == (1.6, None, None, 1.9)


def test_of_proposals_that_share_a_word_the_first_counts():
    one, two, three = Proposal(0, 2, "a", 1.0), Proposal(1, 3, "b", 0.9), Proposal(2, 3, "c", 0.8)
    assert apart([one, two, three]) == [one, three]
    assert apart([two, one, three]) == [two]


def test_a_missing_capital_is_proposed_to_those_who_can_tell():
    vocabulary = parse_vocabulary(["May", "Wayland"])
    spoken = words("you [may] use [wayland] in May")
    assert propose(spoken, vocabulary, least=SAME_SOUND) == []
    found = propose(spoken, vocabulary, least=SAME_SOUND, initials=True)
    assert {(proposal.first, proposal.text) for proposal in found} == {(1, "May"), (3, "Wayland")}


def test_who_proposes_may_say_which_words_can_start_where():
    spoken = words("the [missile] of [missals]")
    vocabulary = parse_vocabulary(["missal", "missive"])
    asked = []

    def starting(at):
        asked.append(at)
        return vocabulary.terms[:1] if at == 1 else ()

    found = propose(spoken, vocabulary, least=SAME_SOUND, starting=starting)
    assert [(proposal.first, proposal.end, proposal.text) for proposal in found] == [(1, 2, "missal")]
    assert asked == sorted(set(asked))


@pytest.mark.parametrize(
    ("after", "joined"),
    [
        ("Paris is nice.", "We saw Paris is nice."),
        ("New York is nice.", "We saw New York is nice."),
        ("Paris", "We saw Paris"),
        ("Paris's mayor.", "We saw Paris's mayor."),
        ("Parisians talk.", "We saw parisians talk."),
        ("New cars.", "We saw new cars."),
        ("Mail came.", "We saw mail came."),  # listed in small letters
    ],
)
def test_listed_names_keep_their_capital_where_a_sentence_was_cut(after, joined):
    names = parse_vocabulary(["Paris", "New York", "mail"]).names
    assert join_texts([("We saw.", False), (after, True)], names=names) == joined


@given(st.text("abc XY'.,é", max_size=30), st.lists(st.text("abc XY'é=,", max_size=8), max_size=3))
def test_whatever_is_heard_and_listed_a_text_comes_out_and_its_words_are_it(text, entries):
    try:
        vocabulary = parse_vocabulary(entries)
    except ValueError:
        return
    spoken = tuple(Word(word, DOUBTED) for word in text.split())
    result = corrected(Hypothesis(" ".join(text.split()), -1.0, spoken), vocabulary)
    assert result.text == " ".join(word.text for word in result.words)
    assert bool(result.text) == bool(spoken)
