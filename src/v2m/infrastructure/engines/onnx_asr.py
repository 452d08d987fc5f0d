"""onnx-asr: Parakeet, Canary, Whisper, GigaAM and others, loaded by the library from a folder of this machine.

The library runs an utterance in one call, which cannot be interrupted. It never fetches a model: it is given a
folder that exists, and then it does not look at the network.
"""

import json
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from v2m.domain.audio import SAMPLE_RATE_HZ
from v2m.domain.errors import EngineError
from v2m.domain.offers import ANY, EUROPEAN, WHISPER, can_do, primary
from v2m.domain.ports import EngineCapabilities
from v2m.domain.transcript import Hypothesis
from v2m.infrastructure._translate import translate
from v2m.infrastructure.engines._model_files import ModelFiles, missing_extra, reason
from v2m.infrastructure.engines._tokens import heard, joined
from v2m.infrastructure.engines._whole import Floats, WholeStream, as_floats, check_language, filled_up, pieces

CANARY: Final = "nemo-conformer-aed"  # decodes in the language that it is told, and does not find it out
WHISPERS: Final = ("whisper", "whisper-ort")
LONGEST_S: Final = 30.0  # what Whisper hears at once
PROVIDERS: Final = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxAsrEngine:
    """The model in memory; one utterance is decoded at a time."""

    def __init__(
        self,
        *,
        model: str | Path,
        models_dir: Path | None = None,
        quantization: str = "",
        provider: str = "cpu",
        threads: int = 1,
        languages: Sequence[str] = (),
        knows: Sequence[str] = (),
    ) -> None:
        """Take a folder, or the name of a model below `models_dir`.

        `quantization` is that of the files, such as int8; empty: none, or the 8-bit ones where these are all there
        are. `languages` are those that `auto` may find; `knows` are those of the model, where that is known of it
        better than its files tell.
        """
        self._files = ModelFiles("onnx-asr", model, models_dir)
        self._quantization = quantization
        self._provider = provider
        self._threads = threads
        self._languages = languages
        self._knows = tuple(knows)
        self._type = ""
        self._model: Any = None
        self._capabilities = EngineCapabilities(
            name=f"onnx-asr-{self._files.name}", languages=self._knows or ANY, gpu=provider == "cuda"
        )

    @property
    def capabilities(self) -> EngineCapabilities:
        """What it can do; known once it is loaded."""
        return self._capabilities

    def load(self) -> None:
        """Read the model and decode a second of silence.

        Raises:
            ModelMissingError: onnx-asr is not installed; or the model is not, is damaged, or of an unknown kind.
        """
        with translate(missing_extra("onnx-asr", "onnx-asr"), ImportError, OSError):
            import onnx_asr
            import onnxruntime

        folder = self._files.folder()
        if self._provider == "cuda" and PROVIDERS["cuda"] not in onnxruntime.get_available_providers():
            notice = "This onnxruntime was built without CUDA, so onnx-asr runs on the CPU."
            self._capabilities = replace(self._capabilities, gpu=False, notice=notice)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4  # its errors come as exceptions
        providers = [PROVIDERS["cuda"], PROVIDERS["cpu"]] if self._capabilities.gpu else [PROVIDERS["cpu"]]
        with translate(self._files.unusable, Exception):  # onnxruntime's errors have no common base
            self._type = _type_of(folder)
            load = partial(onnx_asr.load_model, self._type, folder, sess_options=options, providers=providers)
            self._model = self._load_variant(load).with_timestamps()
            languages = self._known(folder)
            self._capabilities = replace(self._capabilities, languages=languages)
            self._recognise(filled_up(as_floats(bytes(SAMPLE_RATE_HZ * 2))), "auto")
        allowed = self._allowed()
        if self._type == CANARY and len(allowed) != 1:
            notice = f"Canary does not find out the language: it takes {allowed[0] if allowed else 'en'}."
            self._capabilities = replace(self._capabilities, notice=notice)

    def open_stream(self, language: str) -> WholeStream:
        """Begin an utterance. Raises EngineError for a language that the model does not know."""
        check_language(self._capabilities, language)
        return WholeStream(partial(self._decode, language))

    # --- decoding -------------------------------------------------------------------------------------

    def _decode(
        self, language: str, samples: Floats, abandoned: threading.Event, alive: Callable[[], None]
    ) -> Hypothesis:
        """Return the text of an utterance; abandoned, of the pieces of it that are decoded."""
        parts = []
        for piece in pieces(samples, LONGEST_S) if self._type in WHISPERS else [samples]:
            alive()
            with translate(_failed, Exception):  # onnxruntime's errors have no common base
                parts.append(self._recognise(filled_up(piece), language))
            if abandoned.is_set():
                break
        return parts[0] if len(parts) == 1 else joined(parts)

    def _recognise(self, samples: Floats, language: str) -> Hypothesis:
        if language == "auto":
            allowed = self._allowed()
            is_clear = len(allowed) == 1 or (allowed and self._type == CANARY)
            language = allowed[0] if is_clear else ""
        told = {"language": primary(language)} if language and self._type in (CANARY, *WHISPERS) else {}
        result = self._model.recognize(samples, sample_rate=SAMPLE_RATE_HZ, **told)
        return heard(
            result.text, result.tokens or (), result.logprobs or (), result.timestamps or (), told.get("language", "")
        )

    def _allowed(self) -> list[str]:
        """Return those of the user's languages that the model knows."""
        return [primary(tag) for tag in self._languages if can_do(self._capabilities.languages, tag)]

    # --- loading --------------------------------------------------------------------------------------

    def _load_variant(self, load: Callable[..., Any]) -> Any:  # noqa: ANN401 - the library's
        """Return the model in the quantization that was asked for, or that there is."""
        try:
            return load(quantization=self._quantization or None)
        except FileNotFoundError:
            if not self._quantization:
                with suppress(FileNotFoundError):
                    return load(quantization="int8")
            raise

    def _known(self, folder: Path) -> tuple[str, ...]:
        """Return the languages of the model: those it has a token for where it is told one, else what is known."""
        if self._type in (CANARY, *WHISPERS):
            file = folder / ("vocab.txt" if self._type == CANARY else "added_tokens.json")
            text = file.read_text(encoding="utf-8")
            return tuple(code for code in WHISPER if f"<|{code}|>" in text) or ("en",)
        if self._knows:
            return self._knows
        if "parakeet" in folder.name.lower():
            return EUROPEAN if "v3" in folder.name.lower() else ("en",)
        return ANY


def _type_of(folder: Path) -> str:
    """Return the library's name of the model's kind. Raises ValueError, OSError when the folder does not tell."""
    file = folder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    kind = config.get("model_type") if isinstance(config, dict) else None
    if isinstance(kind, str) and "/" not in kind:
        return kind
    if (folder / "vocab.txt").is_file() and any(folder.glob("decoder_joint-model*")):
        return "nemo-conformer-tdt" if "tdt" in folder.name.lower() else "nemo-conformer-rnnt"
    raise ValueError("its config.json names no model_type that onnx-asr knows.")


def _failed(error: Exception) -> EngineError:
    return EngineError(f"onnx-asr failed: {reason(error)}", hint="v2m models verify")
