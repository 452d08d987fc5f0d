"""Chords as users write them: what they mean, and what is refused with which words."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2m.domain.chords import MODIFIERS, NAMED_KEYS, NO_CHORD, Chord, parse_chord

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "modifiers", "key"),
    [
        ("ctrl+v", {"ctrl"}, "v"),
        ("ctrl+shift+v", {"ctrl", "shift"}, "v"),
        ("shift+insert", {"shift"}, "insert"),
        (" Shift + Ctrl + V ", {"ctrl", "shift"}, "v"),
        ("ctrl+alt+7", {"ctrl", "alt"}, "7"),
    ],
)
def test_a_chord_is_modifiers_and_a_key(text: str, modifiers: set[str], key: str) -> None:
    assert parse_chord(text) == Chord(frozenset(modifiers), key)


@pytest.mark.parametrize("text", ["", "  "])
def test_nothing_is_no_chord(text: str) -> None:
    assert parse_chord(text) == NO_CHORD
    assert str(NO_CHORD) == ""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("control+v", "has no modifier 'control'; there are ctrl, shift, alt"),
        ("super+v", "has no modifier 'super'"),
        ("ctrl++v", "has no modifier ''"),
        ("ctrl+ctrl+v", "names a modifier twice"),
        ("ctrl+", "ends in no key that pastes"),
        ("ctrl+return", "ends in no key that pastes"),
        ("shift+enter", "ends in no key that pastes"),
        ("ctrl+ü", "ends in no key that pastes"),
        ("ctrl+\n", "ends in no key that pastes"),
        ("ctrl", "ends in no key that pastes"),
        ("v", "would type or overwrite instead of pasting"),
        ("shift+v", "would type or overwrite instead of pasting"),
        ("insert", "would type or overwrite instead of pasting"),
    ],
)
def test_what_is_no_chord_that_pastes_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(says)}"):
        parse_chord(text)


@given(st.sets(st.sampled_from(MODIFIERS)), st.sampled_from(["v", "y", "0", *NAMED_KEYS]))
def test_a_chord_reads_back_as_it_is_written(modifiers: set[str], key: str) -> None:
    chord = Chord(frozenset(modifiers | {"ctrl"}), key)
    assert parse_chord(str(chord)) == chord


@given(st.text())
def test_any_text_is_a_chord_or_refused_and_never_presses_return(text: str) -> None:
    try:
        chord = parse_chord(text)
    except ValueError:
        return
    assert chord == NO_CHORD or chord.modifiers
    assert chord.key in {"", "insert"} or (len(chord.key) == 1 and chord.key.isalnum())
