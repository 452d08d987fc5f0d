"""Capitals and small letters: what changes, what stays, and in which language."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2m.domain.text.casing import in_case

pytestmark = pytest.mark.unit

SENTENCES = {
    "each sentence begins with a capital": ("so it is. is it? yes! … well", "So it is. Is it? Yes! … Well"),
    "and each line": ("one\ntwo", "One\nTwo"),
    "what is large already stays large": ("the BBC and Anna", "The BBC and Anna"),
    "behind quotes and brackets too": ('"go." (he went.) «and»', '"Go." (He went.) «And»'),
    "no sentence ends with an abbreviation": ("e.g. this, z.B. das, J. doe", "E.g. this, z.B. das, J. doe"),
    "nor within a number or a name": ("at 3.5 v2m.toml is read", "At 3.5 v2m.toml is read"),
    "a word with capitals inside is a name": ("iPhone is here. eBay too", "iPhone is here. eBay too"),
    "a sentence may begin with a digit": ("3 apples. 4 pears", "3 apples. 4 pears"),
    "ligatures become two letters": ("ﬁnd it. ǆ", "Find it. ǅ"),
    "scripts without capitals stay": ("你好。再见", "你好。再见"),
    "nothing stays nothing": ("", ""),
}


@pytest.mark.parametrize(("text", "cased"), SENTENCES.values(), ids=SENTENCES.keys())
def test_sentences(text: str, cased: str) -> None:
    assert in_case(text, "sentence") == cased


@pytest.mark.parametrize(
    ("casing", "text", "english", "turkish"),
    [
        ("lower", "ISPARTA İzmir", "isparta i̇zmir", "ısparta izmir"),
        ("upper", "ılık ipek", "ILIK IPEK", "ILIK İPEK"),
        ("sentence", "istanbul. ısparta", "Istanbul. Isparta", "İstanbul. Isparta"),
        ("keep", "Iİıi", "Iİıi", "Iİıi"),
    ],
)
@pytest.mark.parametrize("tag", ["tr", "tr-TR", "TR", "az-Latn"])
def test_i_has_a_dot_or_none_where_the_language_says_so(
    casing: str, text: str, english: str, turkish: str, tag: str
) -> None:
    assert in_case(text, casing, "en") == in_case(text, casing) == english
    assert in_case(text, casing, tag) == turkish


def test_other_letters_have_their_usual_capitals() -> None:
    assert in_case("Straße ΟΔΟΣ", "upper") == "STRASSE ΟΔΟΣ"
    assert in_case("Straße ΟΔΟΣ", "lower") == "straße οδος"


CASINGS = st.sampled_from(["keep", "lower", "sentence", "upper"])
LANGUAGES = st.sampled_from(["", "auto", "en", "de-CH", "tr", "az"])


@given(st.text().map(lambda text: unicodedata.normalize("NFC", text)), CASINGS, LANGUAGES)
def test_once_is_enough_and_nothing_is_lost(text: str, casing: str, language: str) -> None:
    once = in_case(text, casing, language)
    assert in_case(once, casing, language) == once
    assert unicodedata.is_normalized("NFC", once)

    def base(of: str) -> str:
        """Letters without case, and without dots, which Turkish tells apart."""
        return unicodedata.normalize("NFKD", of.translate(str.maketrans("ıİ", "ii")).casefold()).replace("\u0307", "")

    assert base(base(once)) == base(base(text))
