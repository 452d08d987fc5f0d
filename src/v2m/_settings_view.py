"""Settings as clients see them: plain values, where each comes from, what each may be; and texts made values."""

import tomllib
from collections.abc import Collection, Mapping
from datetime import timedelta
from difflib import get_close_matches
from typing import Any, Final

from pydantic import BaseModel, SecretStr

from v2m._settings_layers import REMEMBERED
from v2m._settings_values import Kind
from v2m.config import KeyDoc, Settings, describe, packaged_values
from v2m.domain.errors import ConfigError

MASK: Final = "********"  # of a secret that is set
_UNITS: Final = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))


def values_of(settings: Settings) -> dict[str, Any]:
    """Return every setting by its dotted key; the same settings give equal values."""
    return {doc.key: _at(settings, doc.key) for doc in describe()}


def entries(settings: Settings, keys: Collection[str] = ()) -> list[dict[str, Any]]:
    """Return what a client is told of each setting, or of those at or below `keys`. Raises ConfigError: no such key."""
    docs = describe()
    for key in keys:
        if not any(_is_below(doc.key, key) for doc in docs):
            raise no_such_setting(key, [doc.key for doc in docs])
    defaults = packaged_values()
    wanted = [doc for doc in docs if not keys or any(_is_below(doc.key, key) for key in keys)]
    return [_entry(settings, doc, defaults) for doc in wanted]


def no_such_setting(key: str, keys: Collection[str]) -> ConfigError:
    """Return the refusal of a key that is none."""
    near = get_close_matches(key, keys, n=1)
    end = f"; did you mean {near[0]}?" if near else "."
    return ConfigError(f"There is no setting {key[:80]}{end}", hint="v2m config list")


def plain(value: object) -> Any:  # noqa: ANN401 - what JSON and TOML can hold
    """Return a value as it would stand in JSON; a secret masked."""
    match value:
        case timedelta():
            return _duration(value)
        case SecretStr():
            return MASK
        case BaseModel():
            return {name: plain(each) for name, each in value.model_dump(exclude_defaults=True).items()}
        case tuple() | list():
            return [plain(each) for each in value]
        case _:
            return value


def value_of(text: str, kind: Kind) -> Any:  # noqa: ANN401 - of the types that the setting takes
    """Return the value that a word on the command line means: as in TOML, else the text, else a list by commas."""
    try:
        value = tomllib.loads(f"value = {text}")["value"] if "\n" not in text else None
    except (tomllib.TOMLDecodeError, RecursionError):
        value = None
    if type(value) in kind.toml:
        return value
    if str in kind.toml:
        return text
    if list in kind.toml and kind.name != "list of rules":
        return [part.strip() for part in text.split(",") if part.strip()]
    return text if value is None else value  # of a wrong type: refused with the sentence of its key


def _entry(settings: Settings, doc: KeyDoc, defaults: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "key": doc.key,
        "value": plain(_at(settings, doc.key)),
        "source": _source(settings.sources[doc.key], settings.places.get(doc.key, "")),
        "place": settings.places.get(doc.key, ""),
        "default": defaults[doc.key],
        "type": doc.type,
        "allowed": doc.allowed,
        "description": doc.doc,
        "variable": doc.variable,
        "writable": doc.writable,
        "live": doc.live,
    }


def _source(layer: str, place: str) -> str:
    """Return the kind of a layer: `default`, `file`, `.env`, `environment`, `argument`, `last good`."""
    if place.startswith(REMEMBERED):
        return "last good"
    match layer:
        case "default" | "environment":
            return layer
        case "arguments":
            return "argument"
        case _:
            return ".env" if layer.endswith(".env") else "file"


def _at(settings: Settings, key: str) -> Any:  # noqa: ANN401 - a setting
    value: Any = settings
    for name in key.split("."):
        fields = type(value).model_fields
        attribute = next((own for own, field in fields.items() if field.alias == name), name)
        value = getattr(value, attribute)
    return value


def _is_below(key: str, above: str) -> bool:
    return key == above or key.startswith(f"{above}.")


def _duration(value: timedelta) -> str:
    seconds = int(value.total_seconds())
    unit, size = next((unit, size) for unit, size in _UNITS if seconds % size == 0)
    return f"{seconds // size}{unit}" if seconds else "0"
