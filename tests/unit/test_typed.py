"""What may be typed: everything that shows, nothing that acts."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2m.domain.text.typed import typeable

pytestmark = pytest.mark.unit

EXACT = [
    "Please move the meeting to Thursday at ten.",
    "é ß ñ 你好 😀 — “q” €",
    "می\u200cخواهم",  # a non-joiner inside a word
    "👩\u200d💻 ❤\ufe0f",  # a joiner and a variation selector inside emoji
    "- item --help $(touch x) `id`",
    "trailing space ",
    "",
]

CHANGED = {
    "decomposed letters are composed": ("e\u0301", "é"),
    "a line break becomes a space": ("one\ntwo", "one two"),
    "so does each run of them, with the spaces around": ("one \r\n\r\n  two", "one two"),
    "and every other kind of line break": ("a\x0bb\x0cc\x85d\u2028e\u2029f", "a b c d e f"),
    "line breaks at the ends are dropped": ("\n \n text \n\n", "text"),
    "a tab becomes a space": ("a\tb", "a b"),
    "Escape, Backspace, Ctrl-C and NUL never pass": ("a\x1b[2Jb\x08c\x03d\x00e\x7ff\x9bg", "a[2Jbcdefg"),
    "directions are never overridden": ("\u202eabc\u202c \u2066x\u2069 \u200e\u200f", "abc x "),
    "zero-width characters are dropped": ("pass\u200bword\ufeff\u2060\u00ad", "password"),
    "so are tags, private use and unassigned characters": ("a\U000e0041b\ue000c\U000f0000d\u0378e", "abcde"),
    "a lone surrogate is dropped": ("a\ud800b", "ab"),
}


@pytest.mark.parametrize("text", EXACT)
def test_ordinary_text_passes_unchanged(text):
    assert typeable(text) == text


@pytest.mark.parametrize(("text", "typed"), CHANGED.values(), ids=CHANGED.keys())
def test_what_could_act_is_changed(text, typed):
    assert typeable(text) == typed


def test_who_wants_line_breaks_gets_them_but_never_at_the_end():
    assert typeable("one \n\n two\nthree\n ", newline="\n") == "one\ntwo\nthree"


@given(st.text())
def test_never_a_control_character_and_never_in_need_of_a_second_pass(text):
    typed = typeable(text)
    assert typeable(typed) == typed
    assert all(unicodedata.category(character) not in ("Cc", "Cs", "Cn", "Co") for character in typed)
    assert unicodedata.is_normalized("NFC", typed)


@given(st.text())
def test_with_line_breaks_the_last_key_is_never_return(text):
    typed = typeable(text, newline="\n")
    assert typeable(typed, newline="\n") == typed
    assert not typed.endswith("\n")
    assert not typed.startswith("\n")
    assert all(unicodedata.category(character) != "Cc" for character in typed.replace("\n", ""))


@given(st.text(st.characters(categories=["L", "N", "P", "S", "M", "Zs"])))
def test_no_letter_digit_or_sign_is_ever_dropped(text):
    assert typeable(text) == unicodedata.normalize("NFC", text)


@given(st.text(), st.text(st.characters(categories=["L", "Nd"]), min_size=1))
def test_letters_survive_whatever_stands_around_them(noise, word):
    kept = unicodedata.normalize("NFC", word)
    inner = typeable(f"{noise}\n{word}\n{noise}")
    assert kept in inner
