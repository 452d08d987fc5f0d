"""`v2m PING`, `v2m TYPE_TEXT "a b"`, `v2m call CMD --json '{…}'`: commands by their names on the wire."""

import json
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from v2m.ui import ask
from v2m.ui._verbs import COMMANDS
from v2m.ui.spec import Command, Field


class _Line(NamedTuple):
    """A command line of this form."""

    texts: list[str]
    payload: dict[str, Any]
    as_json: bool
    wants_help: bool


def is_raw(arguments: Sequence[str]) -> bool:
    """Tell whether the first argument is a command's name rather than a verb."""
    first = arguments[0] if arguments else ""
    return first.isupper() and not first.startswith("-")


def run(arguments: Sequence[str]) -> int:
    """Run `CMD [TEXT] [--json [OBJECT]]`. Raises UsageError."""
    name, line = arguments[0], _parse(arguments[1:])
    command = COMMANDS.get(name)
    if command is None:
        near = get_close_matches(name, COMMANDS, n=1)
        raise ask.UsageError(
            f"There is no command {name[:60]!r}.", f"Did you mean {near[0]}?" if near else "v2m --help"
        )
    if line.wants_help:
        print(_help(name, command))
        return 0
    data = {**_positional(name, command, line.texts), **line.payload}
    if name == "SUBSCRIBE":
        return ask.monitor(list(data.get("events", [])))
    return ask.show(name, ask.reply_to(name, data), as_json=line.as_json)


def call(arguments: Sequence[str]) -> int:
    """Run `call CMD [--json OBJECT]`: any name goes to the daemon, the whole answer comes back as JSON."""
    line = _parse(arguments)
    if line.wants_help:
        print("Usage: v2m call CMD [--json OBJECT]\n\n  Send any command; print the whole answer as JSON.")
        return 0
    if len(line.texts) != 1:
        raise ask.UsageError("call needs one command.", """Example: v2m call PING --json '{}'""")
    return ask.show(line.texts[0], ask.reply_to(line.texts[0], line.payload), as_json=True)


def _parse(arguments: Sequence[str]) -> _Line:
    texts, payload, as_json, wants_help = list[str](), dict[str, Any](), False, False
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            return _Line(texts + rest, payload, as_json, wants_help)
        if argument == "--json" or argument.startswith("--json="):
            as_json = True
            if argument.startswith("--json="):
                payload = _object(argument.removeprefix("--json="))
            elif rest and rest[0].lstrip().startswith("{"):
                payload = _object(rest.pop(0))
        elif argument in ("-h", "--help"):
            wants_help = True
        elif argument.startswith("-") and argument != "-":
            raise ask.UsageError(f"There is no option {argument}.", "Put -- in front of a text that begins with -.")
        else:
            texts.append(argument)
    return _Line(texts, payload, as_json, wants_help)


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ask.UsageError("--json is not followed by valid JSON.", """Example: --json '{"limit": 5}'""") from error
    if not isinstance(value, dict):
        raise ask.UsageError("--json is not followed by an object.", """Example: --json '{"limit": 5}'""")
    return value


def _positional(name: str, command: Command, texts: list[str]) -> dict[str, Any]:
    field = command.positional()
    if not texts:
        return {}
    if field is None:
        raise ask.UsageError(f"{name} takes no text.", f"v2m {name} --help")
    if len(texts) > 1:
        raise ask.UsageError(f"{name} takes one {field.name}.", "Put quotes around it.")
    return {field.name: _value(field, texts[0])}


def _value(field: Field, text: str) -> object:
    try:
        match field.kind:
            case "int":
                return int(text)
            case "float":
                return float(text)
            case _:
                return ask.text_of(text) if field.name == "text" else text
    except ValueError as error:
        raise ask.UsageError(f"{field.name} is not a number: {text[:60]!r}.") from error


def _help(name: str, command: Command) -> str:
    field = command.positional()
    takes = f" [{field.name}]" if field else ""
    keys = [f"  {key.name:12} {key.help}" for key in command.fields]
    return "\n".join([f"Usage: v2m {name}{takes} [--json [OBJECT]]", "", f"  {command.sentence}", "", *keys]).rstrip()
