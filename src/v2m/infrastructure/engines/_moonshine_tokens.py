"""Moonshine's tokens: what text they stand for, and which stand for a text."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Final

from v2m.domain.transcript import Word

BEGIN: Final = 1
END: Final = 2
FIRST_PIECE: Final = 3  # ids below, and from FIRST_SPECIAL on, stand for no text
FIRST_TEXT: Final = 259  # ids from FIRST_PIECE to here are single bytes
FIRST_SPECIAL: Final = 32_000
SPACE: Final = "\u2581".encode()


@dataclass(frozen=True, slots=True)
class Span:
    """A word and the tokens it was made of."""

    word: Word
    first: int
    end: int


class Tokenizer:
    """Both ways between tokens and text."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        """Take the bytes of each token, by its id."""
        self._pieces = pieces
        # Backwards: of equal pieces the first counts.
        self._ids = {pieces[token]: token for token in range(min(FIRST_SPECIAL, len(pieces)) - 1, FIRST_TEXT - 1, -1)}
        self._encoded = lru_cache(maxsize=1024)(self._encode)

    def words(self, tokens: Sequence[int], likelihoods: Sequence[float]) -> list[Span]:
        """Return the words that tokens stand for; each is as sure as its least likely token."""
        spans: list[Span] = []
        first = 0
        for end in range(1, len(tokens) + 1):
            if end < len(tokens) and not self._pieces[tokens[end]].startswith(SPACE):
                continue
            text = " ".join(self._text(tokens[first:end]).split())
            if text:
                spans.append(Span(Word(text, min(likelihoods[first:end])), first, end))
            first = end
        return spans

    def encode(self, text: str) -> list[int]:
        """Return the tokens of some words, a space before each."""
        return [token for word in text.split() for token in self._encoded(word)]

    def _encode(self, word: str) -> tuple[int, ...]:
        """Join the pieces of a word two by two; the pair with the lowest id was learnt first and goes first."""
        parts = [SPACE, *(character.encode() for character in word)]
        while True:
            pairs = ((self._ids.get(one + two), at) for at, (one, two) in enumerate(pairwise(parts)))
            joinable = [(token, at) for token, at in pairs if token is not None]
            if not joinable:
                break
            _, at = min(joinable)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        known = (self._ids.get(part) for part in parts)
        bytewise = ([FIRST_PIECE + byte for byte in part] for part in parts)
        return tuple(t for token, spelt in zip(known, bytewise, strict=True) for t in ([token] if token else spelt))

    def _text(self, tokens: Sequence[int]) -> str:
        content = b"".join(self._pieces[token] for token in tokens if FIRST_PIECE <= token < FIRST_SPECIAL)
        return content.replace(SPACE, b" ").decode("utf-8", "replace")


def load_pieces(file: Path) -> list[bytes]:
    """Read `tokenizer.bin`: records back to back, index = token id.

    A record is its length (one byte; from 128 on, two bytes `n b` for b * 128 + n - 128), then so many bytes.

    Raises:
        ValueError: the last record is cut off.
    """
    content = file.read_bytes()
    pieces: list[bytes] = []
    at = 0
    while at < len(content):
        length = content[at]
        at += 1
        if length >= 128:
            length = content[at] * 128 + length - 128 if at < len(content) else len(content)
            at += 1
        if at + length > len(content):
            raise ValueError(f"{file.name} is cut off after {len(pieces)} tokens.")
        pieces.append(content[at : at + length])
        at += length
    return pieces
