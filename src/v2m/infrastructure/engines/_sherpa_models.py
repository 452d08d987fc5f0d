"""Recognises what kind of sherpa-onnx model a folder holds, and whether it is one that the library survives.

sherpa-onnx raises for a damaged ONNX file, but ends the process for a missing remark in its metadata and for a
tokens.txt that it cannot read (csrc/macros.h: SHERPA_ONNX_EXIT); so these are looked at beforehand.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from v2m.domain.offers import ANY, EUROPEAN, WHISPER
from v2m.infrastructure.engines._onnx_file import read_metadata

SUFFIXES: Final = (".onnx", ".ort")
UNKNOWN: Final = "its files are not those of a kind of sherpa-onnx model that v2m knows."


class Kind(StrEnum):
    """The families of models, by the function of the library that loads them."""

    NEMO = "nemo_transducer"  # Parakeet and its relatives
    TRANSDUCER = "transducer"  # Zipformer
    STREAMING = "streaming transducer"  # Zipformer that decodes while it is fed
    WHISPER = "whisper"
    MOONSHINE = "moonshine"
    SENSE_VOICE = "sense_voice"


# Which remarks the library reads, of which file; without them it ends the process (csrc/*-model.cc of 2.0.1).
_DECODER: Final = {"decoder": ("vocab_size", "context_size")}
_ZIPFORMER: Final = ("encoder_dims", "num_encoder_layers", "cnn_module_kernels", "left_context_len", "T")
NEEDED: Final[Mapping[Kind, Mapping[str, tuple[str, ...]]]] = {
    Kind.NEMO: {"encoder": ("vocab_size", "subsampling_factor", "pred_rnn_layers", "pred_hidden")},
    Kind.TRANSDUCER: _DECODER,
    Kind.STREAMING: {"encoder": (*_ZIPFORMER, "decode_chunk_len"), **_DECODER},
    Kind.WHISPER: {
        "encoder": (
            *("n_mels", "n_text_layer", "n_text_ctx", "n_text_state", "n_vocab", "sot", "eot", "blank_id"),
            *("translate", "transcribe", "is_multilingual", "no_timestamps", "no_speech", "sot_sequence"),
        )
    },
    Kind.MOONSHINE: {},
    Kind.SENSE_VOICE: {
        "model": (
            *("vocab_size", "lfr_window_size", "lfr_window_shift", "normalize_samples", "with_itn", "without_itn"),
            *("lang_auto", "lang_zh", "lang_en", "lang_ja", "lang_ko", "lang_yue", "neg_mean", "inv_stddev"),
        )
    },
}
_FOR_STREAMS: Final = ("decode_chunk_len", "T", "left_context_len", "window_size")  # what no other encoder says
_STREAMING_TYPES: Final = {"zipformer": ("attention_dims",), "zipformer2": ("query_head_dims", "value_head_dims")}


@dataclass(frozen=True, slots=True)
class SherpaModel:
    """The files of a model by their part in it, and what they say about themselves."""

    kind: Kind
    files: Mapping[str, Path]
    tokens: Mapping[int, str]
    remarks: Mapping[str, str] = field(default_factory=dict)  # of the encoder, or the only model

    @property
    def languages(self) -> tuple[str, ...]:
        """What it can do, as far as its files tell, or the name that it was published under; else any."""
        if self.kind is Kind.WHISPER:
            codes = self.remarks.get("all_language_codes", "").split(",")
            return tuple(codes) if self.remarks["is_multilingual"] != "0" else ("en",)
        if self.kind is Kind.SENSE_VOICE:
            return ("zh", "en", "ja", "ko", "yue")
        words = self.files["tokens"].parent.name.lower().replace("_", "-").split("-")
        if words[0] != "sherpa":  # somebody's own name, where a word may look like a language
            return ANY
        if "parakeet" in words:
            return EUROPEAN if "v3" in words else ("en",)
        return tuple(word for word in words if word in WHISPER) or ANY

    @property
    def is_upper_case(self) -> bool:
        """Whether it writes capitals only."""
        letters = "".join(token for token in self.tokens.values() if not token.startswith("<"))
        return letters.upper() == letters != letters.lower()


def recognise(folder: Path, *, prefer_int8: bool) -> SherpaModel:
    """Return the model of a folder; of several variants the 8-bit one, or the other.

    Raises:
        ValueError: it is none, is cut off, or lacks what the library needs.
        OSError: a file cannot be read.
    """
    found = {part: _pick(folder, part, prefer_int8=prefer_int8) for part in ("encoder", "decoder", "joiner", "model")}
    files = {part: file for part, file in found.items() if file is not None}
    if "encoder" in files:
        files.pop("model", None)
    remarks = {part: read_metadata(file) for part, file in files.items() if file.suffix == ".onnx"}
    kind = _kind(files, remarks)
    for part, names in NEEDED[kind].items():
        _require(files[part], remarks.get(part, {}), names)
    if kind is Kind.STREAMING:
        _require(files["encoder"], remarks["encoder"], _STREAMING_TYPES[remarks["encoder"]["model_type"]])
    if kind is Kind.WHISPER and remarks["encoder"]["is_multilingual"] != "0":
        _require(files["encoder"], remarks["encoder"], ("all_language_tokens", "all_language_codes"))
    files["tokens"] = next(iter(sorted(folder.glob("*tokens.txt"))), folder / "tokens.txt")
    tokens = read_tokens(files["tokens"])
    if not _fits(kind, tokens, remarks):
        raise ValueError(f"{files['tokens'].name} is not the whole list of this model.")
    return SherpaModel(kind, files, tokens, remarks.get("encoder") or remarks.get("model") or {})


def read_tokens(file: Path) -> dict[int, str]:
    """Return the tokens of `token id` lines by their ids.

    Raises:
        ValueError: a line is none, or there is no line.
        OSError: the file cannot be read.
    """
    tokens: dict[int, str] = {}
    for line in file.read_bytes().split(b"\n"):  # as bytes, since a token may be any other kind of space
        words = line.split()
        if not words:
            continue
        if len(words) > 2 or not words[-1].isdigit():
            raise ValueError(f"{file.name} is no list of tokens.")
        tokens[int(words[-1])] = words[0].decode("utf-8") if len(words) == 2 else " "
    if not tokens:
        raise ValueError(f"{file.name} is empty.")
    return tokens


def _pick(folder: Path, part: str, *, prefer_int8: bool) -> Path | None:
    """Return the file of one part of a model."""
    files = [file for file in sorted(folder.glob(f"*{part}*")) if file.suffix in SUFFIXES]
    if part == "model":
        files = [file for file in files if file.name.startswith("model")]
    return min(files, key=lambda file: (".int8." in file.name) != prefer_int8, default=None)


def _kind(files: Mapping[str, Path], remarks: Mapping[str, Mapping[str, str]]) -> Kind:
    main = remarks.get("encoder") or remarks.get("model") or {}
    match sorted(files):
        case ["decoder", "encoder", "joiner"] if not any(name in main for name in _FOR_STREAMS):
            return Kind.NEMO if "pred_hidden" in main else Kind.TRANSDUCER
        case ["decoder", "encoder", "joiner"] if main.get("model_type") in _STREAMING_TYPES:
            return Kind.STREAMING
        case ["decoder", "encoder"] if "merged" in files["decoder"].name:
            return Kind.MOONSHINE
        case ["decoder", "encoder"] if "n_text_layer" in main:
            return Kind.WHISPER
        case ["model"] if "lang_auto" in main:
            return Kind.SENSE_VOICE
    raise ValueError(UNKNOWN)


def _require(file: Path, remarks: Mapping[str, str], names: tuple[str, ...]) -> None:
    missing = [name for name in names if not remarks.get(name)]
    if missing:
        raise ValueError(f"{file.name} does not say its {', '.join(missing)}.")


def _fits(kind: Kind, tokens: Mapping[int, str], remarks: Mapping[str, Mapping[str, str]]) -> bool:
    """Tell whether this is the list of the model, and no other one's, or half of one."""
    if kind is Kind.NEMO:  # which counts without the blank token, the last one
        size = int(remarks["encoder"]["vocab_size"])
        return len(tokens) == size + 1 and tokens.get(size) == "<blk>"
    sizes = {
        Kind.TRANSDUCER: ("decoder", "vocab_size"),
        Kind.STREAMING: ("decoder", "vocab_size"),
        Kind.WHISPER: ("encoder", "eot"),  # its list ends before the special tokens
        Kind.SENSE_VOICE: ("model", "vocab_size"),
    }
    part, name = sizes.get(kind, ("", ""))
    return not part or max(tokens) + 1 >= int(remarks[part][name])
