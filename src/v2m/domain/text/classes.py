"""Which kinds of characters a text has, as far as ways of typing differ in them."""

import unicodedata
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class TextClass(StrEnum):
    """A kind of characters; every character is of exactly one."""

    ASCII = "ascii"
    LATIN_1 = "latin-1"  # accents, signs and punctuation of western Europe, without ß
    SHARP_S = "sharp-s"
    EURO = "euro"
    QUOTES = "quotes"  # typographic punctuation
    DEAD_KEYS = "dead-keys"  # accented letters beyond Latin-1, made with dead keys on most layouts
    COMBINING = "combining"  # accents that stay characters of their own
    GREEK = "greek"
    CYRILLIC = "cyrillic"
    HAN = "han"  # Chinese, Japanese, Korean, with their punctuation
    EMOJI = "emoji"
    OTHER = "other"


_ASCII_END: Final = 0x80
_LATIN_1_END: Final = 0x100
_LATIN_ENDS: Final = ((0x100, 0x250), (0x1E00, 0x1F00))  # Latin Extended-A, -B and Additional
_SINGLE: Final = {"ß": TextClass.SHARP_S, "ẞ": TextClass.SHARP_S, "€": TextClass.EURO, "\u200d": TextClass.EMOJI}
# Ranges of whole blocks, from the block list of Unicode 15; the first that fits counts.
_BLOCKS: Final = (
    (0xFE00, 0xFE0F, TextClass.EMOJI),  # variation selectors: emoji need them
    (0x0370, 0x03FF, TextClass.GREEK),
    (0x1F00, 0x1FFF, TextClass.GREEK),
    (0x0400, 0x052F, TextClass.CYRILLIC),
    (0x1C80, 0x1C8F, TextClass.CYRILLIC),
    (0x2DE0, 0x2DFF, TextClass.CYRILLIC),
    (0xA640, 0xA69F, TextClass.CYRILLIC),
    (0x2010, 0x205E, TextClass.QUOTES),
    (0x1100, 0x11FF, TextClass.HAN),
    (0x2E80, 0x9FFF, TextClass.HAN),
    (0xA960, 0xA97F, TextClass.HAN),
    (0xAC00, 0xD7FF, TextClass.HAN),
    (0xF900, 0xFAFF, TextClass.HAN),
    (0xFE30, 0xFE4F, TextClass.HAN),
    (0xFF00, 0xFFEF, TextClass.HAN),
    (0x20000, 0x3FFFF, TextClass.HAN),
    (0x2600, 0x27BF, TextClass.EMOJI),
    (0x1F000, 0x1FAFF, TextClass.EMOJI),
)

# What `v2m outputs --check` types for each class. Each stays as it is when it is filtered for typing (NFC).
PROBES: Final = MappingProxyType(
    {
        TextClass.ASCII: "".join(map(chr, range(0x21, 0x7F)))
        + " ok",  # with the accents that layouts have as dead keys
        TextClass.LATIN_1: "".join(map(chr, range(0xA1, 0xAD)))
        + "".join(map(chr, range(0xAE, 0x100))).replace("ß", ""),
        TextClass.SHARP_S: "Maßstab ẞ",
        TextClass.EURO: "5 €",
        TextClass.QUOTES: "„so“ “so” ‘so’ – — …",
        TextClass.DEAD_KEYS: "ŵěšűčğ ỹ",
        TextClass.COMBINING: "q\u0303x\u0304 e\u0329",
        TextClass.GREEK: "αβγ Ωμέγα",
        TextClass.CYRILLIC: "Привет, щёлк",
        TextClass.HAN: "你好 かな 한글",
        TextClass.EMOJI: "😀 ❤\ufe0f 👩\u200d💻",
        TextClass.OTHER: "→ ⅓ שלום ไทย",
    }
)


def class_of(character: str) -> TextClass:
    """Return the class of one character."""
    if character in _SINGLE:
        return _SINGLE[character]
    point = ord(character)
    if point < _ASCII_END:
        return TextClass.ASCII
    if point < _LATIN_1_END:
        return TextClass.LATIN_1
    for first, last, found in _BLOCKS:
        if first <= point <= last:
            return found
    if unicodedata.category(character).startswith("M"):
        return TextClass.COMBINING
    if any(start <= point < end for start, end in _LATIN_ENDS) and unicodedata.decomposition(character):
        return TextClass.DEAD_KEYS
    return TextClass.OTHER


def classes_of(text: str) -> frozenset[TextClass]:
    """Return the classes of the characters in a text; none for an empty one."""
    return frozenset(map(class_of, set(text)))
