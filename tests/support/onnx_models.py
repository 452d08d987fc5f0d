"""Small ONNX models of random weights, with the files and metadata of the real ones: what they say means nothing.

Only Moonshine's weights are real: they are in a wheel.
"""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from support.speech import wheel_assets
from v2m.infrastructure.engines._moonshine_tokens import load_pieces

FLOAT, INT32, INT64 = TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64
SIZE = 8  # of every hidden state
MELS = 80
IMPOSSIBLE = -30.0
SPACE = "\u2581"
WORDS = ("yes", "no", "one", "two", "the", "light")
PIECES = ("<unk>", *(f"{SPACE}{word}" for word in WORDS), SPACE, *"abcdeghilnostwxy")
ZIPFORMER = ("<blk>", "<sos/eos>", *PIECES)
NEMO = (*PIECES, "<blk>")


class Graph:
    """An ONNX graph that grows operation by operation; each returns the name of its result."""

    def __init__(self, seed: int = 0) -> None:
        self._generator = np.random.default_rng(seed)
        self._nodes, self._constants = [], []
        self._inputs, self._outputs = [], []

    def input(self, name: str, kind: int, *shape: int | str) -> str:
        self._inputs.append(helper.make_tensor_value_info(name, kind, list(shape)))
        return name

    def output(self, name: str, kind: int, value: str, *shape: int | str) -> None:
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, kind, list(shape)))

    def constant(self, value: object, kind: type = np.int64) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def weights(self, *shape: int, scale: float = 1.0) -> str:
        return self.constant(self._generator.standard_normal(shape) * scale, np.float32)

    def bias(self, tokens: Sequence[str], likely: Mapping[str, float]) -> str:
        """Return what makes these tokens likely and all others in angle brackets impossible."""
        return self.constant(
            [likely.get(token, IMPOSSIBLE if token.startswith("<") else 0.0) for token in tokens], np.float32
        )

    def op(self, kind: str, *inputs: str, **attributes: object) -> str:
        name = f"value_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def cut(self, value: str, axis: int, start: int, end: int, step: int = 1) -> str:
        return self.op("Slice", value, *(self.constant([number]) for number in (start, end, axis, step)))

    def save(self, file: Path, metadata: Mapping[str, object] | None = None) -> None:
        graph = helper.make_graph(self._nodes, "small", self._inputs, self._outputs, self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        for key, value in (metadata or {}).items():
            model.metadata_props.add(key=key, value=str(value))
        onnx.checker.check_model(model)
        onnx.save(model, str(file))


def write_tokens(file: Path, tokens: Sequence[str]) -> None:
    """Write a vocabulary as icefall and NeMo do."""
    file.write_text("".join(f"{token} {number}\n" for number, token in enumerate(tokens)), encoding="utf-8")


# --- NeMo: Parakeet TDT -------------------------------------------------------------------------------


def parakeet_for_sherpa(folder: Path, *, suffix: str = ".int8") -> Path:
    """Make a folder as k2-fsa publishes Parakeet TDT."""
    folder.mkdir(parents=True)
    write_tokens(folder / "tokens.txt", NEMO)
    metadata = {
        "vocab_size": len(PIECES),
        "subsampling_factor": 8,
        "normalize_type": "per_feature",
        "pred_rnn_layers": 1,
        "pred_hidden": SIZE,
        "feat_dim": MELS,
        "model_type": "EncDecRNNTBPEModel",
        "url": "https://example.org/parakeet-tdt",
    }
    _nemo_encoder().save(folder / f"encoder{suffix}.onnx", metadata)
    graph = Graph(2)
    hidden, states = _nemo_prediction(graph, "targets", ("states.1", "onnx::Slice_3"))
    graph.output("outputs", FLOAT, hidden, "batch", SIZE, "tokens")
    graph.output("prednet_lengths", INT32, "target_length", "batch")
    for name, state in zip(("states", "162"), states, strict=True):
        graph.output(name, FLOAT, state, 1, "batch", SIZE)
    graph.save(folder / f"decoder{suffix}.onnx")
    graph = Graph(3)
    sides = [graph.input(f"{side}_outputs", FLOAT, "batch", SIZE, "time") for side in ("encoder", "decoder")]
    graph.output("outputs", FLOAT, _nemo_joint(graph, *sides), "batch", "time", "tokens", len(NEMO) + 5)
    graph.save(folder / f"joiner{suffix}.onnx")
    return folder


def parakeet_for_onnx_asr(folder: Path, *, suffix: str = "", config: bool = True) -> Path:
    """Make a folder as istupakov publishes Parakeet TDT."""
    folder.mkdir(parents=True)
    write_tokens(folder / "vocab.txt", NEMO)
    if config:
        (folder / "config.json").write_text(json.dumps({"model_type": "nemo-conformer-tdt", "features_size": MELS}))
    _nemo_encoder().save(folder / f"encoder-model{suffix}.onnx")
    graph = Graph(2)
    encoded = graph.input("encoder_outputs", FLOAT, "batch", SIZE, "time")
    hidden, states = _nemo_prediction(graph, "targets", ("input_states_1", "input_states_2"))
    graph.output("outputs", FLOAT, _nemo_joint(graph, encoded, hidden), "batch", "time", "tokens", len(NEMO) + 5)
    graph.output("prednet_lengths", INT32, "target_length", "batch")
    for number, state in enumerate(states, 1):
        graph.output(f"output_states_{number}", FLOAT, state, 1, "batch", SIZE)
    graph.save(folder / f"decoder_joint-model{suffix}.onnx")
    return folder


def _nemo_encoder() -> Graph:
    graph = Graph(1)
    audio = graph.input("audio_signal", FLOAT, "batch", MELS, "time")
    length = graph.input("length", INT64, "batch")
    thinned = graph.cut(audio, 2, 0, 1 << 40, 8)
    graph.output(
        "outputs", FLOAT, graph.op("MatMul", graph.weights(SIZE, MELS, scale=0.2), thinned), "batch", SIZE, "t"
    )
    frames = graph.op("Div", graph.op("Add", length, graph.constant(7)), graph.constant(8))
    graph.output("encoded_lengths", INT64, frames, "batch")
    return graph


def _nemo_prediction(graph: Graph, targets: str, states: Sequence[str]) -> tuple[str, list[str]]:
    """Add a prediction network; return its result (batch, SIZE, tokens) and its states, both unchanged."""
    token = graph.input(targets, INT32, "batch", "tokens")
    graph.input("target_length", INT32, "batch")
    kept = [graph.input(name, FLOAT, 1, "batch", SIZE) for name in states]
    embedded = graph.op("Gather", graph.weights(len(NEMO), SIZE), token)
    return graph.op("Transpose", embedded, perm=[0, 2, 1]), [graph.op("Identity", state) for state in kept]


def _nemo_joint(graph: Graph, encoded: str, predicted: str) -> str:
    """Add a joiner; return (batch, time, 1, tokens and durations)."""
    both = graph.op("Tanh", graph.op("Add", encoded, predicted))
    logits = graph.op("MatMul", graph.op("Transpose", both, perm=[0, 2, 1]), graph.weights(SIZE, len(NEMO) + 5))
    biased = graph.op("Add", logits, graph.bias([*NEMO, *"01234"], {"<blk>": 1}))
    return graph.op("Unsqueeze", biased, graph.constant([2]))


# --- icefall: Zipformer -------------------------------------------------------------------------------


def zipformer(folder: Path, *, tokens: Sequence[str] = ZIPFORMER, suffix: str = "-epoch-99-avg-1.int8") -> Path:
    """Make a folder as icefall exports an offline Zipformer transducer."""
    folder.mkdir(parents=True)
    graph = Graph(1)
    sound = graph.input("x", FLOAT, "batch", "time", MELS)
    length = graph.input("x_lens", INT64, "batch")
    encoded = _zipformer_encoder(graph, graph.cut(sound, 1, 0, 1 << 40, 4))
    graph.output("encoder_out", FLOAT, encoded, "batch", "frames", SIZE)
    frames = graph.op("Div", graph.op("Add", length, graph.constant(3)), graph.constant(4))
    graph.output("encoder_out_lens", INT64, frames, "batch")
    metadata = {"model_type": "zipformer2", "version": 1, "comment": "non-streaming zipformer2"}
    graph.save(folder / f"encoder{suffix}.onnx", metadata)
    _icefall_rest(folder, tokens, suffix)
    return folder


def streaming_zipformer(folder: Path, *, suffix: str = "-epoch-99-avg-1-chunk-16-left-128.int8") -> Path:
    """Make a folder as icefall exports a streaming Zipformer transducer: one layer, caches that it hands on."""
    folder.mkdir(parents=True)
    graph = Graph(1)
    sound = graph.input("x", FLOAT, "batch", 45, MELS)
    states = {
        "cached_key_0": (4, "batch", SIZE),
        "cached_nonlin_attn_0": (1, "batch", 4, 3 * SIZE // 4),
        "cached_val1_0": (4, "batch", SIZE),
        "cached_val2_0": (4, "batch", SIZE),
        "cached_conv1_0": ("batch", SIZE, 1),
        "cached_conv2_0": ("batch", SIZE, 1),
        "embed_states": ("batch", 128, 3, 19),
        "processed_lens": ("batch",),
    }
    for name, shape in states.items():
        graph.input(name, INT64 if name == "processed_lens" else FLOAT, *shape)
    encoded = _zipformer_encoder(graph, graph.cut(sound, 1, 0, 32, 4))
    graph.output("encoder_out", FLOAT, encoded, "batch", 8, SIZE)
    for name, shape in states.items():
        graph.output(f"new_{name}", INT64 if name == "processed_lens" else FLOAT, name, *shape)
    metadata = {
        "model_type": "zipformer2",
        "comment": "streaming zipformer2",
        "decode_chunk_len": 32,
        "T": 45,
        "num_encoder_layers": 1,
        "encoder_dims": SIZE,
        "cnn_module_kernels": 3,
        "left_context_len": 4,
        "query_head_dims": SIZE,
        "value_head_dims": SIZE,
        "num_heads": 1,
    }
    graph.save(folder / f"encoder{suffix}.onnx", metadata)
    _icefall_rest(folder, ZIPFORMER, suffix)
    return folder


def _zipformer_encoder(graph: Graph, sound: str) -> str:
    """Add what tells one sound from another, whatever its level."""
    level = graph.op("ReduceMean", sound, axes=[2], keepdims=1)
    return graph.op("MatMul", graph.op("Sub", sound, level), graph.weights(MELS, SIZE, scale=0.1))


def _icefall_rest(folder: Path, tokens: Sequence[str], suffix: str) -> None:
    """Make decoder, joiner and vocabulary; silence is likely, so that words come now and then."""
    write_tokens(folder / "tokens.txt", tokens)
    graph = Graph(2)
    before = graph.input("y", INT64, "batch", 2)
    embedded = graph.op("Gather", graph.weights(len(tokens), SIZE), before)
    mean = graph.op("ReduceMean", embedded, axes=[1], keepdims=0)
    graph.output("decoder_out", FLOAT, mean, "batch", SIZE)
    graph.save(folder / f"decoder{suffix}.onnx", {"vocab_size": len(tokens), "context_size": 2})
    graph = Graph(3)
    sides = [graph.input(f"{side}_out", FLOAT, "batch", SIZE) for side in ("encoder", "decoder")]
    logits = graph.op("MatMul", graph.op("Tanh", graph.op("Add", *sides)), graph.weights(SIZE, len(tokens)))
    biased = graph.op("Add", logits, graph.bias(tokens, {"<blk>": 2}))
    graph.output("logit", FLOAT, biased, "batch", len(tokens))
    graph.save(folder / f"joiner{suffix}.onnx")


# --- Moonshine: real weights --------------------------------------------------------------------------


def moonshine_for_sherpa(folder: Path) -> Path:
    """Make a folder of the embedded model, with its vocabulary as k2-fsa publishes it."""
    folder.mkdir(parents=True)
    assets = wheel_assets() / "tiny-en"
    for name in ("encoder_model.ort", "decoder_model_merged.ort"):
        (folder / name).symlink_to(assets / name)
    pieces = enumerate(load_pieces(assets / "tokenizer.bin"))
    (folder / "tokens.txt").write_text("".join(f"{b64encode(piece).decode()}\t{number}\n" for number, piece in pieces))
    return folder
