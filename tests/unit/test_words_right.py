"""How much of a text was heard."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2m.local._words import share_right

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("spoken", "heard", "share"),
    [
        ("It was the best of times,", "it was the best of times", 1.0),
        ("one two three four five", "one two three four", 0.8),
        ("one two three four five", "one two too three four five", 0.8),
        ("one two three four five", "one two three four fife", 0.8),
        ("one two", "", 0.0),
        ("one", "a b c d", 0.0),
        ("", "", 1.0),
        ("", "a", 0.0),
    ],
)
def test_wrong_missing_and_additional_words_count(spoken, heard, share):
    assert share_right(spoken, heard) == pytest.approx(share)


@given(st.text(), st.text())
def test_it_is_a_share(spoken, heard):
    assert 0 <= share_right(spoken, heard) <= 1


@given(st.text())
def test_a_text_is_heard_completely_in_itself(text):
    assert share_right(text, text) == 1
