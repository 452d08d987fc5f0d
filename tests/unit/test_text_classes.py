"""Every character is of one class, and the probes are of the class they stand for."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2m.domain.text.classes import PROBES, TextClass, class_of, classes_of
from v2m.domain.text.typed import typeable

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("character", "kind"),
    [
        ("a", TextClass.ASCII),
        ("^", TextClass.ASCII),
        ("~", TextClass.ASCII),
        ("é", TextClass.LATIN_1),
        ("ÿ", TextClass.LATIN_1),
        ("\u00a0", TextClass.LATIN_1),
        ("ß", TextClass.SHARP_S),
        ("ẞ", TextClass.SHARP_S),
        ("€", TextClass.EURO),
        ("„", TextClass.QUOTES),
        ("—", TextClass.QUOTES),
        ("…", TextClass.QUOTES),
        ("ě", TextClass.DEAD_KEYS),
        ("ữ", TextClass.DEAD_KEYS),
        ("œ", TextClass.OTHER),  # no accent: no dead key makes it
        ("\u0303", TextClass.COMBINING),
        ("Ω", TextClass.GREEK),
        ("ᾳ", TextClass.GREEK),
        ("щ", TextClass.CYRILLIC),
        ("你", TextClass.HAN),
        ("か", TextClass.HAN),
        ("한", TextClass.HAN),
        ("。", TextClass.HAN),
        ("𠀀", TextClass.HAN),
        ("😀", TextClass.EMOJI),
        ("\ufe0f", TextClass.EMOJI),
        ("\u200d", TextClass.EMOJI),
        ("ש", TextClass.OTHER),
        ("→", TextClass.OTHER),
    ],
)
def test_a_character_is_of_its_class(character, kind):
    assert class_of(character) is kind


def test_there_is_a_probe_of_each_class():
    assert set(PROBES) == set(TextClass)


@pytest.mark.parametrize("kind", TextClass)
def test_a_probe_is_typed_as_it_is_and_has_nothing_but_its_class_and_ascii(kind):
    probe = PROBES[kind]
    assert typeable(probe) == probe
    assert kind in classes_of(probe)
    assert classes_of(probe) <= {kind, TextClass.ASCII}


def test_the_first_probes_are_complete():
    assert set(map(chr, range(0x20, 0x7F))) <= set(PROBES[TextClass.ASCII])
    accents = {character for character in map(chr, range(0xA1, 0x100)) if unicodedata.category(character) != "Cf"}
    assert set(PROBES[TextClass.LATIN_1]) == accents - {"ß"}


@given(st.text())
def test_the_classes_of_a_text_are_those_of_its_characters(text):
    assert classes_of(text) == {class_of(character) for character in text}


@given(st.text(), st.text())
def test_two_texts_together_have_the_classes_of_both(one, other):
    assert classes_of(one + other) == classes_of(one) | classes_of(other)


@given(st.characters(max_codepoint=0x7F))
def test_ascii_is_ascii_alone(character):
    assert classes_of(character) == {TextClass.ASCII}


@given(st.characters(min_codepoint=0x80))
def test_nothing_else_is_ascii(character):
    assert class_of(character) is not TextClass.ASCII


def test_an_empty_text_has_no_class():
    assert classes_of("") == frozenset()
