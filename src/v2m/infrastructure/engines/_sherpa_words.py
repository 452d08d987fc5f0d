"""Tells sherpa-onnx which words to expect: in the letters of the model, in files that the library reads as it loads."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
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
    with TemporaryDirectory(prefix="v2m-") as folder:
        listed = Path(folder) / "words"
        listed.write_text("\n".join(words), encoding="utf-8")
        yield {
            "decoding_method": BEAM,
            "hotwords_file": str(listed),
            "hotwords_score": score,
            **_units(model, Path(folder) / "bpe.vocab"),
        }


def _units(model: SherpaModel, made: Path) -> dict[str, str]:
    """Return how words are made of tokens: of characters, or of pieces, whose rank is that of their id."""
    if not any(token.startswith(WORD_START) for token in model.tokens.values()):
        return {"modeling_unit": "cjkchar"}
    own = model.files["tokens"].with_name("bpe.vocab")
    if own.is_file():
        return {"modeling_unit": "bpe", "bpe_vocab": str(own)}
    made.write_text("\n".join(f"{token}\t{-number}" for number, token in sorted(model.tokens.items())), "utf-8")
    return {"modeling_unit": "bpe", "bpe_vocab": str(made)}
