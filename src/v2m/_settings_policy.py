"""`[[policy]]`: the rules per application, read layer by layer, so that an error names its line."""

import json
from difflib import get_close_matches
from typing import Annotated, Any, Final, get_args

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic.fields import FieldInfo

from v2m._settings_layers import RULES, Layer
from v2m._settings_tables import Table
from v2m._settings_values import Kind, OutputName, kind_of, names, shown, unfit
from v2m.domain.applications import RoleName
from v2m.domain.chords import EXAMPLE, parse_chord
from v2m.domain.errors import ConfigError
from v2m.domain.policy import WISHES, Newline
from v2m.domain.text.casing import Casing

_ROLES: Final = get_args(RoleName)
_OUTPUTS: Final = get_args(OutputName)


def _listed(value: object) -> object:
    """Let one text stand for a list of one."""
    return (value,) if isinstance(value, str) else value


def _chord(value: str | None) -> str | None:
    return value if value is None else str(parse_chord(value))


def _choice(*choices: str) -> Kind:
    return Kind("name", f"{', '.join(choices[:-1])} or {choices[-1]}", (str,), choices)


# A pattern is compared with each title; one of 20,000 characters took 11 s.
_Pattern = Annotated[str, Field(min_length=1, max_length=200)]
_Texts = Annotated[tuple[_Pattern, ...], Field(min_length=1), BeforeValidator(_listed)]
Patterns = Annotated[_Texts, Kind("text or list", "a pattern such as foot*, or a list of such", (str, list))]
Languages = Annotated[_Texts, Kind("text or list", "a language tag such as de or pt-*, or a list of such", (str, list))]
Roles = Annotated[
    tuple[RoleName, ...],
    Field(min_length=1),
    BeforeValidator(names),
    Kind("name or list", f"one or a list of {', '.join(_ROLES)}", (str, list), _ROLES),
]
WantedOutputs = Annotated[
    Annotated[tuple[OutputName, ...], Field(min_length=1)] | None,
    BeforeValidator(names),
    Kind("name or list", f"one or a list of {', '.join(_OUTPUTS)}", (str, list), _OUTPUTS),
]
PasteKey = Annotated[str | None, AfterValidator(_chord), Kind("chord", f"a chord such as {EXAMPLE}, or empty", (str,))]
LineBreak = Annotated[Newline | None, _choice(*get_args(Newline))]
Cased = Annotated[Casing | None, _choice(*get_args(Casing))]
Switch = Annotated[bool | None, Kind("switch", "true or false", (bool,))]


class PolicyRule(Table):
    """What has to hold, and what is then wished; what a rule does not say is empty, or None."""

    app: Patterns = Field((), description="Holds for applications of this Wayland app id or X11 class.")
    title: Patterns = Field((), description="Holds for windows of this title.")
    role: Roles = Field((), description="Holds for applications that v2m knows as such.")
    language: Languages = Field((), description="Holds for dictations in this language: de is also de-AT.")
    outputs: WantedOutputs = Field(None, description="Ways of typing in the order in which they are tried.")
    paste_key: PasteKey = Field(None, description="The keys that paste; empty: the way of typing chooses.")
    newline: LineBreak = Field(None, description="What a line break is typed as; in a terminal always a space.")
    casing: Cased = Field(None, description="Capitals: as they are, none, where sentences begin, or all.")
    trailing_space: Switch = Field(None, description="Whether a space follows each dictation.")
    refine: Switch = Field(None, description="Whether a language model may polish the text.")
    submit: Switch = Field(None, description="Whether Enter is pressed after the text.")
    origin: str = ""  # where a user finds it


Rules = Annotated[tuple[PolicyRule, ...], Kind("list of rules", f"a list of rules, each under [[{RULES}]]", (list,))]

_KEYS: Final = tuple(name for name, field in PolicyRule.model_fields.items() if field.description)
_HINT: Final = f"A rule takes {', '.join(_KEYS)}."


def read_rules(value: object, layer: Layer) -> tuple[PolicyRule, ...]:
    """Return the rules of one layer, which know where they stand.

    Raises:
        ConfigError: one sentence with the line of the key, and the nearest valid name.
    """
    tables = _parsed(value) if isinstance(value, str) else value
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        example = '[{"app": "foot", "casing": "lower"}]' if isinstance(value, str) else f"[[{RULES}]]"
        raise ConfigError(f"{layer.place(RULES)}: {RULES} must be a list of rules, as in {example}.", hint=_HINT)
    return tuple(_rule(table, number, layer) for number, table in enumerate(tables, start=1))


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _rule(table: dict[str, Any], number: int, layer: Layer) -> PolicyRule:
    def refused(key: str, sentence: str) -> ConfigError:
        return ConfigError(f"{layer.place(f'{RULES}.{number}.{key}')}: rule {number}: {sentence}", hint=_HINT)

    for key, value in table.items():
        if key not in _KEYS:
            near = get_close_matches(key, _KEYS, n=1)
            end = f"; did you mean {near[0]}?" if near else "."
            raise refused(key, f"a rule has no key {shown(key)}{end}")
        kind = kind_of(PolicyRule.model_fields[key])
        if type(value) not in kind.toml:
            raise refused(key, unfit(key, f"must be {kind.allowed}", value, kind))
    if not table.keys() & set(WISHES):
        raise refused("", f"it wishes nothing: it has none of {', '.join(WISHES)}.")
    try:
        return PolicyRule(**table, origin=_origin(number, layer))
    except ValidationError as error:
        refusal = refused(*_complaint(error, table, PolicyRule.model_fields))
    raise refusal


def _complaint(error: ValidationError, table: dict[str, Any], fields: dict[str, FieldInfo]) -> tuple[str, str]:
    """Return the first complaint: the key, and the sentence."""
    first = error.errors(include_url=False)[0]
    key = str(first["loc"][0])
    kind = kind_of(fields[key])
    if first["type"] != "value_error":
        return key, unfit(key, f"must be {kind.allowed}", table[key], kind)
    refused = f" {shown(table[key])}" if kind.name == "chord" else ""  # the others hold words of the user
    return key, f"{key}{refused} {first['ctx']['error']}."


def _origin(number: int, layer: Layer) -> str:
    if layer.name == "default":
        return f"v2m's rule {number}"
    place = layer.place(f"{RULES}.{number}")
    return place if ", line" in place else f"{place}, rule {number}"
