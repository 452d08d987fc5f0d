"""Which engine can do which language."""

import pytest

from v2m.domain.offers import OFFERS, WHISPER, advice, can_do, languages_of, locale_language, mismatch, refusal

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("languages", "language", "yes"),
    [
        (("en",), "auto", True),
        (("en",), "en", True),
        (("en",), "en-US", True),
        (("en",), "EN", True),
        (("en",), "de", False),
        (("no",), "nb-NO", True),
        (("*",), "tlh", True),
    ],
)
def test_a_region_does_not_matter_and_everybody_can_do_auto(languages, language, yes):
    assert can_do(languages, language) is yes


@pytest.mark.parametrize(
    ("variables", "language"),
    [
        (("", "", "de_DE.UTF-8"), "de"),
        ((None, "pt_BR", "en_US"), "pt"),
        (("C.UTF-8", "de_DE", None), ""),
        (("nb_NO.UTF-8",), "no"),
        (("POSIX",), ""),
        ((), ""),
        (("sr@latin",), "sr"),
    ],
)
def test_the_language_of_a_locale(variables, language):
    assert locale_language(*variables) == language


def test_a_refusal_names_those_that_can_and_how_to_get_them():
    assert refusal("moonshine-tiny-en", "ja") == (
        "The speech engine moonshine-tiny-en cannot do the language 'ja'; whisper, openai can."
    )
    assert advice("ja-JP") == "pip install 'v2m[whisper]', then v2m models suggest --language ja"
    assert "no engine of v2m can" in refusal("whisper", "tlh")
    assert advice("tlh") == "v2m models list"


@pytest.mark.parametrize(
    ("folder", "languages"),
    [("tiny-en", ("en",)), ("moonshine-base-es", ("es",)), ("my model", ("en",)), ("", ("en",))],
)
def test_the_language_of_a_moonshine_model_is_in_its_name(folder, languages):
    assert languages_of(folder) == languages


def test_a_desktop_in_a_language_the_engine_knows_is_no_mismatch():
    assert mismatch(("en",), "en") == mismatch(("*",), "de") == mismatch(("en",), "") == ""
    assert "'de'" in mismatch(("en",), "de")


def test_languages_are_primary_tags_without_doubles():
    for offer in OFFERS.values():
        assert len(set(offer.languages)) == len(offer.languages)
        assert all(2 <= len(tag) <= 3 and tag.islower() for tag in offer.languages)
    assert {"en", "de", "es", "zh"} <= set(WHISPER)
