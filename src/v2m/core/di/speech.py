"""Which engines the settings name, what each is built with, and that the languages fit."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from v2m import __version__
from v2m.config import Settings
from v2m.domain.dictation import Sent
from v2m.domain.errors import ConfigError
from v2m.domain.offers import OFFERS, advice, can_do, languages_of, refusal
from v2m.domain.ports import Transcriber
from v2m.domain.text.vocabulary import parse_vocabulary
from v2m.utils.paths import data_dir

if TYPE_CHECKING:
    from v2m.infrastructure.engines._process import WorkerProcess

# A worker that is silent for longer, with work to do, is replaced. Moonshine gives a sign with every token; the other
# engines decode a stretch of 15 s in one call, which on a slow processor takes a large model half a minute.
WORKER_PATIENCE_S: Final = 5.0
LIBRARY_PATIENCE_S: Final = 60.0


OnSent = Callable[[int, Sent], None]


def _ignore(*_: object) -> None:
    pass


def make_transcriber(settings: Settings, on_change: Callable[[], None], on_sent: OnSent = _ignore) -> Transcriber:
    """Return the chosen engine, with those behind it that take over; `on_sent` hears of each upload.

    Raises:
        ConfigError: an engine cannot do a language of the settings; a word of the vocabulary is none.
    """
    first, *others = dict.fromkeys((_chosen(settings), *settings.transcription.fallback))
    check_languages(settings, first)
    if first == "openai":
        return _service(settings, settings.transcription.residency, on_change, on_sent, floor=others)
    return _local(settings, [first, *others], on_change, on_sent)


def _local(settings: Settings, engines: Sequence[str], on_change: Callable[[], None], on_sent: OnSent) -> Transcriber:
    """Return the first engine, and behind it those that take over."""
    from v2m.infrastructure.engines.chain import EngineChain

    first, *others = engines
    serving = _worker(settings, first, _residency(settings, first), on_change)
    if not others:
        return serving
    return EngineChain([serving, *(_substitute(settings, name, on_change, on_sent) for name in others)])


def make_engine(settings: Settings, name: str) -> Transcriber:
    """Return one engine by itself, kept warm, whatever else the settings name."""
    if name == "openai":
        return _service(settings, "warm", _ignore, _ignore)
    return _worker(settings, name, "warm", _ignore)


def _chosen(settings: Settings) -> str:
    backend = settings.transcription.backend
    return "moonshine" if backend == "auto" else backend


def _residency(settings: Settings, engine: str) -> str:
    """Return how long an engine's model stays in memory."""
    if engine == "whisper" and not settings.transcription.whisper.keep_warm:
        return "on-record"
    return settings.transcription.residency


def _substitute(settings: Settings, engine: str, on_change: Callable[[], None], on_sent: OnSent) -> Transcriber:
    """Return an engine that loads nothing until it has to take over; a service's connection is made at once."""
    if engine == "openai":
        return _service(settings, "on-record", on_change, on_sent)
    return _worker(settings, engine, "on-record", on_change)


def _worker(
    settings: Settings, engine: str, residency: str, on_change: Callable[[], None], arguments: Sequence[str] = ()
) -> "WorkerProcess":
    from v2m.infrastructure.engines._process import WorkerProcess

    speech = settings.transcription
    return WorkerProcess(
        engine=engine,
        options=_options(settings, engine),
        vocabulary=settings.vocabulary.words,
        arguments=[*_rules(settings), *arguments],
        residency=residency,
        idle_s=60 * speech.idle_unload_min,
        on_change=on_change,
        patience_s=LIBRARY_PATIENCE_S if engine in OFFERS else WORKER_PATIENCE_S + speech.script_delay_s,
    )


def _rules(settings: Settings) -> list[str]:
    vad = settings.transcription.vad
    return [
        *("--threshold", str(vad.threshold)),
        *("--hold", str(vad.release_threshold)),
        *("--min-speech-s", str(vad.min_speech_ms / 1000)),
        *("--pause-s", str(vad.min_silence_ms / 1000)),
        *("--padding-s", str(vad.speech_pad_ms / 1000)),
        *("--max-s", str(vad.max_segment_s)),
    ]


def _options(settings: Settings, engine: str) -> Mapping[str, Any]:
    """Return the keywords of an engine's adapter."""
    speech = settings.transcription
    models = {"models_dir": str(data_dir() / "models"), "languages": list(speech.languages)}
    match engine:
        case "none":
            return {}
        case "whisper":
            whisper = speech.whisper.model_dump(exclude={"keep_warm"})
            return {**models, **whisper, "cpu_threads": speech.threads}
        case "sherpa":
            sherpa = {**speech.sherpa.model_dump(), "knows": list(_model_languages("sherpa", speech.sherpa.model))}
            return {**models, **sherpa, "threads": speech.threads}
        case "onnx-asr":
            onnx = {**speech.onnx_asr.model_dump(), "knows": list(_model_languages("onnx-asr", speech.onnx_asr.model))}
            return {**models, **onnx, "threads": speech.threads}
        case "scripted":
            return {"texts": list(speech.script), "delay_s": speech.script_delay_s}
        case _:
            return {
                "folder": speech.model_dir,
                "copy": str(data_dir() / "models" / "moonshine-tiny-en"),
                "verified": str(settings.paths.state() / "verified-models.json"),
                "threads": speech.threads,
            }


def _service(
    settings: Settings, residency: str, on_change: Callable[[], None], on_sent: OnSent, floor: Sequence[str] = ()
) -> Transcriber:
    """Return a speech service, with local engines below it of which one decodes at the same time."""
    from v2m.infrastructure.engines.openai_services import PRESETS, build_speech, listening_arguments
    from v2m.infrastructure.engines.openai_transcriber import OpenAiTranscriber

    speech, cloud = settings.transcription, settings.cloud
    preset, vocabulary = PRESETS[speech.openai.preset], parse_vocabulary(settings.vocabulary.words)
    secret = getattr(settings, preset.variable.lower())
    listening = listening_arguments(upload_while_speaking=cloud.upload_while_speaking)
    return OpenAiTranscriber(
        _worker(settings, "none", residency, on_change, listening),
        lambda: build_speech(
            preset,
            base_url=speech.openai.base_url,
            model=speech.openai.model,
            key=secret.get_secret_value() if secret else "",
            key_command=cloud.api_key_cmd,
            key_file=Path(cloud.api_key_file) if cloud.api_key_file else None,
            ca_file=Path(cloud.ca_file) if cloud.ca_file else None,
            timeout_s=speech.openai.timeout_s,
            user_agent=f"v2m/{__version__}",
        ),
        languages=preset.languages,
        allowed=speech.languages,
        timeout_s=speech.openai.timeout_s,
        prompt=", ".join(vocabulary.words),
        names=vocabulary.names,
        upload_while_speaking=cloud.upload_while_speaking,
        floor=_local(settings, floor, on_change, on_sent) if floor else None,
        on_change=on_change,
        provider=speech.openai.preset,
        on_sent=on_sent,
    )


def known_languages(settings: Settings) -> tuple[str, ...]:
    """Return the languages of the chosen engine, as far as they are known without its model."""
    return _known_languages(settings, _chosen(settings))


def check_settings(settings: Settings) -> None:
    """Refuse what no single setting shows to be wrong. Raises ConfigError."""
    check_languages(settings, _chosen(settings))


def check_languages(settings: Settings, engine: str) -> None:
    """Refuse a language of the settings that the engine cannot do, as far as that is known without its model.

    Raises:
        ConfigError: naming the engines that can, and how to get one.
    """
    can = _known_languages(settings, engine)
    slots = {f"profile.{slot}.language": language for slot, language in settings.profile.languages().items()}
    wanted = [("transcription.language", settings.transcription.language), *slots.items()]
    wanted += [("transcription.languages", language) for language in settings.transcription.languages]
    for key, language in wanted:
        if can and not can_do(can, language):
            place = settings.places.get(key, "")
            raise ConfigError(f"{place}{': ' * bool(place)}{key}: {refusal(engine, language)}", hint=advice(language))


def _known_languages(settings: Settings, engine: str) -> tuple[str, ...]:
    """Return the languages of an engine before it is loaded; none when only its model knows."""
    speech = settings.transcription
    match engine:
        case "moonshine":
            return languages_of(Path(speech.model_dir).name)
        case "whisper":
            return (
                ("en",) if speech.whisper.model.endswith(".en") else _model_languages("whisper", speech.whisper.model)
            )
        case "sherpa":
            return _model_languages("sherpa", speech.sherpa.model)
        case "onnx-asr":
            return _model_languages("onnx-asr", speech.onnx_asr.model)
        case "openai":
            from v2m.infrastructure.engines.openai_services import PRESETS

            return PRESETS[speech.openai.preset].languages
        case _:
            return ()


def _model_languages(engine: str, model: str) -> tuple[str, ...]:
    """Return the languages of a model by its name; none for a folder."""
    from v2m.infrastructure.models.catalogue import load_catalogue

    known = {(entry.engine, entry.name): entry.languages for entry in load_catalogue().values()}
    return known.get((engine, model), ())
