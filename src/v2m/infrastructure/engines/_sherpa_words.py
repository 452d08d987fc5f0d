"""Tells sherpa-onnx which words to expect: in the letters of the model, in files that the library reads as it loads.

These files have no place on a disk: the speech process may write to none.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from v2m.infrastructure.engines._sherpa_models import SherpaModel

BEAM: Final = "modified_beam_search"
WORD_START: Final = "\u2581"
_MARKS: Final = (":", "#", "@")  # what the library takes for a score or a threshold at the beginning of a word


def spelt(model: SherpaModel, words: Sequence[str]) -> list[str]:
    """Return the words as the model would write them, without those it has no letters for: the library logs these."""
    letters = {letter for token in model.tokens.values() for letter in token}
    cased = (" ".join((word.upper() if model.is_upper_case else word).split()) for word in words)
    return [
        phrase
        for phrase in cased
        if phrase
        and letters.issuperset(phrase.replace(" ", ""))
        and not any(word.startswith(_MARKS) for word in phrase.split())
    ]


@contextmanager
def favouring(model: SherpaModel, words: Sequence[str], score: float) -> Iterator[dict[str, Any]]:
    """Yield the arguments by which a transducer is loaded so that it favours the words."""
    with ExitStack() as files:
        yield {
            "decoding_method": BEAM,
            "hotwords_file": files.enter_context(_in_memory("\n".join(words))),
            "hotwords_score": score,
            **_units(model, files),
        }


@contextmanager
def _in_memory(text: str) -> Iterator[str]:
    """Yield a path under which this process can read a text."""
    with open(os.memfd_create("v2m-words", os.MFD_CLOEXEC), "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write(text)
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"


def _units(model: SherpaModel, files: ExitStack) -> dict[str, str]:
    """Return how words are made of tokens: of characters, or of pieces, whose rank is that of their id."""
    if not any(token.startswith(WORD_START) for token in model.tokens.values()):
        return {"modeling_unit": "cjkchar"}
    own = model.files["tokens"].with_name("bpe.vocab")
    if own.is_file():
        return {"modeling_unit": "bpe", "bpe_vocab": str(own)}
    ranked = "\n".join(f"{token}\t{-number}" for number, token in sorted(model.tokens.items()))
    return {"modeling_unit": "bpe", "bpe_vocab": files.enter_context(_in_memory(ranked))}
