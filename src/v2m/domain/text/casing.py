"""Capitals and small letters as an application wants them."""

import re
import unicodedata
from typing import Final, Literal

Casing = Literal["keep", "lower", "sentence", "upper"]

# Languages in which i and ı are two letters, each with a capital of its own (Unicode's SpecialCasing.txt).
_DOTLESS: Final = {"tr", "az"}
_TO_LOWER: Final = str.maketrans("Iİ", "ıi")
_TO_UPPER: Final = str.maketrans("iı", "İI")
_CLOSING: Final = "\"'”’»)]"
_ENDS: Final = (".", "!", "?", "…")
_ABBREVIATION: Final = re.compile(r"\W*(\w\.)+")  # `e.g.`, `z.B.`, `J.`: no sentence ends there


def in_case(text: str, casing: Casing, language: str = "") -> str:
    """Return the text in the wished case, NFC; `language` is a tag such as `tr`.

    `sentence` gives each sentence and line a capital and leaves everything else as it is: names stay names.
    """
    dotless = language.partition("-")[0].lower() in _DOTLESS
    match casing:
        case "lower":
            cased = (text.translate(_TO_LOWER) if dotless else text).lower()
        case "upper":
            cased = (text.translate(_TO_UPPER) if dotless else text).upper()
        case "sentence":
            cased = _sentences(text, dotless=dotless)
        case _:
            cased = text
    return unicodedata.normalize("NFC", cased)


def _sentences(text: str, *, dotless: bool) -> str:
    """Return the text with a capital wherever a sentence begins."""
    begins, pieces = True, list[str]()
    for piece in re.split(r"(\s+)", text):
        if piece and not piece.isspace():
            pieces.append(_capital(piece, dotless=dotless) if begins else piece)
            begins = _ends_sentence(piece)
        else:
            pieces.append(piece)
            begins = begins or "\n" in piece
    return "".join(pieces)


def _capital(word: str, *, dotless: bool) -> str:
    """Return the word with its first letter as a capital; one with capitals inside, `iPhone`, is left alone."""
    at = next((place for place, character in enumerate(word) if character.isalnum()), None)
    if at is None or not word[at].islower() or any(character.isupper() for character in word):
        return word
    first = word[at].translate(_TO_UPPER) if dotless else word[at]
    return word[:at] + first.title() + word[at + 1 :]


def _ends_sentence(word: str) -> bool:
    bare = word.rstrip(_CLOSING)
    return bare.endswith(_ENDS) and not _ABBREVIATION.fullmatch(bare)
