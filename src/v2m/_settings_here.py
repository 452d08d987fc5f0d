"""`.env` of the working directory: it came with somebody's project, or another user has put it there.

So it counts only if nobody else can have written it, and sets keys and plain values: never what runs a program, opens
a file, or says who hears the words.
"""

import logging
import os
import stat
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from pydantic.fields import FieldInfo

from v2m._settings_change import is_writable, names_a_folder
from v2m._settings_layers import Layer, dotenv_layer
from v2m._settings_values import kind_of
from v2m.domain.errors import ConfigError

log = logging.getLogger(__name__)

_HEARS: Final = ("transcription.backend", "transcription.fallback", "transcription.openai.*", "cloud.*")


def here_layer(
    fields: Mapping[str, FieldInfo], keys: Collection[str], secrets: Collection[str], *, strict: bool = True
) -> Layer:
    """Read it; one that others could have written sets nothing, which is logged.

    Raises:
        ConfigError: as `dotenv_layer`, or it sets what no such file may.
    """
    layer, doubt = read_here(keys, secrets, strict=strict)
    if doubt:
        if layer.values:
            log.warning("%s is not heeded: %s", layer.name, doubt)
        return Layer(layer.name, {}, layer.place)
    for key, value in layer.values.items():
        if key not in secrets and not _is_harmless(key, fields[key], value):
            raise ConfigError(
                f"{layer.place(key)}: {key} cannot be set by a file of the working directory.",
                hint="Set it in ~/.config/v2m/config.toml or ~/.config/v2m/.env.",
            )
    return layer


def read_here(keys: Collection[str], secrets: Collection[str], *, strict: bool) -> tuple[Layer, str]:
    """Return what it would set, and why that cannot be trusted; no reason: it can. Raises as `dotenv_layer`."""
    path = Path(".env")
    nothing, doubt = Layer(str(path), {}, lambda _: str(path)), ""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # none, or not for us to read
        return nothing, ""
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            return nothing, ""
        doubt = _doubt(found)
        judged = Path(f"/proc/self/fd/{fd}")  # and not the path, which may lead elsewhere by now
        return dotenv_layer(path, keys, secrets, strict=strict and not doubt, source=judged), doubt
    except ConfigError:
        if doubt:
            return nothing, doubt
        raise
    finally:
        os.close(fd)


def _doubt(found: os.stat_result) -> str:
    if found.st_uid != os.getuid():
        return f"it belongs to uid {found.st_uid}, not to you"
    return "others may write to it" if stat.S_IMODE(found.st_mode) & 0o022 else ""


def _is_harmless(key: str, field: FieldInfo, value: object) -> bool:
    hears = any(fnmatchcase(key, pattern) for pattern in _HEARS)
    return is_writable(key, kind_of(field)) and not names_a_folder(key, value) and not hears
