"""How alike two spellings sound to an English ear: a coarse key of sounds, and a distance that knows near ones.

It finds what a listed word may have been heard as; whether it was, the engine or its doubt has to say. Letters
outside a to z stand for themselves.
"""

import re
import unicodedata
from functools import lru_cache
from itertools import permutations
from typing import Final

# The first vowel of a run tells its sound well enough: front, open, back.
_VOWELS: Final = str.maketrans("aeiouy", "AEEOOE")
# In order; capitals are sounds and are not replaced again. C as in church, S as in ship, J as in judge, 0 as in thin.
_SPELLINGS: Final = tuple(
    (re.compile(pattern), sound)
    for pattern, sound in (
        (r"tch", "C"),
        (r"sch|sh", "S"),
        (r"ch", "C"),
        (r"ph", "f"),
        (r"th", "0"),
        (r"dg(?=[eiy])", "J"),
        (r"ck", "k"),
        (r"qu", "kw"),
        (r"q", "k"),
        (r"x", "ks"),
        (r"^ps", "s"),
        (r"^[kg]n", "n"),
        (r"^wr", "r"),
        (r"wh", "w"),
        (r"gh(?![aeiouy])", ""),
        (r"gh", "g"),
        (r"ti(?=[oa])", "S"),
        (r"s?c(?=[eiy])", "s"),
        (r"c", "k"),
        (r"j|g(?=[eiy])", "J"),
        (r"z", "s"),
        (r"mb$", "m"),
        (r"(.)\1+", r"\1"),
        (r"(?<=[aeiouy])h|h(?![aeiouy])", ""),
        (r"(?<=[^aeiouy])e$", ""),
    )
)
_VOWEL_RUN: Final = re.compile(r"[aeiouy]+")
_PARTS: Final = re.compile(r"(?<=[a-z])(?=[A-Z])|\s+")  # GitHub is Git Hub, no th
_SOFT: Final = frozenset("AEOhw")  # come and go between speakers and spellings
_SOFT_COST: Final = 0.5
_NEAR: Final = {
    pair: cost
    for sounds, cost in (
        *((sounds, 0.5) for sounds in ("bp", "dt0", "gk", "fv0", "sSCJ", "mn", "lr", "vw", "kC", "gJ", "Ow")),
        ("AEO", 0.3),
    )
    for pair in permutations(sounds, 2)
}


def letters(text: str) -> str:
    """Return letters and digits only, small and without accents: what is left when spacing does not count."""
    return "".join(character for character in unicodedata.normalize("NFKD", text.casefold()) if character.isalnum())


@lru_cache(maxsize=4096)
def sound_key(text: str) -> str:
    """Return the sounds of some words as one string, spaces left out."""
    return "".join(map(_sounds, _PARTS.split(text)))


def likeness(one: str, other: str, *, least: float = 0.0) -> float:
    """Return how alike two keys are: 1 the same, 0 nothing in common, or surely less than `least`."""
    shorter, longer = sorted((_length(one), _length(other)))
    if not shorter or shorter < least * longer:
        return 0.0
    return max(0.0, 1 - _distance(one, other) / longer)


def _sounds(word: str) -> str:
    word = letters(word)
    for pattern, sound in _SPELLINGS:
        word = pattern.sub(sound, word)
    return _VOWEL_RUN.sub(lambda run: run.group()[0].translate(_VOWELS), word)


@lru_cache(maxsize=4096)
def _length(key: str) -> float:
    return sum(map(_weight, key))


def _weight(sound: str) -> float:
    return _SOFT_COST if sound in _SOFT else 1.0


def _distance(one: str, other: str) -> float:
    """Return the cheapest way from one key to the other: changes, and sounds left out or put in."""
    row = [0.0]
    for there in other:
        row.append(row[-1] + _weight(there))
    for here in one:
        fresh = [row[0] + _weight(here)]
        for at, there in enumerate(other):
            changed = row[at] + (0.0 if here == there else _NEAR.get((here, there), 1.0))
            fresh.append(min(changed, row[at + 1] + _weight(here), fresh[-1] + _weight(there)))
        row = fresh
    return row[-1]
