"""BackSpace is only pressed for texts of which it removes the same everywhere: one grapheme each time."""

import sys

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from v2m.domain.text.graphemes import backspaces
from v2m.domain.text.typed import typeable

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "text",
    ["", "Please move it.", "é ß ñ ő Ž", "“q” – … €", "Привет, ёж", "Ελληνικά ΐ", "你好", "かが ガ", "한국어", "😀 🚀"],
)
def test_what_every_application_removes_alike_is_counted(text):
    assert backspaces(text) == len(text)


@pytest.mark.parametrize(
    "text",
    {
        "combining accent": "e\u0323\u0301",
        "family": "👨\u200d👩\u200d👧",
        "flag": "🇩🇪",
        "skin tone": "👍🏽",
        "heart": "❤\ufe0f",
        "keycap": "1\ufe0f\u20e3",
        "Thai": "กำ",
        "Hindi": "क्षि",
        "letter that GTK takes apart": "\u0929",
        "jamo": "\u1112\u1161\u11ab",
        "halfwidth kana": "\uff76\uff9e",
        "non-joiner": "می\u200cخواهم",
        "a line break": "one\ntwo",
        "a tab": "one\ttwo",
    }.values(),
)
def test_what_they_remove_differently_is_not(text):
    assert backspaces(text) is None
    assert backspaces(f"before {text} after") is None


@given(st.text())
def test_what_is_counted_are_grapheme_clusters(text):
    count = backspaces(typeable(text))
    if count is not None:
        assert count == len(regex.findall(r"\X", typeable(text)))


def test_every_character_that_is_counted_is_a_cluster_of_its_own_among_others():
    every = [chr(point) for point in range(32, sys.maxunicode + 1) if backspaces(chr(point)) is not None]
    assert len(every) > 100_000
    joined = "a" + "a".join(every) + "a"
    assert len(regex.findall(r"\X", joined)) == len(joined)
    assert len(regex.findall(r"\X", "".join(every))) == len(every)
