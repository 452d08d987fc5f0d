"""The choice of a language among those a user speaks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2m.domain.languages import CLEARLY, choose_language

pytestmark = pytest.mark.unit

TAGS = ["en", "de", "fr", "ja", "yue"]
tags = st.sampled_from(TAGS)
likely = st.dictionaries(tags, st.floats(0, 1))
some = st.lists(tags, min_size=1, unique=True)


@pytest.mark.parametrize(
    ("probabilities", "allowed", "previous", "chosen"),
    [
        ({"en": 0.6, "de": 0.4}, ["de", "en"], "", "en"),
        ({"en": 0.6, "de": 0.4}, ["de", "en"], "de", "de"),  # not clearly
        ({"en": 0.9, "de": 0.1}, ["de", "en"], "de", "en"),
        ({"ja": 0.97, "en": 0.02, "de": 0.01}, ["de", "en"], "", "en"),  # what nobody speaks is not heard
        ({"en": 0.5, "de": 0.5}, ["de", "en"], "", "de"),  # the earlier one wins a tie
        ({"ja": 1.0}, ["de", "en"], "", "de"),
        ({"ja": 1.0}, ["de", "en"], "en", "en"),
        ({"en": 0.6, "de": 0.4}, ["de-AT", "en-GB"], "de-DE", "de"),
        ({"en": 0.9, "de": 0.1}, ["de"], "fr", "de"),  # the settings changed meanwhile
        ({"en": 0.9, "de": 0.1}, [], "", "en"),
    ],
)
def test_the_users_languages_are_chosen_from_and_kept(probabilities, allowed, previous, chosen):
    assert choose_language(probabilities, allowed, previous) == chosen


def test_nothing_to_choose_from_is_an_error():
    with pytest.raises(ValueError, match="no language"):
        choose_language({}, [])


@given(likely, some, st.sampled_from(["", *TAGS]))
def test_only_what_is_allowed_is_chosen(probabilities, allowed, previous):
    assert choose_language(probabilities, allowed, previous) in allowed


@given(likely, some, st.sampled_from(["", *TAGS]))
def test_the_same_sound_once_more_changes_nothing(probabilities, allowed, previous):
    first = choose_language(probabilities, allowed, previous)
    assert choose_language(probabilities, allowed, first) == first


@given(likely, some, tags)
def test_only_a_clear_winner_takes_over(probabilities, allowed, previous):
    chosen = choose_language(probabilities, allowed, previous)
    if previous in allowed and chosen != previous:
        assert probabilities.get(chosen, 0) > CLEARLY * probabilities.get(previous, 0)
        assert probabilities.get(chosen, 0) >= max(probabilities.get(language, 0) for language in allowed)


@given(likely, some, st.sampled_from(["", *TAGS]), st.integers(-20, 20))
def test_only_the_ratio_counts(probabilities, allowed, previous, power):
    rounded = {language: round(share, 6) for language, share in probabilities.items()}
    scaled = {language: share * 2.0**power for language, share in rounded.items()}
    assert choose_language(scaled, allowed, previous) == choose_language(rounded, allowed, previous)
