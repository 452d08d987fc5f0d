"""Moonshine tiny-en (27 M parameters, English), decoded greedily on onnxruntime.

The encoder runs once per utterance. The decoder's first step fills all its caches; later steps replace
those of the decoder and keep those of the encoder, which the cached branch returns empty.
"""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from v2m.domain.audio import SAMPLE_RATE_HZ
from v2m.domain.errors import EngineError, ModelMissingError
from v2m.domain.ports import EngineCapabilities
from v2m.domain.transcript import Hypothesis
from v2m.infrastructure._translate import translate

ENCODER: Final = "encoder_model.ort"
DECODER: Final = "decoder_model_merged.ort"
TOKENIZER: Final = "tokenizer.bin"

BEGIN: Final = 1
END: Final = 2
FIRST_PIECE: Final = 3  # ids below, and from FIRST_SPECIAL on, stand for no text
FIRST_SPECIAL: Final = 32_000
SPACE: Final = "\u2581"

MIN_SAMPLES: Final = 895  # 56 ms: the encoder refuses fewer
TOKENS_PER_S: Final = 6.5  # measured: the fastest speaker of the speech set needs 6.1, the median 3.7
# A phrase three times in a row is a loop of the decoder when it is so many tokens in all, or more than
# can be said in the time ("no, no, no" and "testing, testing, testing" are neither).
LOOP_REPEATS: Final = 3
LOOP_TOKENS: Final = 12

Floats = NDArray[np.float32]


class MoonshineEngine:
    """The model in memory; one utterance is decoded at a time."""

    def __init__(self, *, folder: Path, threads: int = 1) -> None:
        """Take any folder with the three files; more threads gain at most a tenth."""
        self.capabilities = EngineCapabilities(name="moonshine-tiny-en", languages=("en",))
        self._folder = folder
        self._threads = threads

    def load(self) -> None:
        """Read the three files and decode once, since the first run is slower.

        Raises:
            ModelMissingError: a file is missing, damaged or of another model.
        """
        with translate(self._unusable, Exception):  # onnxruntime's errors have no common base
            self._pieces = load_pieces(self._folder / TOKENIZER)
            self._encoder = self._session(ENCODER)
            self._decoder = self._session(DECODER)
            self._no_cache = {
                entry.name: np.zeros((1, entry.shape[1], 0, entry.shape[3]), np.float32)
                for entry in self._decoder.get_inputs()
                if entry.name.startswith("past_key_values.")
            }
            self._results = [entry.name for entry in self._decoder.get_outputs()]
            if self._decoder.get_outputs()[0].shape[-1] != len(self._pieces):
                raise ValueError(f"{TOKENIZER} holds {len(self._pieces)} tokens, {DECODER} knows another number.")
            self._decode(np.zeros(SAMPLE_RATE_HZ, np.float32), threading.Event(), lambda: None)

    def open_stream(self, language: str) -> "MoonshineStream":
        """Begin an utterance. Raises EngineError for any language but English."""
        if language not in ("auto", *self.capabilities.languages):
            raise EngineError(
                f"The embedded speech engine understands English only, not {language!r}.",
                hint='Set transcription.language to "auto" or "en".',
            )
        return MoonshineStream(self)

    def decode(self, samples: Floats, abandoned: threading.Event, alive: Callable[[], None]) -> Hypothesis:
        """Return the text of an utterance (16 kHz, -1…1); what it has so far when abandoned.

        `alive` is called after the encoder and with each token.

        Raises:
            EngineError: onnxruntime failed.
        """
        tokens, likelihoods = self._decode(samples, abandoned, alive)
        text = b"".join(self._pieces[token] for token in tokens if FIRST_PIECE <= token < FIRST_SPECIAL)
        confidence = sum(likelihoods) / len(likelihoods) if likelihoods else None
        return Hypothesis(text.decode("utf-8", "replace").replace(SPACE, " ").strip(), confidence)

    def _decode(
        self, samples: Floats, abandoned: threading.Event, alive: Callable[[], None]
    ) -> tuple[list[int], list[float]]:
        """Return the tokens and the log-probability of each, the end token included."""
        sayable = int(len(samples) / SAMPLE_RATE_HZ * TOKENS_PER_S)
        limit = max(6, sayable + 2)
        if len(samples) < MIN_SAMPLES:
            samples = np.pad(samples, (0, MIN_SAMPLES - len(samples)))
        everything = np.ones((1, len(samples)), np.int64)
        (hidden,) = _run(self._encoder, {"input_values": samples[None], "attention_mask": everything})
        cache, token = self._no_cache, BEGIN
        tokens: list[int] = []
        likelihoods: list[float] = []
        while len(tokens) < limit and not abandoned.is_set():
            alive()
            logits, cache = self._step(token, hidden, cache, first=not likelihoods)
            token = int(logits.argmax())
            likelihoods.append(float(-np.log(np.exp(logits - logits[token]).sum())))
            if token == END:
                break
            tokens.append(token)
            if looped := loop_length(tokens, least=min(LOOP_TOKENS, sayable + 1)):
                return tokens[:-looped], likelihoods
        return tokens, likelihoods

    def _step(
        self, token: int, hidden: Floats, cache: dict[str, Floats], *, first: bool
    ) -> tuple[Floats, dict[str, Floats]]:
        """Feed one token; return the logits of the next one and the caches to feed with it."""
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

    def _session(self, name: str) -> Any:  # noqa: ANN401 - onnxruntime has no types
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4  # its errors come as exceptions
        path = str(self._folder / name)
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def _unusable(self, error: Exception) -> ModelMissingError:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        return ModelMissingError(
            f"The speech model in {self._folder} cannot be loaded: {reason}",
            hint="Set transcription.model_dir to a folder with a whole model, or remove the setting.",
        )


class MoonshineStream:
    """One utterance."""

    def __init__(self, engine: MoonshineEngine) -> None:
        self._engine = engine
        self._pcm = bytearray()
        self._abandoned = threading.Event()

    def feed(self, pcm: bytes | memoryview) -> None:
        """Take S16LE mono 16 kHz."""
        self._pcm += pcm

    def finish(self, alive: Callable[[], None] = lambda: None) -> Hypothesis:
        """Decode what was fed; no audio has no text. Raises EngineError."""
        if not self._pcm:
            return Hypothesis("")
        samples = np.frombuffer(self._pcm, "<i2").astype(np.float32) / np.float32(32768)
        return self._engine.decode(samples, self._abandoned, alive)

    def abandon(self) -> None:
        """Make a running `finish` return after the token it is at; called from any thread."""
        self._abandoned.set()


def _run(session: Any, feeds: dict[str, NDArray[Any]]) -> list[Floats]:  # noqa: ANN401 - as above
    with translate(_failed, Exception):  # onnxruntime's errors have no common base
        results: list[Floats] = session.run(None, feeds)
    return results


def _failed(error: Exception) -> EngineError:
    return EngineError(f"The speech engine failed: {str(error).splitlines()[0][:200]}", hint="v2m history")


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


def loop_length(tokens: Sequence[int], *, least: int) -> int:
    """Return how many tokens at the end only repeat the ones before; 0 when that is no loop.

    A loop is a phrase said at least three times, in at least so many tokens.
    """
    for period in range(1, len(tokens) // LOOP_REPEATS + 1):
        run = max(LOOP_REPEATS, -(-least // period)) * period
        if len(tokens) >= run and all(tokens[-i] == tokens[-i - period] for i in range(1, run - period + 1)):
            return run - period
    return 0
