"""Moonshine's two networks on onnxruntime: audio to features, features to tokens, one token at a time.

The encoder runs once per utterance. The decoder's first step fills all its caches; later steps replace
those of the decoder and keep those of the encoder, which the cached branch returns empty.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from v2m.domain.audio import SAMPLE_RATE_HZ
from v2m.domain.errors import EngineError
from v2m.infrastructure._translate import translate
from v2m.infrastructure.engines._moonshine_tokens import BEGIN, END

ENCODER: Final = "encoder_model.ort"
DECODER: Final = "decoder_model_merged.ort"

MIN_SAMPLES: Final = 895  # 56 ms: the encoder refuses fewer
TOKENS_PER_S: Final = 6.5  # measured: the fastest speaker of the speech set needs 6.1, the median 3.7
# A phrase three times in a row is a loop of the decoder when it is so many tokens in all, or more than
# can be said in the time ("no, no, no" and "testing, testing, testing" are neither).
LOOP_REPEATS: Final = 3
LOOP_TOKENS: Final = 12

Floats = NDArray[np.float32]
Cache = dict[str, Floats]


@dataclass(frozen=True, slots=True)
class Decoded:
    """The tokens of an utterance, and what it takes to ask for the likelihood of others.

    `likelihoods` are log-probabilities; where the decoder came to the end, that of the end token comes last.
    `watched` has a row for each of them: the log-probabilities of the tokens asked for in its place.
    """

    tokens: list[int]
    likelihoods: list[float]
    watched: list[Floats]
    hidden: Floats
    cache: Cache
    is_whole: bool  # the decoder came to the end; not abandoned, cut or at its limit


class Decoder:
    """Both networks in memory."""

    def __init__(self, folder: Path, threads: int) -> None:
        """Read both files. Raises whatever onnxruntime raises."""
        self._encoder = _session(folder / ENCODER, threads)
        self._decoder = _session(folder / DECODER, threads)
        self._no_cache: Cache = {
            entry.name: np.zeros((1, entry.shape[1], 0, entry.shape[3]), np.float32)
            for entry in self._decoder.get_inputs()
            if entry.name.startswith("past_key_values.")
        }
        self._results = [entry.name for entry in self._decoder.get_outputs()]
        self.tokens = self._decoder.get_outputs()[0].shape[-1]

    def decode(
        self,
        samples: Floats,
        *,
        watch: NDArray[np.int64] | None = None,
        abandoned: threading.Event | None = None,
        alive: Callable[[], None] = lambda: None,
    ) -> Decoded:
        """Return the likeliest token each time until the end; what it has so far when abandoned.

        `alive` is called after the encoder and with each token. Raises EngineError.
        """
        sayable = int(len(samples) / SAMPLE_RATE_HZ * TOKENS_PER_S)
        limit = max(6, sayable + 2)
        hidden = self._encode(samples)
        tokens: list[int] = []
        likelihoods: list[float] = []
        watched: list[Floats] = []
        cache, token = self._no_cache, BEGIN
        while len(tokens) < limit and not (abandoned and abandoned.is_set()):
            alive()
            logits, cache = self._step(token, hidden, cache)
            token = int(logits.argmax())
            likelihoods.append(float(-np.log(np.exp(logits - logits[token]).sum())))
            if watch is not None:
                watched.append(logits[watch] - logits[token] + np.float32(likelihoods[-1]))
            if token == END:
                return Decoded(tokens, likelihoods, watched, hidden, cache, is_whole=True)
            tokens.append(token)
            if looped := loop_length(tokens, least=min(LOOP_TOKENS, sayable + 1)):
                tokens = tokens[:-looped]
                break
        return Decoded(tokens, likelihoods, watched, hidden, cache, is_whole=False)

    def likelihoods(self, decoded: Decoded, at: int, tokens: Sequence[int]) -> Iterator[float]:
        """Yield the log-probability of each token behind the first of `tokens`, if they stood from `at` on.

        Each costs a step of the decoder. Raises EngineError.
        """
        cache = {
            name: value[:, :, : at + 1] if ".decoder." in name else value  # of BEGIN and what is before `at`
            for name, value in decoded.cache.items()
        }
        for token, following in pairwise(tokens):
            logits, cache = self._step(token, decoded.hidden, cache)
            yield float(logits[following] - logits.max() - np.log(np.exp(logits - logits.max()).sum()))

    def _encode(self, samples: Floats) -> Floats:
        samples = np.pad(samples, (0, max(0, MIN_SAMPLES - len(samples))))
        everything = np.ones((1, len(samples)), np.int64)
        return _run(self._encoder, {"input_values": samples[None], "attention_mask": everything})[0]

    def _step(self, token: int, hidden: Floats, cache: Cache) -> tuple[Floats, Cache]:
        """Feed one token; return the logits of the next one and the caches to feed with it."""
        first = cache is self._no_cache
        feeds: dict[str, NDArray[Any]] = {
            "input_ids": np.array([[token]], np.int64),
            "encoder_hidden_states": hidden,
            "encoder_attention_mask": np.ones((1, 1), np.int64),  # 1 or all the audio; nothing else fits
            "use_cache_branch": np.array([not first]),
            **cache,
        }
        outputs = dict(zip(self._results, _run(self._decoder, feeds), strict=True))
        fresh = {
            name.replace("present.", "past_key_values."): value
            for name, value in outputs.items()
            if name.startswith("present.") and (first or ".decoder." in name)
        }
        return outputs["logits"][0, -1], {**cache, **fresh}


def loop_length(tokens: Sequence[int], *, least: int) -> int:
    """Return how many tokens at the end only repeat the ones before; 0 when that is no loop.

    A loop is a phrase said at least three times, in at least so many tokens.
    """
    for period in range(1, len(tokens) // LOOP_REPEATS + 1):
        run = max(LOOP_REPEATS, -(-least // period)) * period
        if len(tokens) >= run and all(tokens[-i] == tokens[-i - period] for i in range(1, run - period + 1)):
            return run - period
    return 0


def _session(file: Path, threads: int) -> Any:  # noqa: ANN401 - onnxruntime has no types
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # its errors come as exceptions
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def _run(session: Any, feeds: dict[str, NDArray[Any]]) -> list[Floats]:  # noqa: ANN401 - as above
    with translate(_failed, Exception):  # onnxruntime's errors have no common base
        results: list[Floats] = session.run(None, feeds)
    return results


def _failed(error: Exception) -> EngineError:
    return EngineError(f"The speech engine failed: {str(error).splitlines()[0][:200]}", hint="v2m history")
