"""Where settings stand: each layer is a flat map from key to value that can name the place of every value."""

import re
import tomllib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource

from v2m.domain.errors import ConfigError
from v2m.utils.files import read_plain

PREFIX: Final = "V2M_"
# Variables with our prefix that are no settings: the socket, the build, the test rigs.
NO_SETTINGS: Final = frozenset(
    {
        "V2M_MIC",
        "V2M_MODELS_MIRROR",
        "V2M_NO_CAPTURE",
        "V2M_NO_NATIVE",
        "V2M_RESOLUTION",
        "V2M_SOCKET",
        "V2M_SPEECH_DIR",
        "V2M_TRIGGER_RUNG",
        "V2M_XWAYLAND",
    }
)
RULES: Final = "policy"  # the one setting that is a list of tables; a key of its second one is `policy.2.app`
_RIGS: Final = ("V2M_DESK_", "V2M_PW_", "V2M_SINK", "V2M_SWAY_")
_RETIRED: Final = {
    "transcription.whisper.audio_device_index": 'audio.device, the name that "v2m devices" shows',
    "gemini.api_key": "GEMINI_API_KEY in the environment or in .env",
}
REMEMBERED: Final = "the last good settings"  # as the place of a value
SECRETS_HINT: Final = (
    "Set GEMINI_API_KEY, GROQ_API_KEY or OPENAI_API_KEY in the environment, or in ~/.config/v2m/.env (chmod 600)."
)
_SECRET: Final = re.compile(r"(^|[._])(api_?key|key|token|secret|password)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Layer:
    """One source of settings."""

    name: str
    values: Mapping[str, Any]  # dotted key → value
    place: Callable[[str], str]  # dotted key → where a user finds it


def variable(key: str) -> str:
    """Return the name of a key's environment variable."""
    return PREFIX + key.upper().replace(".", "__")


def _setting(key: str) -> str:
    """Return the setting that a key belongs to: a variable holds all rules at once."""
    return RULES if key.startswith(f"{RULES}.") else key


def flatten(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted keys and values; a table without keys is a value, so that a wrong one is noticed."""
    for name, value in table.items():
        key = f"{above}{name}"
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{key}.")
        else:
            yield key, value


def toml_layer(
    path: Path, keys: Collection[str], *, name: str, optional: bool = False, text: str | None = None
) -> Layer:
    """Read a TOML file; an optional one that is missing sets nothing. `text` is what the file shall hold.

    Raises:
        ConfigError: unreadable, no TOML, an unknown or retired key, a secret.
    """
    try:
        text = (read_plain(path).decode() if text is None else text).removeprefix("\ufeff")
        table = tomllib.loads(text)
    except OSError as error:
        if optional and isinstance(error, FileNotFoundError):
            return Layer(name, {}, lambda _: name)
        raise ConfigError(f"{path} cannot be read: {error.strerror}.", hint=f"ls -l {path}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text.") from error
    except tomllib.TOMLDecodeError as error:
        what, _, at = str(error).partition(" (at ")
        raise ConfigError(f"{path}, {at.rstrip(')') or 'line 1'}: {what}.") from error

    def place(key: str) -> str:
        line = _line_of(text, key) or _line_of(text, key.rpartition(".")[0])
        return f"{path}, line {line}" if line else str(path)

    tables = {".".join(key.split(".")[:depth]) for key in keys for depth in range(1, key.count(".") + 1)}
    values = {key: value for key, value in flatten(table) if not (value == {} and key in tables)}
    for key in values:
        if key not in keys:
            raise _no_such_key(key, keys, tables, place(key))
    return Layer(name, values, place)


def environment_layer(keys: Collection[str], secrets: Collection[str], *, strict: bool = True) -> Layer:
    """Read the environment. Raises ConfigError for a variable of ours that names no setting, if `strict`."""
    variables = EnvSettingsSource(BaseSettings).env_vars
    values = _pick(variables, keys, secrets, "environment", strict=strict)
    return Layer("environment", values, lambda key: f"environment variable {variable(_setting(key))}")


def dotenv_layer(
    path: Path, keys: Collection[str], secrets: Collection[str], *, strict: bool = True, source: Path | None = None
) -> Layer:
    """Read a `.env` file; one that is missing sets nothing, keys of other programs pass.

    `source` is another path to the same file, which is opened instead.

    Raises:
        ConfigError: unreadable, no UTF-8, or, if `strict`, a variable of ours names no setting.
    """
    source = source or path
    if not _is_there(source):
        return Layer(str(path), {}, lambda _: str(path))
    path = path.absolute()
    try:
        text = read_plain(source).decode()
        variables = DotEnvSettingsSource(BaseSettings, env_file=source).env_vars
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.", hint=f"ls -l {path}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text.") from error

    def place(key: str) -> str:
        names = (variable(_setting(key)), key.upper())
        line = next((n for n, row in enumerate(text.splitlines(), 1) if _names_any(row, names)), None)
        return f"{path}, line {line}" if line else str(path)

    return Layer(str(path), _pick(variables, keys, secrets, str(path), strict=strict), place)


def remembered_layer(name: str, values: Mapping[str, Any]) -> Layer:
    """Return a layer of the last good settings."""
    return Layer(name, values, lambda _: f"{REMEMBERED} ({name})")


def arguments_layer(arguments: Mapping[str, Any], keys: Collection[str]) -> Layer:
    """Take settings that a program was called with, dotted or nested; None is not given.

    Raises:
        ConfigError: an unknown key.
    """
    values = {key: value for key, value in flatten(arguments) if value is not None}
    for key in values:
        if key not in keys:
            raise ConfigError(f"There is no setting {key}{_did_you_mean(get_close_matches(key, keys, n=1))}")
    return Layer("arguments", values, lambda key: f"argument {_setting(key)}")


def nest(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tree of a flat map; the opposite of `flatten`."""
    tree: dict[str, Any] = {}
    for key, value in values.items():
        *tables, name = key.split(".")
        table = tree
        for step in tables:
            table = table.setdefault(step, {})
        table[name] = value
    return tree


def _pick(
    variables: Mapping[str, str | None], keys: Collection[str], secrets: Collection[str], where: str, *, strict: bool
) -> dict[str, str]:
    """Return the settings among variables (names in lower case); a secret also counts under its bare name."""
    known = {variable(key): key for key in (*keys, *secrets)}
    values: dict[str, str] = {}
    for name, value in ((lower.upper(), value) for lower, value in variables.items()):
        if name in known and value is not None:
            values[known[name]] = value
        elif strict and name.startswith(PREFIX) and name not in NO_SETTINGS and not name.startswith(_RIGS):
            raise _no_such_variable(name, [*known, *NO_SETTINGS], where)
    for key in secrets:
        secret = (values.pop(key, "") or variables.get(key) or "").strip()
        if secret:
            values[key] = secret
    return values


def _no_such_variable(name: str, known: Collection[str], where: str) -> ConfigError:
    for key, successor in _RETIRED.items():
        if name == variable(key):
            return ConfigError(f"{where}: {name} is no longer used: its successor is {successor}.")
    near = get_close_matches(name, known, n=1)
    return ConfigError(f"{where}: there is no setting {name}{_did_you_mean(near)}")


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a folder that may not be searched
        return False


def _no_such_key(key: str, keys: Collection[str], tables: Collection[str], place: str) -> ConfigError:
    if key.startswith(f"{RULES}."):
        return ConfigError(f"{place}: {RULES} is a list of rules: write [[{RULES}]] above each.")
    if key in _RETIRED:
        return ConfigError(f"{place}: {key} is no longer used: its successor is {_RETIRED[key]}.")
    if _SECRET.search(key):
        return ConfigError(
            f"{place}: {key} looks like a secret, and secrets do not belong in this file.",
            hint=SECRETS_HINT,
        )
    if key in tables:
        return ConfigError(f"{place}: {key} is a table: write [{key}] and its keys below.")
    table = key.rpartition(".")[0]
    siblings = [known for known in keys if known.rpartition(".")[0] == table]
    hint = (
        f"[{table}] takes {', '.join(known.rpartition('.')[2] for known in siblings)}." if table and siblings else None
    )
    return ConfigError(f"{place}: there is no setting {key}{_did_you_mean(_nearest(key, siblings, keys))}", hint=hint)


def _nearest(key: str, siblings: Collection[str], keys: Collection[str]) -> list[str]:
    """Return the key most alike: in the same table, anywhere, or by its last name alone."""
    last_names = {known.rpartition(".")[2]: known for known in keys}
    by_name = get_close_matches(key.rpartition(".")[2], last_names, n=1)
    return (
        get_close_matches(key, siblings, n=1)
        or get_close_matches(key, keys, n=1)
        or [last_names[name] for name in by_name]
    )


def _did_you_mean(near: list[str]) -> str:
    return f"; did you mean {near[0]}?" if near else "."


def _names_any(row: str, names: Collection[str]) -> bool:
    found = re.match(r"\s*(?:export\s+)?(\w+)\s*=", row)
    return found is not None and found[1].upper() in names


def _line_of(text: str, key: str) -> int | None:
    """Return the line on which a TOML key (or the inline table that holds it) is set."""
    table, seen = "", Counter[str]()
    for number, row in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*(\[\[?)([^\[\]]+)\]", row):
            name = table = _bare(header[2])
            if header[1] == "[[":
                seen[name] += 1
                table = f"{name}.{seen[name]}"
            if key in (name, table):
                return number
        elif assignment := re.match(r"\s*([^#=]+?)\s*=", row):
            found = f"{table}.{_bare(assignment[1])}".lstrip(".")
            if key == found or key.startswith(f"{found}."):
                return number
    return None


def _bare(name: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in name.split("."))
