"""sherpa-onnx: Parakeet, Zipformer, Whisper, Moonshine and SenseVoice, each recognised by the files in its folder.

A Zipformer made for it decodes while it is fed. Only transducers (Parakeet, Zipformer) can be told which words to
expect. The library runs an utterance in one call, which cannot be interrupted.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np

from v2m.domain.audio import SAMPLE_RATE_HZ
from v2m.domain.errors import EngineError
from v2m.domain.offers import ANY, can_do, primary
from v2m.domain.ports import EngineCapabilities, SpeechStream
from v2m.domain.transcript import Hypothesis
from v2m.infrastructure._translate import translate
from v2m.infrastructure.engines._model_files import ModelFiles, missing_extra, reason
from v2m.infrastructure.engines._sherpa_models import Kind, SherpaModel, recognise
from v2m.infrastructure.engines._sherpa_words import BEAM, favouring, spelt
from v2m.infrastructure.engines._tokens import heard, joined
from v2m.infrastructure.engines._whole import Floats, WholeStream, as_floats, check_language, filled_up, pieces

GREEDY: Final = "greedy_search"
TRANSDUCERS: Final = (Kind.NEMO, Kind.TRANSDUCER, Kind.STREAMING)
TOLD: Final = (Kind.WHISPER, Kind.SENSE_VOICE)  # which language: any other than its own ends the process
# A Whisper model hears 30 s; the library takes 29.5 s and drops the rest (csrc/offline-recognizer-whisper-impl.h).
LONGEST_S: Final = {Kind.WHISPER: 29.0}
TAIL_S: Final = 0.66  # of silence, for the last chunk of a streaming model (k2-fsa/sherpa-onnx, python-api-examples)


class SherpaOnnxEngine:
    """The model in memory; one utterance is decoded at a time."""

    def __init__(
        self,
        *,
        model: str | Path,
        models_dir: Path | None = None,
        threads: int = 1,
        provider: str = "cpu",
        decoding: str = "auto",
        hotwords: Sequence[str] = (),
        hotwords_score: float = 1.5,
        languages: Sequence[str] = (),
        knows: Sequence[str] = (),
    ) -> None:
        """Take a folder, or the name of a model below `models_dir`.

        `languages` are those that `auto` may find; `knows` are those of the model, where that is known of it better
        than its files tell. `decoding` auto searches by beam where there are hotwords, else greedily.
        """
        self._files = ModelFiles("sherpa", model, models_dir)
        self._provider = provider
        self._threads = threads
        self._decoding = decoding
        self._hotwords = hotwords
        self._hotwords_score = hotwords_score
        self._allowed = [primary(language) for language in languages]
        self._capabilities = EngineCapabilities(
            name=f"sherpa-{self._files.name}", languages=tuple(knows) or ANY, gpu=provider == "cuda"
        )
        self._knows = tuple(knows)
        self._language = ""  # the recogniser's, where it has one
        self._last = ""  # the one that was found last

    @property
    def capabilities(self) -> EngineCapabilities:
        """What it can do; known once it is loaded."""
        return self._capabilities

    def load(self) -> None:
        """Read the model and decode a second of silence.

        Raises:
            ModelMissingError: sherpa-onnx is not installed; or the model is not, is damaged, or of an unknown kind.
            EngineError: the model cannot be searched as the settings say.
        """
        with translate(missing_extra("sherpa-onnx", "sherpa"), ImportError, OSError):
            import sherpa_onnx

        self._library: ModuleType = sherpa_onnx
        folder = self._files.folder()
        with translate(self._files.unusable, ValueError, OSError):
            self._model = recognise(folder, prefer_int8=self._provider == "cpu")
        if self._decoding == BEAM and self._model.kind not in TRANSDUCERS:
            raise EngineError(
                f"The model {self._files.name} cannot be decoded with {BEAM}; transducers can.",
                hint='Set transcription.sherpa.decoding to "auto".',
            )
        languages = self._model.languages if self._model.kind in TOLD else self._knows or self._model.languages
        self._allowed = [language for language in self._allowed if can_do(languages, language)]
        favours = self._decoding != GREEDY and self._model.kind in TRANSDUCERS
        self._expected = spelt(self._model, self._hotwords) if favours else []
        self._capabilities = replace(
            self._capabilities,
            languages=languages,
            streaming=self._model.kind is Kind.STREAMING,
            hotwords=favours,
            **self._accelerated(),
        )
        with translate(self._files.unusable, Exception):  # the library's errors have no common base
            self._build("")
            stream = self.open_stream("auto")
            stream.feed(bytes(SAMPLE_RATE_HZ * 2))
            stream.finish(lambda: None)

    def open_stream(self, language: str) -> SpeechStream:
        """Begin an utterance. Raises EngineError for a language that the model does not know."""
        check_language(self._capabilities, language)
        if self._model.kind is Kind.STREAMING:
            with translate(_failed, RuntimeError):
                return SherpaStream(self._recogniser, partial(_hypothesis, self._model))
        return WholeStream(partial(self._decode, language))

    # --- decoding -------------------------------------------------------------------------------------

    def _decode(
        self, language: str, samples: Floats, abandoned: threading.Event, alive: Callable[[], None]
    ) -> Hypothesis:
        """Return the text of an utterance; abandoned, of the pieces of it that are decoded."""
        longest_s = LONGEST_S.get(self._model.kind)
        parts = []
        with translate(_failed, RuntimeError, ValueError, IndexError):
            for piece in pieces(samples, longest_s) if longest_s else [samples]:
                alive()
                parts.append(self._run(language, filled_up(piece)))
                if abandoned.is_set():
                    break
        return parts[0] if len(parts) == 1 else joined(parts)

    def _run(self, language: str, samples: Floats) -> Hypothesis:
        """Decode; once more in a language of the user's when the one that was found is none."""
        if language != "auto" or len(self._allowed) == 1:
            return self._run_in(self._allowed[0] if language == "auto" else primary(language), samples)
        hypothesis = self._run_in("", samples)
        if self._allowed and hypothesis.language and hypothesis.language not in self._allowed:
            return self._run_in(self._last or self._allowed[0], samples)
        self._last = hypothesis.language
        return hypothesis

    def _run_in(self, language: str, samples: Floats) -> Hypothesis:
        """Decode in a language, where the model can be told one; empty lets it find out."""
        if language != self._language and self._model.kind is Kind.SENSE_VOICE:
            self._build(language)
        elif language != self._language and self._model.kind is Kind.WHISPER:
            config = self._recogniser.config
            config.model_config.whisper.language = self._language = language
            self._recogniser.recognizer.set_config(config)
        stream = self._recogniser.create_stream()
        stream.accept_waveform(SAMPLE_RATE_HZ, samples)
        self._recogniser.decode_stream(stream)
        result = stream.result
        if self._model.kind is Kind.WHISPER and len(self._model.languages) > 1 and not result.lang:
            raise RuntimeError("the model failed, and said so in the log only.")
        told = result.lang.strip("<|>")
        return _hypothesis(self._model, result.text, result.tokens, result.ys_log_probs, result.timestamps, told)

    # --- loading --------------------------------------------------------------------------------------

    def _build(self, language: str) -> None:
        """Make the recogniser; the kind of model decides by which function."""
        self._language = language
        files = {part: str(file) for part, file in self._model.files.items()}
        common = {"num_threads": self._threads, "provider": self._provider}
        offline, online = self._library.OfflineRecognizer, self._library.OnlineRecognizer
        method = GREEDY if self._decoding == "auto" else self._decoding
        plainly = nullcontext({"decoding_method": method})
        favoured = favouring(self._model, self._expected, self._hotwords_score)
        with favoured if self._expected else plainly as search:
            match self._model.kind:
                case Kind.NEMO | Kind.TRANSDUCER as kind:
                    self._recogniser: Any = offline.from_transducer(**files, model_type=kind.value, **common, **search)
                case Kind.STREAMING:
                    model_type = self._model.remarks["model_type"]
                    self._recogniser = online.from_transducer(**files, model_type=model_type, **common, **search)
                case Kind.WHISPER:
                    self._recogniser = offline.from_whisper(**files, language=language, **common)
                case Kind.MOONSHINE:
                    self._recogniser = offline.from_moonshine_v2(**files, **common)
                case Kind.SENSE_VOICE:
                    self._recogniser = offline.from_sense_voice(**files, language=language, use_itn=True, **common)

    def _accelerated(self) -> Mapping[str, Any]:
        """Return whether a GPU does the work; the library itself falls back without a word to the program."""
        with_cuda = list((Path(self._library.__path__[0]) / "lib").glob("*providers_cuda*"))
        if self._provider == "cpu" or with_cuda:
            return {}
        return {"gpu": False, "notice": "This sherpa-onnx was built without CUDA, so it runs on the CPU."}


class SherpaStream:
    """One utterance of a model that decodes while it is fed."""

    def __init__(self, recogniser: Any, conclude: Callable[..., Hypothesis]) -> None:  # noqa: ANN401 - no types
        """`conclude` makes a hypothesis of text, tokens, their log-probabilities and their times."""
        self._recogniser = recogniser
        self._conclude = conclude
        self._stream = recogniser.create_stream()
        self._abandoned = threading.Event()
        self._fed = False

    def feed(self, pcm: bytes | memoryview) -> None:
        """Take S16LE mono 16 kHz and decode what is complete. Raises EngineError."""
        if len(pcm):
            self._fed = True
            self._advance(as_floats(pcm), lambda: None)

    def finish(self, alive: Callable[[], None] = lambda: None) -> Hypothesis:
        """Decode the rest; no audio has no text. Raises EngineError."""
        if not self._fed:
            return Hypothesis("")
        self._advance(np.zeros(round(TAIL_S * SAMPLE_RATE_HZ), np.float32), alive)
        result = self._recogniser.get_result_all(self._stream)
        return self._conclude(result.text, result.tokens, result.ys_probs, result.timestamps)

    def abandon(self) -> None:
        """Make a running `feed` or `finish` return after the chunk it is at; called from any thread."""
        self._abandoned.set()

    def _advance(self, samples: Floats, alive: Callable[[], None]) -> None:
        with translate(_failed, RuntimeError, ValueError, IndexError):
            self._stream.accept_waveform(SAMPLE_RATE_HZ, samples)
            while not self._abandoned.is_set() and self._recogniser.is_ready(self._stream):
                alive()
                self._recogniser.decode_stream(self._stream)


def _hypothesis(
    model: SherpaModel,
    text: str,
    tokens: Sequence[str],
    likelihoods: Sequence[float],
    starts_s: Sequence[float],
    language: str = "",
) -> Hypothesis:
    """Return a result of the library; a favoured token's probability comes with its bonus, above 1."""
    if model.is_upper_case:
        text, tokens = text.lower(), [token.lower() for token in tokens]
    return heard(text, tokens, [min(0.0, value) for value in likelihoods], starts_s, language)


def _failed(error: Exception) -> EngineError:
    return EngineError(f"sherpa-onnx failed: {reason(error)}", hint="v2m models verify")
