"""Small Whisper models of random weights: the real library loads and runs them, what they say means nothing."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ctranslate2.specs import whisper_spec
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

WORDS = [
    "the",
    "a",
    "yes",
    "no",
    "again",
    "every",
    "day",
    "light",
    "dark",
    "spring",
    "winter",
    "hope",
    "one",
    "two",
    "three",
    "four",
]
LANGUAGES = ("en", "de", "fr")
SIZE = 16  # of every hidden state
HEADS = 2
MULTILINGUAL = ""  # a token by which CTranslate2 knows the vocabulary of a multilingual model
IMPOSSIBLE = -30.0  # a bias: the token is never chosen


def whisper_model(
    folder: Path, *, multilingual: bool = True, languages: Sequence[str] = LANGUAGES, seed: int = 1, mels: int = 80
) -> Path:
    """Make a folder as `ct2-transformers-converter` does; it says `WORDS`, at once and without end."""
    folder.mkdir(parents=True)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    plain = [*letters, *(f"\u0120{word}" for word in WORDS), *([MULTILINGUAL] if multilingual else [])]
    special = ["<|endoftext|>", "<|startoftranscript|>", *(f"<|{language}|>" for language in languages)]
    special += [f"<|{name}|>" for name in ("translate", "transcribe", "startoflm", "startofprev", "nospeech")]
    special.append("<|notimestamps|>")
    stamps = [f"<|{step * 0.02:.2f}|>" for step in range(1501)]
    vocabulary = [*plain, *special, *stamps]
    ids = {token: number for number, token in enumerate(vocabulary)}

    tokenizer = Tokenizer(models.BPE(vocab={token: ids[token] for token in plain}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special + stamps])
    tokenizer.save(str(folder / "tokenizer.json"))
    features = {"feature_size": mels, "sampling_rate": 16000, "hop_length": 160, "n_fft": 400, "chunk_length": 30}
    (folder / "preprocessor_config.json").write_text(json.dumps(features))

    spec = whisper_spec.WhisperSpec(1, HEADS, 1, HEADS)
    _fill(spec, Weights(seed), len(vocabulary), mels)
    bias = np.full(len(vocabulary), IMPOSSIBLE, np.float32)
    bias[len(letters) : len(letters) + len(WORDS)] = 0
    bias[[ids[f"<|{language}|>"] for language in languages]] = 0
    bias[ids["<|0.00|>"] :] = -8
    bias[ids["<|endoftext|>"]] = 1
    spec.decoder.projection.bias = bias
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = [ids["<|endoftext|>"]]
    spec.config.lang_ids = [ids[f"<|{language}|>"] for language in languages]
    spec.config.alignment_heads = [(0, 0)]
    spec.register_vocabulary(vocabulary)
    spec.validate()
    spec.save(str(folder))
    return folder


class Weights:
    """Random numbers, the same each time, of a size that keeps a network lively."""

    def __init__(self, seed: int) -> None:
        self._generator = np.random.default_rng(seed)

    def __call__(self, *shape: int, scale: float = 1.0) -> np.ndarray:
        return (self._generator.standard_normal(shape, np.float32) * np.float32(scale)).astype(np.float32)

    def norm(self, spec: Any) -> None:
        spec.gamma, spec.beta = np.ones(SIZE, np.float32), np.zeros(SIZE, np.float32)

    def linear(self, spec: Any, outputs: int, inputs: int) -> None:
        spec.weight = self(outputs, inputs, scale=1 / math.sqrt(inputs))
        spec.bias = np.zeros(outputs, np.float32)

    def attention(self, spec: Any, *sizes: int) -> None:
        self.norm(spec.layer_norm)
        for linear, size in zip(spec.linear, sizes, strict=True):
            self.linear(linear, size, SIZE)

    def feed_forward(self, spec: Any) -> None:
        self.norm(spec.layer_norm)
        self.linear(spec.linear_0, 4 * SIZE, SIZE)
        self.linear(spec.linear_1, SIZE, 4 * SIZE)


def _fill(spec: Any, weights: Weights, tokens: int, mels: int) -> None:
    encoder, decoder = spec.encoder, spec.decoder
    for convolution, inputs in ((encoder.conv1, mels), (encoder.conv2, SIZE)):
        convolution.weight, convolution.bias = weights(SIZE, inputs, 3, scale=0.3), weights(SIZE)
    encoder.position_encodings.encodings = weights(1500, SIZE, scale=0.02)
    decoder.position_encodings.encodings = weights(448, SIZE, scale=0.5)
    decoder.embeddings.weight = weights(tokens, SIZE)
    decoder.projection.weight = weights(tokens, SIZE, scale=1.5)
    for stack in (encoder, decoder):
        weights.norm(stack.layer_norm)
        for layer in stack.layer:
            weights.attention(layer.self_attention, 3 * SIZE, SIZE)
            if stack is decoder:
                weights.attention(layer.attention, SIZE, 2 * SIZE, SIZE)
            weights.feed_forward(layer.ffn)
