"""The speech engine: its library, its model, its language, whether it loads."""

import asyncio
import shlex
import socket
import sys
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from v2m.core.di.speech import check_languages, known_languages, make_engine
from v2m.domain.errors import ConfigError, EngineError, LanguageError, ModelMissingError
from v2m.domain.offers import can_do
from v2m.domain.ports import Transcriber
from v2m.infrastructure._secrets import ApiKey
from v2m.infrastructure.engines.openai_services import PRESETS
from v2m.infrastructure.models import moonshine_files
from v2m.infrastructure.models.catalogue import EMBEDDED, Model, load_catalogue
from v2m.infrastructure.models.store import ModelStore
from v2m.infrastructure.models.suggest import is_importable, read_machine, suggest
from v2m.local._checks.cures import set_to
from v2m.local._checks.facts import Facts
from v2m.local._checks.finding import Finding, fail, ok, skip, warn
from v2m.local._checks.settings import engines
from v2m.utils.paths import config_dir, data_dir

LIBRARIES: Final = {  # engine → what is imported, and the extra that brings it; the embedded one is always there
    "whisper": ("faster_whisper", "whisper"),
    "sherpa": ("sherpa_onnx", "sherpa"),
    "onnx-asr": ("onnx_asr", "onnx-asr"),
    "openai": ("httpx2", "cloud"),
}
LOAD_S: Final = 5.0  # a small model takes one; what takes longer is told as loading
CONNECT_S: Final = 2.5
RESTART: Final = "v2m daemon restart"


def extras(facts: Facts) -> Finding:
    """The libraries of the engines that are wished for are installed."""
    wanted = [(name, *LIBRARIES[name]) for name in engines(facts.settings) if name in LIBRARIES]
    missing = [(name, extra) for name, library, extra in wanted if not is_importable(library)]
    if missing:
        names = ", ".join(name for name, _ in missing)
        return fail(f"The library of {names} is not installed.", _pip(",".join(extra for _, extra in missing)))
    return ok(f"{', '.join(engines(facts.settings))}: installed.")


def _pip(extra: str) -> str:
    return f"{shlex.quote(sys.executable)} -m pip install 'v2m[{extra}]'"


def model(facts: Facts) -> Finding:
    """The files of the models are there and whole, as far as that can be told without reading gigabytes."""
    local = [name for name in engines(facts.settings) if name not in ("openai", "scripted")]
    if not local:
        return skip("No engine with a model of its own is chosen.")
    for name in local:
        finding = _moonshine(facts) if name == "moonshine" else _fetched(facts, name)
        if finding is not None:
            return finding
    return ok(f"{', '.join(local)}: there and whole.")


def _moonshine(facts: Facts) -> Finding | None:
    folder = facts.settings.transcription.model_dir
    copy = data_dir() / "models" / EMBEDDED
    try:
        moonshine_files.locate(configured=Path(folder) if folder else None, copy=copy, verified=None)
    except ModelMissingError as error:
        own = set_to(facts.settings, "transcription.model_dir", "")
        return fail(str(error), own if folder else f"v2m models download {EMBEDDED}")
    return None


def _fetched(facts: Facts, engine: str) -> Finding | None:
    speech = facts.settings.transcription
    names = {"whisper": speech.whisper.model, "sherpa": speech.sherpa.model, "onnx-asr": speech.onnx_asr.model}
    name = names[engine]
    if "/" in name:
        return (
            None if Path(name).is_dir() else fail(f"The model {name} of {engine} is not there.", "v2m models suggest")
        )
    models = load_catalogue(config_dir() / "models.toml").values()
    known = next((each for each in models if each.engine == engine and name in (each.name, each.id)), None)
    if known is None:
        return fail(f"v2m knows no model {name} of {engine}.", "v2m models list")
    return _standing(known)


def _standing(known: Model) -> Finding | None:
    standing = ModelStore(data_dir() / "models").standing(known)
    fetch = f"v2m models download {known.id}"
    if standing.folder is None:
        return fail(f"The model {known.id} is not installed, or not whole.", fetch)
    if not standing.is_verified:
        return warn(f"Somebody wrote to the files of {known.id} since they were compared.", fetch)
    return None


def language(facts: Facts) -> Finding:
    """The engine understands the language that is wished for."""
    first = engines(facts.settings)[0]
    try:
        check_languages(facts.settings, first)
    except ConfigError as error:
        return fail(str(error), _engine_for(facts.settings.transcription.language))
    can = known_languages(facts.settings)
    wanted = facts.settings.transcription.language
    return ok(f"{first} does {wanted if can_do(can, wanted) else 'what its model can'}.")


def _engine_for(wanted: str) -> str:
    """Return the commands that bring the engine that fits this machine best."""
    try:
        best = suggest(load_catalogue().values(), read_machine(), wanted)[0]
    except (LanguageError, IndexError):
        return "v2m config set transcription.language auto"
    return " && ".join([*best.commands, f"v2m config set transcription.backend {best.model.engine}"])


def gpu(facts: Facts) -> Finding:
    """A GPU that is wished for is there."""
    speech = facts.settings.transcription
    wishes: dict[str, tuple[str, str]] = {
        "whisper": ("transcription.whisper.device", speech.whisper.device),
        "sherpa": ("transcription.sherpa.provider", speech.sherpa.provider),
        "onnx-asr": ("transcription.onnx_asr.provider", speech.onnx_asr.provider),
    }
    key = next((wishes[name][0] for name in engines(facts.settings) if wishes.get(name, ("", ""))[1] == "cuda"), None)
    if key is None:
        return ok("No GPU is wished for.")
    if read_machine().has_gpu:
        return ok("An NVIDIA GPU with its driver is there.")
    return warn(f"{key} is cuda, and there is no NVIDIA GPU with its driver.", set_to(facts.settings, key, "cpu"))


def residency(facts: Facts) -> Finding:
    """The model stays in memory, so that no text waits for it."""
    speech = facts.settings.transcription
    restart = f" && {RESTART}" if facts.daemon.answers else ""
    if engines(facts.settings)[0] == "whisper" and not speech.whisper.keep_warm:
        fix = set_to(facts.settings, "transcription.whisper.keep_warm", "true")
        return warn("The model is loaded for each recording (transcription.whisper.keep_warm = false).", fix + restart)
    if speech.residency != "warm":
        when = (
            "for each recording"
            if speech.residency == "on-record"
            else f"after {speech.idle_unload_min:g} idle minutes"
        )
        fix = set_to(facts.settings, "transcription.residency", "warm")
        return warn(f"The model is loaded anew {when} (transcription.residency = {speech.residency}).", fix + restart)
    return ok("The model stays in memory.")


async def engine(facts: Facts) -> Finding:
    """The engine loads its model: the daemon's own, or one that is started for this check."""
    if facts.daemon.answers:
        return _serving(facts.daemon.status.get("engine") or {})
    first = engines(facts.settings)[0]
    if first == "openai":
        return skip("A service transcribes, see cloud-key and cloud-host.")
    loading = make_engine(facts.settings, first)
    try:
        return await _load(loading, first)
    finally:
        await loading.aclose()


def _serving(told: dict[str, Any]) -> Finding:
    name, detail = told.get("name") or "the engine", told.get("detail") or ""
    match told.get("state"):
        case "failed":
            return fail(f"The daemon's speech engine failed: {detail}", RESTART)
        case "warming":
            return warn("The daemon still loads its model.")
        case state:
            return ok(f"{name} is {state}.")


async def _load(loading: Transcriber, name: str) -> Finding:
    async with asyncio.TaskGroup() as group:
        running = group.create_task(loading.run())
        try:
            async with asyncio.timeout(LOAD_S):
                await loading.wait_ready()
            can = loading.capabilities
            return ok(f"{can.name if can else name} loads.")
        except TimeoutError:
            return warn(f"{name} was not loaded after {LOAD_S:.0f} s; large models take longer.")
        except EngineError as error:
            return fail(str(error), error.hint or "v2m models suggest")
        finally:
            await loading.aclose()
            running.cancel()


def cloud_key(facts: Facts) -> Finding:
    """The key of the speech service is at hand; no program is run for it, and nothing is sent."""
    settings = facts.settings
    if "openai" not in engines(settings):
        return skip("No speech service is chosen.")
    preset = PRESETS[settings.transcription.openai.preset]
    key = _note_down(preset.variable)
    secret = getattr(settings, preset.variable.lower())
    if secret:
        return ok(f"{preset.variable} is set.")
    if settings.cloud.api_key_cmd:
        return ok(f"{settings.cloud.api_key_cmd[0]} is asked for it when it is needed.")
    file = settings.cloud.api_key_file
    if file:
        try:
            asyncio.run(ApiKey(preset.variable, file=Path(file)).read())
        except ConfigError as error:
            return fail(str(error), error.hint or key)
        return ok(f"{file} holds it.")
    if not preset.key_required:
        return ok("This service needs none, as far as is known.")
    return fail(f"{preset.variable} is not set.", key)


def _note_down(name: str) -> str:
    """Return the command that keeps a key; KEY stands for it."""
    file = config_dir() / ".env"
    folder, quoted = shlex.quote(str(file.parent)), shlex.quote(str(file))
    return f"(umask 077; mkdir -p {folder}; printf '{name}=%s\\n' KEY >> {quoted})"


def cloud_host(facts: Facts) -> Finding:
    """The speech service can be reached; connects, and sends nothing."""
    settings = facts.settings
    if "openai" not in engines(settings):
        return skip("No speech service is chosen.")
    wanted = settings.transcription.openai
    address = urlsplit(wanted.base_url or PRESETS[wanted.preset].base_url)
    host, port = address.hostname or "", address.port or (443 if address.scheme == "https" else 80)
    try:
        socket.create_connection((host, port), timeout=CONNECT_S).close()
    except OSError as error:
        return warn(
            f"{host} cannot be reached now ({error.strerror or type(error).__name__}): you are offline, or it is."
        )
    return ok(f"{host} can be reached.")
