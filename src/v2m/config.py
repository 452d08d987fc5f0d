"""Settings: what they are called, what they may be, and where each value came from.

Order: arguments > environment (`V2M_AUDIO__DEVICE`) > `~/.config/v2m/.env` > `.env` in the working
directory > `~/.config/v2m/config.toml` > the package's `config.toml`, which alone holds the defaults.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from textwrap import shorten
from types import MappingProxyType
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from v2m._settings_layers import (
    SECRETS_HINT,
    Layer,
    arguments_layer,
    dotenv_layer,
    environment_layer,
    nest,
    toml_layer,
    variable,
)
from v2m._settings_values import Duration, FilePath, Language, Outputs, Quality, Script, Share, kind_of
from v2m.domain.errors import ConfigError
from v2m.utils.paths import config_dir, state_dir

_PACKAGED: Final = Path(__file__).with_name("config.toml")


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Audio(_Table):
    """How the microphone is reached, and how long it may stay open."""

    backend: Literal["auto", "pipewire", "portaudio", "parec", "wav"] = Field(
        description="How the microphone is reached; auto takes the first that works."
    )
    device: str = Field(description="Name of the microphone as `v2m devices` shows it; empty: the default one.")
    policy: Literal["released", "armed"] = Field(
        description="Whether the microphone is let go between dictations, or kept open for a faster start."
    )
    resample_quality: Quality = Field(description="How carefully PipeWire resamples; more takes longer.")
    wav_path: FilePath = Field(description="The sound file that the back end wav plays as a microphone.")
    min_recording_ms: int = Field(ge=0, le=5000, description="A shorter recording is a tap and is thrown away.")
    max_recording_s: int = Field(ge=1, le=86_400, description="A longer recording is stopped and transcribed.")
    tail_ms: int = Field(ge=0, le=300, description="How long to go on recording after STOP.")
    lost_release_silence_s: int = Field(
        ge=1, le=86_400, description="After so long without speech, a recording whose key is held is closed."
    )
    toggled_silence_s: int = Field(
        ge=1, le=86_400, description="After so long without speech, a recording started by toggle is closed."
    )


class Vad(_Table):
    """When a stretch of sound is speech."""

    threshold: Share = Field(description="Probability from which a window of sound is speech.")
    release_threshold: Share = Field(description="Probability below which speech ends.")
    min_speech_ms: int = Field(ge=0, le=10_000, description="Shorter speech is noise.")
    min_silence_ms: int = Field(ge=0, le=10_000, description="A shorter pause does not end a stretch of speech.")
    speech_pad_ms: int = Field(ge=0, le=2000, description="How much sound around speech is decoded with it.")
    max_segment_s: int = Field(ge=2, le=60, description="Longer speech is cut at its quietest window.")

    @field_validator("release_threshold")
    @classmethod
    def _below(cls, value: float, others: ValidationInfo) -> float:
        if value > others.data.get("threshold", 1.0):
            raise ValueError("must not be above transcription.vad.threshold")
        return value


class Transcription(_Table):
    """Which engine turns speech into text."""

    backend: Literal["auto", "moonshine", "scripted"] = Field(description="The speech engine; auto is moonshine.")
    language: Language = Field(description="Language spoken, such as en; auto lets the engine find out.")
    model_dir: FilePath = Field(description="Folder of another model; empty: the one that came with v2m.")
    threads: int = Field(ge=1, le=64, description="How many threads the engine may use.")
    script: Script = Field(description="What the engine scripted says, one text per recording.")
    script_delay_s: float = Field(ge=0, le=3600, description="How long the engine scripted takes.")
    vad: Vad


class Output(_Table):
    """How text reaches the focused window."""

    method: Outputs = Field(description="Ways of typing in the order in which they are tried; auto probes all.")
    newline: Literal["space", "newline"] = Field(description="What a line break is typed as.")
    trailing_space: bool = Field(description="Whether a space follows each dictation.")


class Notifications(_Table):
    """What is shown and heard."""

    enabled: bool = Field(description="Whether notifications are shown.")
    expire_time_ms: int = Field(ge=500, le=30_000, description="How long a notification stays.")
    auto_dismiss: bool = Field(description="Whether notifications go away by themselves.")
    sounds: bool = Field(description="Whether start, stop and failure are heard.")


class History(_Table):
    """What is kept of each dictation, and for how long."""

    enabled: bool = Field(description="Whether dictations are kept on disk; else only in memory.")
    retention_days: int = Field(ge=1, le=36_500, description="After so many days text is deleted.")
    keep_audio: Duration = Field(description="How long audio is kept after delivery.")
    keep_audio_trouble: Duration = Field(
        description="How long audio of held, uncertain, failed and suppressed dictations is kept."
    )

    @property
    def keep_audio_s(self) -> float:
        """`keep_audio` in seconds."""
        return self.keep_audio.total_seconds()

    @property
    def keep_audio_trouble_s(self) -> float:
        """`keep_audio_trouble` in seconds."""
        return self.keep_audio_trouble.total_seconds()


class Paths(_Table):
    """Where files are kept."""

    state_dir: FilePath = Field(description="Folder of history and audio; empty: ~/.local/state/v2m.")
    spool_dir: FilePath = Field(description="Folder of audio; empty: spool/ in state_dir.")

    def state(self) -> Path:
        """Return the folder of the history."""
        return Path(self.state_dir) if self.state_dir else state_dir()

    def spool(self) -> Path:
        """Return the folder of the audio."""
        return Path(self.spool_dir) if self.spool_dir else self.state() / "spool"


class Daemon(_Table):
    """The daemon itself."""

    max_connections: int = Field(ge=4, le=1024, description="How many clients may be connected at once.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(description="What is logged.")


class Settings(BaseSettings):
    """All settings; made by `load_settings` only."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid")

    audio: Audio
    transcription: Transcription
    output: Output
    notifications: Notifications
    history: History
    paths: Paths
    daemon: Daemon
    gemini_api_key: SecretStr | None = Field(description="Key for Gemini; also read as GEMINI_API_KEY.")
    groq_api_key: SecretStr | None = Field(description="Key for Groq; also read as GROQ_API_KEY.")
    sources: Mapping[str, str] = Field(exclude=True, repr=False)  # key → the layer that set it

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take the merged layers only: `load_settings` knows where each value came from."""
        return (init_settings,)


@dataclass(frozen=True, slots=True)
class KeyDoc:
    """What the documentation says about one setting."""

    key: str
    type: str
    default: str  # as it stands in TOML; empty for a secret
    allowed: str
    doc: str
    variable: str


def describe() -> list[KeyDoc]:
    """Return every setting in the order of the tree; reads the package's `config.toml`."""
    fields = dict(_fields(Settings))
    defaults = toml_layer(_PACKAGED, _in_toml(fields), name="default").values
    return [
        KeyDoc(
            key,
            kind_of(field).name,
            json.dumps(defaults[key]) if key in defaults else "",
            kind_of(field).allowed,
            field.description or "",
            variable(key),
        )
        for key, field in fields.items()
    ]


def load_settings(arguments: Mapping[str, Any] = MappingProxyType({}), *, config_file: Path | None = None) -> Settings:
    """Merge all layers; `arguments` holds dotted or nested keys, `config_file` replaces the user's file.

    Raises:
        ConfigError: one sentence with file, line, key and the nearest valid name; never a secret.
    """
    fields = dict(_fields(Settings))
    values: dict[str, Any] = {}
    origins: dict[str, Layer] = {}
    for layer in _layers(arguments, fields, config_file):
        for key, value in layer.values.items():
            if isinstance(value, str) and re.search(r"\$\{.*?\}", value):
                raise ConfigError(
                    f"{layer.place(key)}: {key} holds a literal ${{…}}, which nothing replaces.", hint=SECRETS_HINT
                )
            values[key], origins[key] = value, layer
    sources = {key: layer.name for key, layer in origins.items()}
    try:
        return Settings(**nest(values), sources=sources)
    except ValidationError as error:
        refusal = _refusal(error, values, origins, fields)
    raise refusal  # outside the handler: pydantic's error holds the values


def _layers(arguments: Mapping[str, Any], fields: Mapping[str, FieldInfo], config_file: Path | None) -> Iterator[Layer]:
    """Yield the layers, the weakest first."""
    secrets = [key for key in fields if key not in _in_toml(fields)]
    keys = _in_toml(fields)
    packaged = toml_layer(_PACKAGED, keys, name="default")
    yield Layer("default", {**dict.fromkeys(secrets), **packaged.values}, packaged.place)
    user_file = config_file or config_dir() / "config.toml"
    yield _checked(toml_layer(user_file, keys, name=str(user_file), optional=config_file is None), fields)
    yield dotenv_layer(Path(".env"), keys, secrets)
    yield dotenv_layer(config_dir() / ".env", keys, secrets)
    yield environment_layer(keys, secrets)
    yield arguments_layer(arguments, keys)


def _checked(layer: Layer, fields: Mapping[str, FieldInfo]) -> Layer:
    """Refuse what only a text could be meant to become: TOML has types, so `threads = "2"` is a mistake."""
    for key, value in layer.values.items():
        kind = kind_of(fields[key])
        if type(value) not in kind.toml:
            raise ConfigError(f"{layer.place(key)}: {key} must be {kind.allowed}, not {_shown(value)}.")
    return layer


def _fields(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield every setting below a model; what has no sentence for users is none."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _fields(field.annotation, f"{above}{name}.")
        elif field.description:
            yield f"{above}{name}", field


def _in_toml(fields: Mapping[str, FieldInfo]) -> list[str]:
    return [key for key, field in fields.items() if kind_of(field).toml]


def _refusal(
    error: ValidationError, values: Mapping[str, Any], origins: Mapping[str, Layer], fields: Mapping[str, FieldInfo]
) -> ConfigError:
    """Return the first complaint in the user's terms."""
    first = error.errors(include_url=False)[0]
    path = [str(part) for part in first["loc"]]
    key = next(known for n in range(len(path), 0, -1) if (known := ".".join(path[:n])) in fields)
    kind = kind_of(fields[key])
    rule = str(first["ctx"]["error"]) if first["type"] == "value_error" else f"must be {kind.allowed}"
    if not kind.toml:
        return ConfigError(f"{origins[key].place(key)}: {key} {rule}.")
    value = values[key]
    tried = value if isinstance(value, list) else str(value).split(",")
    near = [
        name for one in tried if str(one) not in kind.choices for name in get_close_matches(str(one), kind.choices, n=1)
    ]
    end = f"; did you mean {near[0]}?" if near else "."
    return ConfigError(f"{origins[key].place(key)}: {key} {rule}, not {_shown(value)}{end}")


def _shown(value: object) -> str:
    return shorten(repr(value), 80)
