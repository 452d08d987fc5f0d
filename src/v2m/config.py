"""Settings: what they are called, what they may be, and where each value came from.

Order: arguments > environment (`V2M_AUDIO__DEVICE`) > `~/.config/v2m/.env` > `.env` in the working directory (keys and
plain values, `_settings_here.py`) > `~/.config/v2m/config.toml` > the package's `config.toml`, which alone holds the
defaults.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pydantic import BaseModel, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from v2m._settings_change import is_live, is_writable
from v2m._settings_desktop import Hotkeys, Media
from v2m._settings_here import here_layer, read_here
from v2m._settings_layers import (
    RULES,
    SECRETS_HINT,
    Layer,
    arguments_layer,
    dotenv_layer,
    environment_layer,
    nest,
    remembered_layer,
    toml_layer,
    variable,
)
from v2m._settings_policy import PolicyRule, Rules, read_rules
from v2m._settings_speech import Cloud, Profiles, Transcription, Vocabulary
from v2m._settings_tables import Audio, Daemon, History, Notifications, Output, Paths
from v2m._settings_values import Kind, kind_of, unfit
from v2m.domain.errors import ConfigError
from v2m.utils.paths import config_dir

_PACKAGED: Final = Path(__file__).with_name("config.toml")


class Settings(BaseSettings):
    """All settings; made by `load_settings` only."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid")

    audio: Audio
    transcription: Transcription
    cloud: Cloud
    vocabulary: Vocabulary
    profile: Profiles
    output: Output
    policy: Rules = Field(description="Rules per application, each under [[policy]]; yours come before v2m's own.")
    notifications: Notifications
    hotkeys: Hotkeys
    media: Media
    history: History
    paths: Paths
    daemon: Daemon
    gemini_api_key: SecretStr | None = Field(description="Key for Gemini; also read as GEMINI_API_KEY.")
    groq_api_key: SecretStr | None = Field(description="Key for Groq; also read as GROQ_API_KEY.")
    openai_api_key: SecretStr | None = Field(
        description="Key for OpenAI or your own service; also read as OPENAI_API_KEY."
    )
    sources: Mapping[str, str] = Field(exclude=True, repr=False)  # key → the layer that set it
    places: Mapping[str, str] = Field(exclude=True, repr=False)  # key → where a user finds it; none for a default

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
    writable: bool = True  # by a client: neither a path nor a command, an address, a rule or a secret
    live: bool = True  # a change holds without a restart


def describe() -> list[KeyDoc]:
    """Return every setting in the order of the tree; reads the package's `config.toml`."""
    fields = dict(_fields(Settings))
    defaults = toml_layer(_PACKAGED, _in_toml(fields), name="default").values
    return [
        KeyDoc(
            key,
            kind_of(field).name,
            _in_toml_form(defaults[key]) if key in defaults else "",
            kind_of(field).allowed,
            field.description or "",
            variable(key),
            is_writable(key, kind_of(field)),
            is_live(key),
        )
        for key, field in fields.items()
    ]


def packaged_values() -> Mapping[str, Any]:
    """Return the default of every setting, as it stands in the package's `config.toml`; None for a secret."""
    return _defaults(dict(_fields(Settings))).values


def kinds() -> Mapping[str, Kind]:
    """Return what each setting may be, in the order of the tree."""
    return {key: kind_of(field) for key, field in _fields(Settings)}


def describe_rules() -> list[KeyDoc]:
    """Return what a rule under `[[policy]]` can say; no key of it has a default, or a variable of its own."""
    fields = {name: field for name, field in PolicyRule.model_fields.items() if field.description}
    return [
        KeyDoc(f"{RULES}.{name}", kind_of(field).name, "", kind_of(field).allowed, field.description or "", "")
        for name, field in fields.items()
    ]


def local_dotenv() -> tuple[Path, str] | None:
    """Return `.env` of the working directory if it names settings, and why it is not heeded; no reason: it is."""
    fields = dict(_fields(Settings))
    keys = _in_toml(fields)
    with suppress(ConfigError):  # told when settings are loaded
        layer, doubt = read_here(keys, [key for key in fields if key not in keys], strict=False)
        return (Path(layer.name), doubt) if layer.values else None
    return None


def user_file(config_file: Path | None = None) -> Path:
    """Return the file with the user's settings; `config_file` is another that was named. Touches no file."""
    return config_file or config_dir() / "config.toml"


def load_settings(arguments: Mapping[str, Any] = MappingProxyType({}), *, config_file: Path | None = None) -> Settings:
    """Merge all layers; `arguments` holds dotted or nested keys, `config_file` replaces the user's file.

    Raises:
        ConfigError: one sentence with file, line, key and the nearest valid name; never a secret.
    """
    return merge(read_layers(arguments, config_file=config_file))


def read_layers(
    arguments: Mapping[str, Any] = MappingProxyType({}), *, config_file: Path | None = None, text: str | None = None
) -> tuple[Layer, ...]:
    """Return the layers, the weakest first; with `text` as if the user's file held it. Raises ConfigError."""
    return tuple(_layers(arguments, dict(_fields(Settings)), config_file, text))


def remembered_layers(record: Mapping[str, Mapping[str, Any]]) -> tuple[Layer, ...]:
    """Return defaults, what `recordable` gave, and the secrets of now. Raises ConfigError: damaged packaged file."""
    fields = dict(_fields(Settings))
    secrets = [key for key in fields if key not in _in_toml(fields)]
    known = [
        remembered_layer(name, {key: value for key, value in values.items() if key in fields and key not in secrets})
        for name, values in record.items()
    ]
    return (_defaults(fields), *known, *_secret_layers(secrets))


def recordable(layers: Sequence[Layer]) -> dict[str, dict[str, Any]]:
    """Return what layers above the defaults set, in the order of their strength, without any secret."""
    keys = set(_in_toml(dict(_fields(Settings))))
    return {
        layer.name: {key: value for key, value in layer.values.items() if key in keys}
        for layer in layers
        if layer.name != "default"
    }


def merge(layers: Sequence[Layer]) -> Settings:
    """Return the settings that layers, the weakest first, amount to. Raises ConfigError as `load_settings`."""
    fields = dict(_fields(Settings))
    values: dict[str, Any] = {}
    origins: dict[str, Layer] = {}
    for layer in layers:
        for key, value in layer.values.items():
            if isinstance(value, str) and re.search(r"\$\{.*?\}", value):
                raise ConfigError(
                    f"{layer.place(key)}: {key} holds a literal ${{…}}, which nothing replaces.", hint=SECRETS_HINT
                )
            values[key] = read_rules(value, layer) + values.get(key, ()) if key == RULES else value
            origins[key] = layer
    sources = {key: layer.name for key, layer in origins.items()}
    places = {key: layer.place(key) for key, layer in origins.items() if layer.name != "default"}
    try:
        return Settings(**nest(values), sources=sources, places=places)
    except ValidationError as error:
        refusal = _refusal(error, values, origins, fields)
    raise refusal  # outside the handler: pydantic's error holds the values


def _layers(
    arguments: Mapping[str, Any], fields: Mapping[str, FieldInfo], config_file: Path | None, text: str | None
) -> Iterator[Layer]:
    """Yield the layers, the weakest first."""
    keys = _in_toml(fields)
    secrets = [key for key in fields if key not in keys]
    yield _defaults(fields)
    file = user_file(config_file)
    yield _checked(toml_layer(file, keys, name=str(file), optional=config_file is None, text=text), fields)
    yield here_layer(fields, keys, secrets)
    yield dotenv_layer(config_dir() / ".env", keys, secrets)
    yield environment_layer(keys, secrets)
    yield arguments_layer(arguments, keys)


def _defaults(fields: Mapping[str, FieldInfo]) -> Layer:
    keys = _in_toml(fields)
    packaged = toml_layer(_PACKAGED, keys, name="default")
    return Layer(
        "default", {**dict.fromkeys(key for key in fields if key not in keys), **packaged.values}, packaged.place
    )


def _secret_layers(secrets: Sequence[str]) -> Iterator[Layer]:
    """Yield the secrets of `.env` and environment, and nothing else of them: whatever else is wrong there."""
    with suppress(ConfigError):
        yield here_layer({}, (), secrets, strict=False)
    with suppress(ConfigError):
        yield dotenv_layer(config_dir() / ".env", (), secrets, strict=False)
    yield environment_layer((), secrets, strict=False)


def _checked(layer: Layer, fields: Mapping[str, FieldInfo]) -> Layer:
    """Refuse what only a text could be meant to become: TOML has types, so `threads = "2"` is a mistake."""
    for key, value in layer.values.items():
        kind = kind_of(fields[key])
        if type(value) not in kind.toml:
            raise ConfigError(f"{layer.place(key)}: {unfit(key, f'must be {kind.allowed}', value, kind)}")
    return layer


def _fields(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield every setting below a model; what has no sentence for users is none."""
    for attribute, field in model.model_fields.items():
        name = field.alias or attribute
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _fields(field.annotation, f"{above}{name}.")
        elif field.description:
            yield f"{above}{name}", field


def _in_toml_form(value: object) -> str:
    """Return a value as it can be written in one line of TOML."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {_in_toml_form(part)}" for name, part in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_in_toml_form(part) for part in value) + "]"
    return json.dumps(value)


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
    return ConfigError(f"{origins[key].place(key)}: {unfit(key, rule, values[key], kind)}")
