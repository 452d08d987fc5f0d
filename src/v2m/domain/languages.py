"""Which of the user's languages an utterance is in, by what a recogniser made of its sound."""

from collections.abc import Mapping, Sequence
from typing import Final

from v2m.domain.offers import primary

# How much likelier than the last utterance's language another one must be. A choice, not measured: of two languages
# it asks for 75 %. Clips of a second or two are where detection flips, and there it is rarely so sure.
CLEARLY: Final = 3.0


def choose_language(probabilities: Mapping[str, float], allowed: Sequence[str], previous: str = "") -> str:
    """Return the most probable of the allowed languages, but stay with the previous one unless it clearly lost.

    `allowed` is what the user speaks, in order of preference: the earlier one wins a tie, and the first where the
    recogniser knows none of them. Without `allowed` any language of `probabilities` may be returned.

    Raises:
        ValueError: there is nothing to choose from.
    """
    candidates = [primary(language) for language in allowed or probabilities]
    if not candidates:
        raise ValueError("There is no language to choose from.")
    likely = {primary(language): share for language, share in probabilities.items()}
    best = max(candidates, key=lambda language: likely.get(language, 0.0))
    before = primary(previous)
    if before in candidates and likely.get(best, 0.0) <= CLEARLY * likely.get(before, 0.0):
        return before
    return best
