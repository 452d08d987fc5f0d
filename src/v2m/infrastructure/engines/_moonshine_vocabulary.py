"""The user's words in Moonshine's mouth: what sounds like one of them is asked of the decoder, given the same audio.

A listed word takes the place of what was heard if the decoder finds it nearly as likely there: each of its tokens is
given a bonus, the more the more alike it sounds, and what follows must fit as well. (Favouring listed words while
decoding was tried: without a beam a wrong beginning is never taken back, and a bonus that helps costs other words.)
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from v2m.domain.text.vocabulary import Proposal, Term, Vocabulary, apart, propose, rewritten
from v2m.domain.transcript import Word
from v2m.infrastructure.engines._moonshine_tokens import END, Span, Tokenizer

if TYPE_CHECKING:
    from v2m.infrastructure.engines._moonshine_decoder import Decoded, Decoder

# Chosen with `bench/vocabulary.py` (as it is, and with noise of 10 and 5 dB) and 25 further recordings full of names:
# of 299 errors on listed words 134 are left, of 22 in clean speech 2.
BONUS: Final = 4.0  # log-probability, per token, where it sounds the same: at 3 153 are left, 5 costs right words
ALIKE: Final = 0.4  # of the sounds: at 0.5 151 are left, 0.35 finds one more
PLAUSIBLE: Final = -6.0  # log-probability of its first token: at -4 148 are left, -12 finds one more
TAIL: Final = 2  # tokens behind the place that must fit as well: more decide nothing
STEPS: Final = 24  # of the decoder, 3 ms each, in one utterance; 3 are needed on average, with 16 140 are left


class Favoured:
    """A vocabulary as one model's tokens."""

    def __init__(self, vocabulary: Vocabulary, tokenizer: Tokenizer) -> None:
        self._vocabulary = vocabulary
        self._tokenizer = tokenizer
        # With and without the capital of a sentence's beginning.
        written = [[term.written("x"), term.written("X")] for term in vocabulary.terms]
        self.watch: NDArray[np.int64] = np.array([[tokenizer.encode(text)[0] for text in both] for both in written])

    def correct(
        self, spans: list[Span], decoded: "Decoded", decoder: "Decoder", *, stop: Callable[[], bool]
    ) -> tuple[Word, ...]:
        """Return the words with listed ones where they were meant; as heard when told to stop. Raises EngineError."""
        words = [span.word for span in spans]
        proposals = propose(
            words,
            self._vocabulary,
            least=ALIKE,
            initials=True,
            starting=lambda at: self._starting(spans[at], decoded),
        )
        gains: list[tuple[float, Proposal]] = []
        steps = 0
        for proposal in proposals:
            if stop():
                return tuple(words)
            if steps >= STEPS:
                break
            gain, taken = self._gain(proposal, spans, decoded, decoder)
            steps += taken
            if gain > 0:
                gains.append((gain, proposal))
        gains.sort(key=lambda pair: -pair[0])
        return rewritten(words, apart(proposal for _, proposal in gains))

    def _starting(self, span: Span, decoded: "Decoded") -> Iterable[Term]:
        likely = decoded.watched[span.first].max(axis=1) >= PLAUSIBLE
        return (self._vocabulary.terms[index] for index in np.flatnonzero(likely))

    def _gain(self, proposal: Proposal, spans: list[Span], decoded: "Decoded", decoder: "Decoder") -> tuple[float, int]:
        """Return how much likelier the text becomes, the bonus included, and how many steps were taken to know.

        As soon as it cannot become likelier no further step is taken.
        """
        first, end = spans[proposal.first].first, spans[proposal.end - 1].end
        fresh = self._tokenizer.encode(proposal.text)
        following = [*decoded.tokens[end : end + TAIL], *([END] if decoded.is_whole else [])][:TAIL]
        heard = sum(decoded.likelihoods[first : end + len(following)])
        gain = BONUS * proposal.likeness * len(fresh) - heard + self._first(fresh[0], first, decoded)
        likelihoods = decoder.likelihoods(decoded, first, [*fresh, *following])
        steps = 0
        while gain > 0 and (likelihood := next(likelihoods, None)) is not None:
            gain += likelihood
            steps += 1
        return gain, steps

    def _first(self, token: int, at: int, decoded: "Decoded") -> float:
        found: NDArray[np.float32] = decoded.watched[at][self.watch == token]
        return float(found[0]) if len(found) else PLAUSIBLE
