"""Changes values in a TOML text and leaves comments, order and spelling of everything else as they are."""

import tomllib
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

import tomlkit
from tomlkit.exceptions import TOMLKitError

from v2m.domain.errors import ConfigError

_MARK: Final = "\ufeff"  # with which Windows editors begin a text


def edited(text: str, changes: Mapping[str, Any]) -> str:
    """Return the text with these dotted keys set, or removed where the value is None.

    A byte order mark stays, and so do line ends, where all are of Windows.

    Raises:
        ConfigError: the text is no TOML, a value cannot stand in TOML, or the change cannot be made safely.
    """
    body = text.removeprefix(_MARK)
    mark = text[: len(text) - len(body)]
    if 0 < body.count("\n") == body.count("\r\n"):
        return mark + _edited(body.replace("\r\n", "\n"), changes).replace("\n", "\r\n")
    return mark + _edited(body, changes)


def _edited(text: str, changes: Mapping[str, Any]) -> str:
    try:
        wanted = tomllib.loads(text)
        document: Any = tomlkit.parse(text)
        for key, value in changes.items():
            _put(wanted, key, value, dict)
            _put(document, key, value, tomlkit.table)
        changed: str = document.as_string()
    except (tomllib.TOMLDecodeError, TOMLKitError, TypeError, ValueError, RecursionError) as error:
        raise _refusal(changes) from error
    added = sum(str(value).count("#") for value in changes.values())
    if not _says(changed, wanted) or changed.count("#") > text.count("#") + added:  # it may double a comment
        changed = _rebuilt(text, changes)
    if not _says(changed, wanted):
        raise _refusal(changes)
    return changed


def _put(table: Any, key: str, value: object, new_table: Any) -> None:  # noqa: ANN401 - dict or tomlkit's table
    """Set or remove one key; raises TypeError where the way to it leads through a value."""
    *above, name = key.split(".")
    for step in above:
        if step not in table:
            if value is None:
                return
            table[step] = new_table()
        table = table[step]
        if not isinstance(table, MutableMapping):
            raise TypeError(step)
    if value is None:
        table.pop(name, None)
    else:
        table[name] = value


def _rebuilt(text: str, changes: Mapping[str, Any]) -> str:
    """Return the text with changed keys written anew at its end: the library lost something the other way."""
    document: Any = tomlkit.parse(text)
    for key in changes:
        _put(document, key, None, tomlkit.table)
    lines = [document.as_string().rstrip("\n"), ""]
    for key, value in changes.items():
        if value is not None:
            above, _, name = key.rpartition(".")
            lines += [*([f"[{above}]"] if above else []), f"{name} = {tomlkit.item(value).as_string()}"]
    return "\n".join([*lines, ""]).lstrip("\n")


def _says(text: str, wanted: Mapping[str, Any]) -> bool:
    try:
        return _filled(tomllib.loads(text)) == _filled(wanted)
    except tomllib.TOMLDecodeError:
        return False


def _filled(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tree without tables that are empty: they set nothing, and dotted keys leave none."""
    tree = {name: _filled(each) if isinstance(each, Mapping) else each for name, each in table.items()}
    return {name: each for name, each in tree.items() if each != {}}


def _refusal(changes: Mapping[str, Any]) -> ConfigError:
    return ConfigError(f"{', '.join(changes)[:200]} cannot be written into the settings file.", hint="v2m config edit")
