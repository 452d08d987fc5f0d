"""Whisper through faster-whisper (CTranslate2): 99 languages, on a GPU where there is one.

When CUDA is missing, or fails while it loads or at any later decode, the model is loaded once more on the CPU in
int8, and the same audio is decoded there. Nothing is ever fetched: a model is a folder on this machine.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from v2m.domain.audio import SAMPLE_RATE_HZ
from v2m.domain.errors import EngineError
from v2m.domain.languages import choose_language
from v2m.domain.offers import ANY, primary
from v2m.domain.ports import EngineCapabilities
from v2m.domain.transcript import Hypothesis
from v2m.infrastructure._translate import translate
from v2m.infrastructure.engines._model_files import ModelFiles, missing_extra, reason
from v2m.infrastructure.engines._whole import Floats, WholeStream, check_language, filled_up

# Without tokenizer.json the library would fetch one; the vocabulary's file has two names.
NEEDED: Final = (("model.bin",), ("config.json",), ("tokenizer.json",), ("vocabulary.json", "vocabulary.txt"))
TEMPERATURES: Final = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
# A decode counts as failed, and is tried at the next temperature, or is taken for silence, at the limits of the
# reference implementation (openai/whisper, whisper/transcribe.py). What was said before leads into repetition.
AGAINST_LOOPS: Final = {
    "condition_on_previous_text": False,
    "no_speech_threshold": 0.6,
    "log_prob_threshold": -1.0,
    "compression_ratio_threshold": 2.4,
}
PRECISION: Final = {"cuda": "int8_float16", "cpu": "int8"}  # of compute_type auto


class FasterWhisperEngine:
    """The model in memory; one utterance is decoded at a time."""

    def __init__(
        self,
        *,
        model: str | Path,
        models_dir: Path | None = None,
        device: str = "auto",
        compute_type: str = "auto",
        device_index: int = 0,
        num_workers: int = 1,
        cpu_threads: int = 0,
        beam_size: int = 5,
        best_of: int = 5,
        temperature: Sequence[float] = TEMPERATURES,
        vad_filter: bool = True,
        vad_parameters: Mapping[str, float] | None = None,
        languages: Sequence[str] = (),
        vocabulary: Sequence[str] = (),
        make_model: Callable[..., Any] | None = None,
    ) -> None:
        """Take a folder, or the name of a model below `models_dir`; the rest is as the settings of these names.

        `cpu_threads` 0: as many as the library thinks right. `languages` are those that `auto` may find;
        `vocabulary` holds words to expect, as they are spelt. `make_model` stands in for
        `faster_whisper.WhisperModel`.
        """
        self._files = ModelFiles("whisper", model, models_dir)
        self._device = device
        self._precision = compute_type
        self._computing = {"device_index": device_index, "num_workers": num_workers, "cpu_threads": cpu_threads}
        self._options = {
            "beam_size": beam_size,
            "best_of": best_of,
            "temperature": list(temperature),
            "vad_filter": vad_filter,
            "vad_parameters": dict(vad_parameters or {}),
            "hotwords": ", ".join(vocabulary) or None,
            **AGAINST_LOOPS,
        }
        self._allowed = languages
        self._make_model = make_model
        self._model: Any = None
        self._codes: dict[str, str] = {}  # Whisper's name of each language it knows
        self._last = ""  # language of the utterance before
        known = ("en",) if self._files.name.endswith(".en") else ANY
        self._capabilities = EngineCapabilities(
            name=f"whisper-{self._files.name}", languages=known, hotwords=True, prompt=True
        )

    @property
    def capabilities(self) -> EngineCapabilities:
        """What it can do; the notice says why the CPU does it, if that was not asked for."""
        return self._capabilities

    def load(self) -> None:
        """Read the model and decode once.

        Raises:
            ModelMissingError: faster-whisper is not installed; or the model is not, is damaged, or is another engine's.
        """
        if self._make_model is None:
            with translate(missing_extra("faster-whisper", "whisper"), ImportError, OSError):
                from faster_whisper import WhisperModel
            self._make_model = WhisperModel
        folder = self._files.folder()
        for names in NEEDED:
            if not any((folder / name).is_file() for name in names):
                raise self._files.unusable(f"there is no {' or '.join(names)} in it.")
        if self._device == "cpu" or not self._load_on_gpu():
            self._load_on_cpu()
            with translate(self._files.unusable, Exception):
                self._try_out()
        self._codes = {primary(code): code for code in self._known_codes()}
        self._capabilities = replace(self._capabilities, languages=tuple(self._codes))

    def open_stream(self, language: str) -> WholeStream:
        """Begin an utterance. Raises EngineError for a language that the model does not know."""
        check_language(self._capabilities, language)
        return WholeStream(partial(self._decode, language))

    def _known_codes(self) -> list[str]:
        """Return Whisper's names of the languages that this model has a token for; older ones know a few less."""
        if not self._model.model.is_multilingual:
            return ["en"]
        token_of = self._model.hf_tokenizer.token_to_id
        return [code for code in self._model.supported_languages if token_of(f"<|{code}|>") is not None]

    # --- where it computes ----------------------------------------------------------------------------

    def _load_on_gpu(self) -> bool:
        """Tell whether a GPU has the model now."""
        try:
            self._load("cuda", self._precision)
            self._try_out()
        except Exception as error:  # noqa: BLE001 - if it is not the GPU's fault, the CPU will tell
            self._give_up_gpu(error)
            return False
        self._capabilities = replace(self._capabilities, gpu=True)
        return True

    def _load_on_cpu(self) -> None:
        """Have the model on the CPU, in the precision that was asked for the CPU, else in int8."""
        wanted = self._precision if self._device == "cpu" else "auto"
        with translate(self._files.unusable, Exception):  # tokenizers raise plain ones
            try:
                self._load("cpu", wanted)
            except ValueError:  # what CTranslate2 raises for a precision that a device does not have
                if wanted in ("auto", PRECISION["cpu"]):
                    raise
                self._load("cpu", "auto")
                notice = f"The CPU cannot compute in {wanted}, so Whisper computes in {PRECISION['cpu']}."
                self._capabilities = replace(self._capabilities, notice=notice)

    def _load(self, device: str, precision: str) -> None:
        """Read the model."""
        assert self._make_model is not None
        self._model = self._make_model(
            str(self._files.folder()),
            device=device,
            compute_type=PRECISION[device] if precision == "auto" else precision,
            **{**self._computing, **({"device_index": 0} if device == "cpu" else {})},
        )

    def _try_out(self) -> None:
        """Decode a second of silence; some faults show only then, and the first decode is slower."""
        silence = np.zeros(SAMPLE_RATE_HZ, np.float32)
        list(self._model.transcribe(silence, language="en", beam_size=1, temperature=0.0, max_new_tokens=1)[0])

    def _give_up_gpu(self, error: Exception) -> None:
        self._model = None  # before there are two
        notice = f"CUDA cannot be used ({reason(error).rstrip('.')}), so Whisper runs on the CPU in {PRECISION['cpu']}."
        self._capabilities = replace(self._capabilities, gpu=False, notice=notice)

    # --- decoding -------------------------------------------------------------------------------------

    def _decode(
        self, language: str, samples: Floats, abandoned: threading.Event, alive: Callable[[], None]
    ) -> Hypothesis:
        """Return the text of an utterance; where the GPU fails, the CPU decodes it from its beginning."""
        if self._capabilities.gpu:
            try:
                return self._transcribe(language, samples, abandoned, alive)
            except (RuntimeError, ValueError) as error:
                self._give_up_gpu(error)
        if self._model is None:
            alive()
            self._load_on_cpu()
        with translate(_failed, RuntimeError, ValueError):
            return self._transcribe(language, samples, abandoned, alive)

    def _transcribe(
        self, language: str, samples: Floats, abandoned: threading.Event, alive: Callable[[], None]
    ) -> Hypothesis:
        """Return the text of an utterance, as far as it is decoded when it is abandoned."""
        alive()
        samples = filled_up(samples)
        code = self._code(language, samples)
        segments, info = self._model.transcribe(samples, language=code, **self._options)
        heard = []
        for segment in segments:
            heard.append(segment)
            alive()
            if abandoned.is_set():
                break
        if not heard:
            return Hypothesis("")
        self._last = primary(info.language)
        text = " ".join(segment.text.strip() for segment in heard)
        return Hypothesis(text, _confidence(heard), language=self._last)

    def _code(self, language: str, samples: Floats) -> str | None:
        """Return Whisper's name of the language to decode in; None lets it find out."""
        if language != "auto":
            return self._codes[primary(language)]
        allowed = [primary(tag) for tag in self._allowed if primary(tag) in self._codes]
        if len(allowed) > 1:
            *_, probabilities = self._model.detect_language(samples)
            return self._codes[choose_language(dict(probabilities), allowed, self._last)]
        return self._codes[allowed[0]] if allowed else None


def _confidence(segments: Iterable[Any]) -> float | None:
    """Return the mean log-probability of all tokens."""
    weights = [(len(segment.tokens), segment.avg_logprob) for segment in segments]
    tokens = sum(weight for weight, _ in weights)
    return sum(weight * value for weight, value in weights) / tokens if tokens else None


def _failed(error: Exception) -> EngineError:
    return EngineError(f"Whisper failed: {reason(error)}", hint="v2m models verify")
