"""The user's words: which are listed, where a text may mean one of them, and putting it there.

Nothing here looks at audio. An engine that can judges each proposal by what it heard; for the others `corrected`
takes those that sound nearly the same, where the engine was unsure.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from v2m.domain.text.sounds import letters, likeness, sound_key
from v2m.domain.transcript import Hypothesis, Word

MAX_ENTRY: Final = 200  # characters; longer is no word but a text in the wrong place
# Log-probability below which a word is open to correction: 14 % doubt. `bench/vocabulary.py`: more certain words
# yield nothing and cost right ones; at 40 % doubt a quarter more of the errors stays.
UNSURE: Final = -0.15
# How alike two keys of sounds must be where nothing but the spelling speaks for a listed word. Measured as above: no
# right word is lost; at 0.85 two are, at 0.8 ten, and at no likeness half of the errors go.
SAME_SOUND: Final = 0.88
MORE_WORDS: Final = 3  # a listed word can be heard as so many words more: "cube or net ease"

_EDGES: Final = re.compile(r"(\W*)(.*?)((?:['’]s)?)(\W*)", re.DOTALL)
_ENDS: Final = (".", ",", ";", ":", "?", "!", "…")  # no name goes on behind one


@dataclass(frozen=True)  # no slots: its keys are kept
class Term:
    """A listed word, or several, as they are to be written; and spellings of how they sound."""

    text: str
    sounds: tuple[str, ...] = ()

    @property
    def is_name(self) -> bool:
        """Whether it has a capital of its own."""
        return self.text != self.text.lower()

    def written(self, heard: str) -> str:
        """Return it as it is written in the place of what was heard: with a capital where a sentence begins."""
        return self.text if self.is_name or not heard[:1].isupper() else self.text[:1].upper() + self.text[1:]

    @cached_property
    def spellings(self) -> frozenset[str]:
        """The letters of each spelling."""
        return frozenset(map(letters, (self.text, *self.sounds)))

    @cached_property
    def keys(self) -> frozenset[str]:
        """The sounds of each spelling."""
        return frozenset(map(sound_key, (self.text, *self.sounds)))


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What the user listed."""

    terms: tuple[Term, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """The plain list, for engines that favour words or take a prompt."""
        return tuple(term.text for term in self.terms)

    @property
    def names(self) -> frozenset[str]:
        """Words that keep their capital wherever they stand."""
        return frozenset(term.text for term in self.terms if term.is_name)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A listed word that some consecutive words may stand for."""

    first: int  # which word
    end: int  # the one behind the last
    text: str  # what would stand there, with the punctuation that was heard
    likeness: float  # of the sounds, 0…1


def parse_vocabulary(entries: Iterable[str]) -> Vocabulary:
    """Read entries such as `GitHub` or `ComfyUI = comfy you eye, comfy UI`; an empty one says nothing.

    Raises:
        ValueError: an entry has no word with a letter or digit, is too long, or holds what cannot be seen. The
            message is for the user, and quotes no word of theirs.
    """
    sounds: dict[str, dict[str, None]] = {}
    for number, entry in enumerate(entries, start=1):
        word, _, spellings = (part.strip() for part in entry.partition("="))
        if len(entry) > MAX_ENTRY:
            raise ValueError(f"entry {number} is longer than {MAX_ENTRY} characters: list one word an entry")
        if (not letters(word) and entry.strip()) or not entry.isprintable():
            raise ValueError(
                f"entry {number} names no word; write a word, or: word = how it sounds, how else it sounds"
            )
        if word:
            heard = (" ".join(spelling.split()) for spelling in spellings.split(","))
            sounds.setdefault(" ".join(word.split()), {}).update(dict.fromkeys(filter(letters, heard)))
    return Vocabulary(tuple(Term(word, tuple(spellings)) for word, spellings in sounds.items()))


def propose(
    words: Sequence[Word],
    vocabulary: Vocabulary,
    *,
    least: float,
    initials: bool = False,
    starting: Callable[[int], Iterable[Term]] | None = None,
) -> list[Proposal]:
    """Return where listed words may have been meant: unsure words that sound at least that much alike, best first.

    A word that is listed itself is never replaced by another. With `initials` it is proposed where only its first
    capital is missing, for who can tell May from may. `starting` tells which terms are worth a look from that word
    on; by default all.
    """
    taken = _listed(words, vocabulary, initials=initials)
    longest = MORE_WORDS + max((len(term.text.split()) for term in vocabulary.terms), default=0)
    found: list[Proposal] = []
    for first in range(len(words)):
        terms: Iterable[Term] | None = None
        for end in range(first + 1, min(first + longest, len(words)) + 1):
            if end - 1 in taken or (end - 1 > first and words[end - 2].text.endswith(_ENDS)):
                break
            if all(word.confidence is None or word.confidence > UNSURE for word in words[first:end]):
                continue
            if terms is None:
                terms = list(starting(first) if starting else vocabulary.terms)
            found += _proposals(words, first, end, terms, least)
    return sorted(found, key=lambda proposal: -proposal.likeness)


def apart(proposals: Iterable[Proposal]) -> list[Proposal]:
    """Return those that share no word with an earlier one."""
    chosen: list[Proposal] = []
    for proposal in proposals:
        if all(proposal.end <= other.first or other.end <= proposal.first for other in chosen):
            chosen.append(proposal)
    return chosen


def rewritten(words: Sequence[Word], proposals: Iterable[Proposal]) -> tuple[Word, ...]:
    """Return the words with what was proposed put in; the proposals share no word."""
    result: list[Word] = []
    done = 0
    for proposal in sorted(proposals, key=lambda proposal: proposal.first):
        old = words[proposal.first : proposal.end]
        doubt = min((word.confidence for word in old if word.confidence is not None), default=None)
        texts = proposal.text.split()
        new = [Word(text, doubt) for text in texts]
        new[0] = replace(new[0], start_s=old[0].start_s)
        new[-1] = replace(new[-1], end_s=old[-1].end_s)
        result += [*words[done : proposal.first], *new]
        done = proposal.end
    return (*result, *words[done:])


def corrected(heard: Hypothesis, vocabulary: Vocabulary) -> Hypothesis:
    """Return what an engine heard that cannot favour words, with listed words where it was unsure and they sound so.

    Without words and their confidences it is returned as it is.
    """
    accepted = apart(propose(heard.words, vocabulary, least=SAME_SOUND))
    if not accepted:
        return heard
    words = rewritten(heard.words, accepted)
    return replace(heard, text=" ".join(word.text for word in words), words=words)


def _listed(words: Sequence[Word], vocabulary: Vocabulary, *, initials: bool) -> set[int]:
    """Return which words are part of a listed one that is written as it should be."""
    terms = {term.text.casefold(): term for term in vocabulary.terms}
    found: set[int] = set()
    for length in {len(text.split()) for text in terms}:
        for first in range(len(words) - length + 1):
            _, core, possessive, _ = _parts(words, first, first + length)
            for heard in (core, core + possessive):
                term = terms.get(heard.casefold())
                if term and (heard == term.written(heard) or not (initials or _has_inner_capital(term.text))):
                    found.update(range(first, first + length))
    return found


def _proposals(words: Sequence[Word], first: int, end: int, terms: Iterable[Term], least: float) -> Iterable[Proposal]:
    before, core, possessive, after = _parts(words, first, end)
    for term in terms:
        owns = term.text.endswith(("'s", "’s"))
        heard = core + possessive if owns else core
        if not (plain := letters(heard)):
            continue
        key = sound_key(heard)
        alike = 1.0 if plain in term.spellings else max(likeness(key, other, least=least) for other in term.keys)
        text = before + term.written(core) + ("" if owns else possessive) + after
        if alike >= least and text != before + core + possessive + after:
            yield Proposal(first, end, text, alike)


def _parts(words: Sequence[Word], first: int, end: int) -> tuple[str, str, str, str]:
    """Part some words into the punctuation before them, themselves, a possessive 's, and the punctuation behind."""
    text = " ".join(word.text for word in words[first:end])
    found = _EDGES.fullmatch(text)
    before, core, possessive, after = found.groups() if found else ("", text, "", "")
    return before, core, possessive, after


def _has_inner_capital(text: str) -> bool:
    return any(word[1:] != word[1:].lower() for word in text.split())
