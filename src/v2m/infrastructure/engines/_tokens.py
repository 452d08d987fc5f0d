"""Puts tokens of a transducer together: words, and how sure the engine was of each."""

from collections.abc import Iterable, Sequence
from itertools import zip_longest

from v2m.domain.transcript import Hypothesis, Word


def heard(
    text: str, tokens: Sequence[str], likelihoods: Sequence[float], starts_s: Sequence[float], language: str = ""
) -> Hypothesis:
    """Return what a recogniser said, as one hypothesis.

    `tokens` begin with a space where a word begins; `likelihoods` (log-probabilities) and `starts_s` belong to them,
    or are empty where the recogniser does not tell.
    """
    text = " ".join(text.split())
    sure = list(likelihoods) if len(likelihoods) == len(tokens) else []
    begun = list(starts_s) if len(starts_s) == len(tokens) else []
    words = tuple(_words(tokens, sure, begun))
    confidence = sum(sure) / len(sure) if sure else None
    is_complete = " ".join(word.text for word in words) == text
    return Hypothesis(text, confidence, words if is_complete else (), language)


def joined(parts: Iterable[Hypothesis]) -> Hypothesis:
    """Return consecutive pieces of an utterance as one; how sure it was counts by the length of their texts."""
    pieces = [part for part in parts if part.text]
    told = [(len(part.text), part.confidence) for part in pieces if part.confidence is not None]
    length = sum(weight for weight, _ in told)
    return Hypothesis(
        " ".join(part.text for part in pieces),
        sum(weight * value for weight, value in told) / length if length else None,
        language=next((part.language for part in pieces if part.language), ""),
    )


def _words(tokens: Sequence[str], likelihoods: Sequence[float], starts_s: Sequence[float]) -> Iterable[Word]:
    text, sure, begun = "", None, None
    for token, likelihood, start_s in zip_longest(tokens, likelihoods, starts_s):
        if token[:1].isspace() and text.strip():
            yield Word(text.strip(), sure, begun)
            text, sure, begun = "", None, None
        begun = start_s if begun is None else begun
        sure = likelihood if sure is None else min(sure, likelihood)
        text += token
    if text.strip():
        yield Word(text.strip(), sure, begun)
