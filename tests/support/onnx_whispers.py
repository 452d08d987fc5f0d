"""Small ONNX models of random weights that are told a language: Whisper, Canary, SenseVoice."""

import base64
import json
from pathlib import Path

import numpy as np

from support.onnx_models import FLOAT, INT32, INT64, MELS, SIZE, SPACE, Graph, write_tokens
from support.onnx_models import WORDS as PLAIN

WORDS = tuple(f" {word}" for word in PLAIN)
LANGUAGES = ("en", "de", "fr")
WHISPER = (
    *WORDS,
    *("<|endoftext|>", "<|startoftranscript|>", *(f"<|{language}|>" for language in LANGUAGES)),
    *("<|translate|>", "<|transcribe|>", "<|nospeech|>", "<|notimestamps|>"),
)
ASIAN = ("zh", "en", "ja", "ko", "yue")


def whisper_for_sherpa(folder: Path, *, multilingual: bool = True) -> Path:
    """Make a folder as k2-fsa publishes Whisper."""
    folder.mkdir(parents=True)
    lines = (f"{base64.b64encode(word.encode()).decode()} {number}\n" for number, word in enumerate(WORDS))
    (folder / "tiny-tokens.txt").write_text("".join(lines))
    ids = {token: number for number, token in enumerate(WHISPER)}
    languages = [ids[f"<|{language}|>"] for language in LANGUAGES]
    start = [ids["<|startoftranscript|>"], *((languages[0], ids["<|transcribe|>"]) if multilingual else ())]
    metadata = {
        "n_mels": MELS,
        "n_text_layer": 1,
        "n_text_ctx": 448,
        "n_text_state": SIZE,
        "n_vocab": len(WHISPER),
        "sot": start[0],
        "eot": ids["<|endoftext|>"],
        "blank_id": 0,
        "is_multilingual": int(multilingual),
        **{name: ids[f"<|{name}|>"] for name in ("translate", "transcribe")},
        "no_timestamps": ids["<|notimestamps|>"],
        "no_speech": ids["<|nospeech|>"],
        "sot_sequence": ",".join(map(str, start)),
        "all_language_tokens": ",".join(map(str, languages)),
        "all_language_codes": ",".join(LANGUAGES),
        "model_type": "whisper-tiny",
    }
    graph = Graph(1)
    sound = graph.op("Transpose", graph.input("mel", FLOAT, 1, MELS, "time"), perm=[0, 2, 1])
    for side in "kv":
        layer = graph.op("Unsqueeze", graph.op("MatMul", sound, graph.weights(MELS, SIZE)), graph.constant([0]))
        graph.output(f"n_layer_cross_{side}", FLOAT, layer, 1, 1, "time", SIZE)
    graph.save(folder / "tiny-encoder.int8.onnx", metadata)
    graph = Graph(2)
    tokens = graph.input("tokens", INT64, 1, "n")
    caches = [graph.input(f"in_n_layer_self_{side}_cache", FLOAT, 1, 1, 448, SIZE) for side in "kv"]
    sound, _ = (graph.input(f"n_layer_cross_{side}", FLOAT, 1, 1, "time", SIZE) for side in "kv")
    place = graph.op("Gather", graph.weights(448, SIZE), graph.input("offset", INT64, 1))
    heard = graph.op("Squeeze", graph.op("ReduceMean", sound, axes=[2], keepdims=0), graph.constant([0]))
    graph.output("logits", FLOAT, _spoken(graph, tokens, graph.op("Add", heard, place)), 1, "n", len(WHISPER))
    for side, cache in zip("kv", caches, strict=True):
        graph.output(f"out_n_layer_self_{side}_cache", FLOAT, cache, 1, 1, 448, SIZE)
    graph.save(folder / "tiny-decoder.int8.onnx")
    return folder


def whisper_for_onnx_asr(folder: Path) -> Path:
    """Make a folder as onnx-community publishes Whisper; its decoder keeps no cache."""
    folder.mkdir(parents=True)
    ids = {token.replace(" ", "\u0120"): number for number, token in enumerate(WHISPER)}
    for name, is_added in (("vocab", False), ("added_tokens", True)):
        chosen = {token: number for token, number in ids.items() if token.startswith("<") == is_added}
        (folder / f"{name}.json").write_text(json.dumps(chosen))
    (folder / "config.json").write_text(json.dumps({"model_type": "whisper", "num_mel_bins": MELS}))
    graph = Graph(71)
    sound = graph.op("Transpose", graph.input("input_features", FLOAT, "batch", MELS, "time"), perm=[0, 2, 1])
    hidden = graph.op("MatMul", sound, graph.weights(MELS, SIZE))
    graph.output("last_hidden_state", FLOAT, hidden, "batch", "time", SIZE)
    graph.save(folder / "encoder_model.onnx")
    graph = Graph(72)
    tokens = graph.input("input_ids", INT64, "batch", "n")
    hidden = graph.input("encoder_hidden_states", FLOAT, "batch", "time", SIZE)
    place = graph.op("Gather", graph.weights(448, SIZE), graph.cut(graph.op("Shape", tokens), 0, 1, 2))
    heard = graph.op("Add", graph.op("ReduceMean", hidden, axes=[1], keepdims=0), place)
    graph.output("logits", FLOAT, _spoken(graph, tokens, heard), "batch", "n", len(WHISPER))
    graph.save(folder / "decoder_model_merged.onnx")
    return folder


def _spoken(graph: Graph, tokens: str, heard: str) -> str:
    """Add what chooses the next word by the sound (batch, SIZE), all tokens so far, and each of them."""
    embedded = graph.op("Gather", graph.weights(len(WHISPER), SIZE, scale=2), tokens)
    context = graph.op("Add", embedded, graph.op("ReduceMean", embedded, axes=[1], keepdims=1))
    hidden = graph.op("Tanh", graph.op("Add", context, graph.op("Unsqueeze", heard, graph.constant([1]))))
    languages = {f"<|{language}|>": -20.0 for language in LANGUAGES}  # chosen among themselves only
    bias = graph.bias(WHISPER, {"<|endoftext|>": 1.0, **languages})
    return graph.op("Add", graph.op("MatMul", hidden, graph.weights(SIZE, len(WHISPER))), bias)


def canary(folder: Path) -> Path:
    """Make a folder as istupakov publishes Canary."""
    folder.mkdir(parents=True)
    special = ["startofcontext", "startoftranscript", "emo:undefined", *LANGUAGES, "pnc", "noitn", "notimestamp"]
    names = [*special, "nodiarize", "endoftext"]
    tokens = [SPACE, *(word.replace(" ", SPACE) for word in WORDS), *(f"<|{name}|>" for name in names)]
    write_tokens(folder / "vocab.txt", tokens)
    config = {"model_type": "nemo-conformer-aed", "features_size": MELS, "max_sequence_length": 40}
    (folder / "config.json").write_text(json.dumps(config))
    graph = Graph(11)
    audio = graph.op("Transpose", graph.input("audio_signal", FLOAT, "batch", MELS, "time"), perm=[0, 2, 1])
    graph.input("length", INT64, "batch")
    hidden = graph.op("MatMul", audio, graph.weights(MELS, SIZE, scale=0.2))
    graph.output("encoder_embeddings", FLOAT, hidden, "batch", "time", SIZE)
    mask = graph.op("Cast", graph.op("ReduceMax", hidden, axes=[2], keepdims=0), to=INT64)
    graph.output("encoder_mask", INT64, mask, "batch", "time")
    graph.save(folder / "encoder-model.onnx")
    graph = Graph(12)
    embedded = graph.op("Gather", graph.weights(len(tokens), SIZE, scale=2), graph.input("input_ids", INT64, "b", "n"))
    sound = graph.input("encoder_embeddings", FLOAT, "b", "time", SIZE)
    graph.input("encoder_mask", INT64, "b", "time")
    memory = graph.input("decoder_mems", FLOAT, 1, "b", "m", SIZE)
    states = graph.op("Concat", memory, graph.op("Unsqueeze", embedded, graph.constant([0])), axis=2)
    graph.output("decoder_hidden_states", FLOAT, states, 1, "b", "k", SIZE)
    before = graph.op("Squeeze", graph.op("ReduceMean", states, axes=[2], keepdims=1), graph.constant([0]))
    context = graph.op("Add", embedded, graph.op("Add", before, graph.op("ReduceMean", sound, axes=[1], keepdims=1)))
    logits = graph.op("MatMul", graph.op("Tanh", context), graph.weights(SIZE, len(tokens)))
    biased = graph.op("Add", logits, graph.bias(tokens, {"<|endoftext|>": 0.5}))
    graph.output("logits", FLOAT, graph.op("LogSoftmax", biased, axis=-1), "b", "n", len(tokens))
    graph.save(folder / "decoder-model.onnx")
    return folder


def sense_voice(folder: Path) -> Path:
    """Make a folder as k2-fsa publishes SenseVoice: it says its language first, then words."""
    folder.mkdir(parents=True)
    tags = [f"<|{name}|>" for name in (*ASIAN, "NEUTRAL", "Speech", "withitn")]
    tokens = ["<blank>", *tags, *(word.replace(" ", SPACE) for word in WORDS)]
    write_tokens(folder / "tokens.txt", tokens)
    metadata = {
        "vocab_size": len(tokens),
        "lfr_window_size": 7,
        "lfr_window_shift": 6,
        "normalize_samples": 0,
        "with_itn": 14,
        "without_itn": 15,
        "lang_auto": 0,
        "model_type": "sense_voice_ctc",
        **{f"lang_{language}": number for number, language in enumerate(ASIAN, 1)},
        "neg_mean": ",".join(["0"] * 7 * MELS),
        "inv_stddev": ",".join(["0.1"] * 7 * MELS),
    }
    graph = Graph(1)
    sound = graph.input("x", FLOAT, "batch", "time", 7 * MELS)
    graph.input("x_length", INT32, "batch")
    language = graph.input("language", INT32, "batch")
    graph.input("text_norm", INT32, "batch")
    logits = graph.op("MatMul", sound, graph.weights(7 * MELS, len(tokens), scale=0.3))
    words = graph.op("Add", logits, graph.bias(tokens, {"<blank>": 1.0}))
    told = np.zeros((len(ASIAN) + 1, len(tokens)))
    told[np.arange(1, len(ASIAN) + 1), np.arange(1, len(ASIAN) + 1)] = 1000
    tagged = np.full((4, len(tokens)), -10_000.0)
    tagged[0, 1 : len(ASIAN) + 1] = 0
    for place, tag in enumerate(("<|NEUTRAL|>", "<|Speech|>", "<|withitn|>"), 1):
        tagged[place, tokens.index(tag)] = 0
    guess = graph.op("Add", graph.op("ReduceMean", logits, axes=[1]), graph.constant(tagged, np.float32))
    wish = graph.op("Unsqueeze", graph.op("Gather", graph.constant(told, np.float32), language), graph.constant([1]))
    everything = graph.op("Concat", graph.op("Add", guess, wish), words, axis=1)
    graph.output("logits", FLOAT, everything, "batch", "frames", len(tokens))
    graph.save(folder / "model.int8.onnx", metadata)
    return folder
