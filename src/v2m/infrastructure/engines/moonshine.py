"""Moonshine tiny-en (27 M parameters, English), decoded greedily on onnxruntime."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from v2m.domain.audio import SAMPLE_RATE_HZ
from v2m.domain.errors import ModelMissingError
from v2m.domain.offers import languages_of
from v2m.domain.ports import EngineCapabilities
from v2m.domain.text.vocabulary import Vocabulary
from v2m.domain.transcript import Hypothesis
from v2m.infrastructure._translate import translate
from v2m.infrastructure.engines._model_files import reason
from v2m.infrastructure.engines._moonshine_decoder import DECODER, Decoder
from v2m.infrastructure.engines._moonshine_tokens import Tokenizer, load_pieces
from v2m.infrastructure.engines._moonshine_vocabulary import Favoured
from v2m.infrastructure.engines._whole import Floats, WholeStream, check_language

TOKENIZER: Final = "tokenizer.bin"


class MoonshineEngine:
    """The model in memory; one utterance is decoded at a time."""

    def __init__(self, *, folder: Path, threads: int = 1, vocabulary: Vocabulary | None = None) -> None:
        """Take any folder with the three files; more threads gain at most a tenth.

        Words of the vocabulary are put where the decoder was unsure and finds them nearly as likely.
        """
        self._folder = folder
        self._threads = threads
        self._vocabulary = vocabulary or Vocabulary()

    @property
    def capabilities(self) -> EngineCapabilities:
        """What it can do; the same at all times."""
        name = self._folder.name.removeprefix("moonshine-")
        return EngineCapabilities(name=f"moonshine-{name}", languages=languages_of(name), hotwords=True)

    def load(self) -> None:
        """Read the three files and decode once, since the first run is slower.

        Raises:
            ModelMissingError: a file is missing, damaged or of another model.
        """
        with translate(self._unusable, Exception):  # onnxruntime's errors have no common base
            pieces = load_pieces(self._folder / TOKENIZER)
            self._decoder = Decoder(self._folder, self._threads)
            if self._decoder.tokens != len(pieces):
                raise ValueError(f"{TOKENIZER} holds {len(pieces)} tokens, {DECODER} knows another number.")
            self._tokenizer = Tokenizer(pieces)
            self._favoured = Favoured(self._vocabulary, self._tokenizer) if self._vocabulary.terms else None
            self._decoder.decode(np.zeros(SAMPLE_RATE_HZ, np.float32))

    def open_stream(self, language: str) -> WholeStream:
        """Begin an utterance. Raises EngineError for any language but the model's."""
        check_language(self.capabilities, language)
        return WholeStream(self._decode)

    def _decode(self, samples: Floats, abandoned: threading.Event, alive: Callable[[], None]) -> Hypothesis:
        """Return the text of an utterance; what it has so far when abandoned. Raises EngineError."""
        watch = self._favoured.watch if self._favoured else None
        decoded = self._decoder.decode(samples, watch=watch, abandoned=abandoned, alive=alive)
        spans = self._tokenizer.words(decoded.tokens, decoded.likelihoods)
        words = tuple(span.word for span in spans)
        if self._favoured:

            def stop() -> bool:
                alive()
                return abandoned.is_set()

            words = self._favoured.correct(spans, decoded, self._decoder, stop=stop)
        confidence = sum(decoded.likelihoods) / len(decoded.likelihoods) if decoded.likelihoods else None
        return Hypothesis(" ".join(word.text for word in words), confidence, words)

    def _unusable(self, error: Exception) -> ModelMissingError:
        return ModelMissingError(
            f"The speech model in {self._folder} cannot be loaded: {reason(error)}",
            hint="Set transcription.model_dir to a folder with a whole model, or remove the setting.",
        )
