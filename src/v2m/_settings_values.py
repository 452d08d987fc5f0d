"""Forms of settings: what a value may be in words, and how texts from variables become values."""

import json
import re
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from textwrap import shorten
from typing import Annotated, Final, Literal, get_args, get_origin

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic.fields import FieldInfo


@dataclass(frozen=True, slots=True)
class Kind:
    """What a value may be, in words, and the TOML types it may have."""

    name: str
    allowed: str
    toml: tuple[type, ...]
    choices: tuple[str, ...] = ()


EngineName = Literal["moonshine", "whisper", "sherpa", "onnx-asr", "openai", "scripted"]
OutputName = Literal[
    "input-method",
    "virtual-keyboard",
    "paste",
    "xtest",
    "paste-x11",
    "wtype",
    "xdotool",
    "portal",
    "ydotool",
    "dotool",
    "file",
    "clipboard",
]

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def parse_duration(text: object) -> object:
    """Turn `90s`, `15m`, `1h`, `7d` or `0` into a timedelta; raises ValueError for other texts."""
    if not isinstance(text, str):
        return text
    found = re.fullmatch(r"(\d{1,6})([smhd])", text.strip())
    if found is None and text.strip() != "0":
        raise ValueError("must be a duration such as 90s, 15m, 1h or 7d, or 0")
    return timedelta(seconds=int(found[1]) * _UNITS_S[found[2]] if found else 0)


def _methods(value: object) -> object:
    """Let an environment variable list outputs with commas, and one name stand for a list of one."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        return _json_list(value)
    if isinstance(value, str) and value.strip() != "auto":
        return tuple(name.strip() for name in value.split(","))
    return value.strip() if isinstance(value, str) else value


def names(value: object) -> object:
    """Let an environment variable list names with commas."""
    if isinstance(value, str) and not value.lstrip().startswith("["):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return _json_list(value) if isinstance(value, str) else value


def _numbers(value: object) -> object:
    """Let one number stand for a list of one, and an environment variable list them with commas."""
    if isinstance(value, str):
        value = _json_list(value) if value.lstrip().startswith("[") else [part.strip() for part in value.split(",")]
    return value if isinstance(value, list | tuple) else (value,)


def _texts(value: object) -> object:
    """Let an environment variable hold a JSON list, or one text."""
    if isinstance(value, str):
        return _json_list(value) if value.lstrip().startswith("[") else (value,)
    return value


def _json_list(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError("must be one text, or a JSON list of texts") from error


def _whole(value: object) -> object:
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _absolute(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not hold a NUL character")
    path = Path(text).expanduser() if text else None
    if path is not None and not path.is_absolute():
        raise ValueError("must be an absolute path, or empty")
    return str(path) if path else ""


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    Kind("duration", "a duration such as 90s, 15m, 1h or 7d, or 0", (str,)),
]
FilePath = Annotated[str, AfterValidator(_absolute), Kind("path", "an absolute path, or empty", (str,))]
Outputs = Annotated[
    Literal["auto"] | Annotated[tuple[OutputName, ...], Field(min_length=1)],
    BeforeValidator(_methods),
    Kind(
        "name or list",
        f"auto, or a list of {', '.join(get_args(OutputName))}",
        (str, list),
        ("auto", *get_args(OutputName)),
    ),
]
OutputNames = Annotated[
    tuple[OutputName, ...],
    BeforeValidator(names),
    Kind("list", f"a list of {', '.join(get_args(OutputName))}", (list,), get_args(OutputName)),
]
Script = Annotated[tuple[str, ...], BeforeValidator(_texts), Kind("list", "a list of texts", (list,))]
Quality = Annotated[
    Literal[4, 7, 10],
    BeforeValidator(_whole),
    Kind("whole number", "4, 7 or 10", (int,)),
]
_TAG: Final = r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*"
Language = Annotated[
    str,
    Field(pattern=rf"^(auto|{_TAG})$"),
    Kind("text", "auto or a language tag such as en or pt-BR", (str,)),
]
SlotLanguage = Annotated[
    str,
    Field(pattern=rf"^(auto|{_TAG}|)$"),
    Kind("text", "auto, a language tag such as en or pt-BR, or empty", (str,)),
]
Languages = Annotated[
    tuple[Annotated[str, Field(pattern=rf"^{_TAG}$")], ...],
    BeforeValidator(names),
    Kind("list", "a list of language tags such as en or pt-BR", (list,)),
]
Engines = Annotated[
    tuple[EngineName, ...],
    BeforeValidator(names),
    Kind("list", f"a list of {', '.join(get_args(EngineName))}", (list,), get_args(EngineName)),
]
Temperature = Annotated[
    tuple[Annotated[float, Field(ge=0, le=1)], ...],
    Field(min_length=1),
    BeforeValidator(_numbers),
    Kind("number or list", "a number from 0 to 1, or a list of such", (int, float, list)),
]
Address = Annotated[
    str,
    Field(pattern=r"^(https?://[^\s/@?#]+(/[^\s@?#]*)?|)$"),
    Kind("address", "an address such as https://api.example.com/v1, or empty", (str,)),
]
Share = Annotated[float, Field(ge=0, le=1)]

# What people put there, by mistake too, is a key, an address with a password, or words of theirs: no message quotes it.
_PRIVATE: Final = re.compile(r"cloud\.|vocabulary\.|transcription\.script$")
_PRIVATE_KINDS: Final = ("address", "secret", "list of rules", "text or list")
# Bounds of texts: all settings together fit into one message to a client, which holds 1 MiB.
MAX_TEXT: Final = 1000  # characters
MAX_ENTRIES: Final = 5000
MAX_LIST: Final = 150_000  # characters of all texts in a list
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_BROKEN: Final = re.compile(r"[\ud800-\udfff]")  # halves of characters, which no file can hold

_PLAIN: Final = {
    bool: Kind("switch", "true or false", (bool,)),
    str: Kind("text", "a text", (str,)),
    int: Kind("whole number", "a whole number", (int,)),
    float: Kind("number", "a number", (int, float)),
}


def shown(value: object) -> str:
    """Return a refused value as it stands in a message."""
    return shorten(repr(value), 80)


def unfit(key: str, rule: str, value: object, kind: Kind) -> str:
    """Return the sentence that refuses a value, with the choice that is most like it; what is private is not quoted."""
    if kind.name in _PRIVATE_KINDS or _PRIVATE.match(key):
        return f"{key} {rule}."
    choices = kind.choices
    tried = value if isinstance(value, list) else str(value).split(",")
    near = [name for one in tried if str(one) not in choices for name in get_close_matches(str(one), choices, n=1)]
    return f"{key} {rule}, not {shown(value)}" + (f"; did you mean {near[0]}?" if near else ".")


def refuse_excess(value: object, *, speech: bool) -> None:
    """Raise ValueError for a text, or texts in a list, that are too long, too many, or cannot be seen.

    `speech`: what an engine says, which may have any length and lines.
    """
    texts = [each for each in (value if isinstance(value, tuple) else (value,)) if isinstance(each, str)]
    if isinstance(value, tuple) and (len(value) > MAX_ENTRIES or sum(map(len, texts)) > MAX_LIST):
        raise ValueError(f"must be a list of at most {MAX_ENTRIES} texts with {MAX_LIST} characters together")
    if not speech and any(len(text) > MAX_TEXT for text in texts):
        raise ValueError(f"must be a text of at most {MAX_TEXT} characters")
    if any((_BROKEN if speech else _CONTROL).search(text) for text in texts):
        raise ValueError("must be a text without control characters")


def kind_of(field: FieldInfo) -> Kind:
    """Return what a field may be: its own form, its choices, or its type within its bounds."""
    for mark in field.metadata:
        if isinstance(mark, Kind):
            return mark
    if get_origin(field.annotation) is Literal:
        choices = tuple(get_args(field.annotation))
        return Kind("name", " or ".join((", ".join(choices[:-1]), choices[-1])), (str,), choices)
    if field.annotation not in _PLAIN:
        return Kind("secret", "a secret", ())
    plain = _PLAIN[field.annotation]
    low, high = (next((getattr(m, end) for m in field.metadata if hasattr(m, end)), None) for end in ("ge", "le"))
    if low is None or high is None:
        return plain
    return Kind(plain.name, f"{plain.allowed} from {low} to {high}", plain.toml)
