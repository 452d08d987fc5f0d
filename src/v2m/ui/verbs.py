"""The verbs of `v2m`, as click commands made from the generated table. A verb returns what is to be done."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Final

import click

from v2m import __version__
from v2m.ui import ask, transcribe
from v2m.ui._verbs import COMMANDS
from v2m.ui.spec import Field

Action = Callable[[], int]
LocalVerb = Callable[[Any], click.Command]  # takes the function that prints

VERBS: Final = {
    "start": "START_RECORDING",
    "stop": "STOP_RECORDING",
    "toggle": "TOGGLE_RECORDING",
    "abort": "ABORT_RECORDING",
    "status": "GET_STATUS",
    "ping": "PING",
    "type": "TYPE_TEXT",
    "transcribe": "TRANSCRIBE_FILE",
    "history": "LIST_HISTORY",
    "again": "DELIVER_AGAIN",
    "retry": "RETRY_DICTATION",
    "devices": "LIST_DEVICES",
    "outputs": "LIST_OUTPUTS",
    "pause": "PAUSE_DAEMON",
    "resume": "RESUME_DAEMON",
    "shutdown": "SHUTDOWN",
}
_ARGUMENTS: Final = {"text": "TEXT", "file_path": "FILE", "dictation": "[DICTATION]"}
_NAMES: Final = {"limit": ("-n", "--limit"), "timeout_s": ("--timeout",), "events": ("--event",)}
_TYPES: Final = {"int": click.INT, "float": click.FLOAT}
_ABOUT: Final = """Speak, and your words stand in the window you were typing in.

The daemon is started by toakd; a hotkey calls toak. Every command of the wire is also a word of its own:
v2m PING, v2m TYPE_TEXT "some text", v2m START_RECORDING --json '{"language": "en"}'.
"""


class _Group(click.Group):
    """`v2m`; the verbs that need no daemon are built when one of them is asked for, or help."""

    def __init__(self, local: Mapping[str, LocalVerb]) -> None:
        super().__init__("v2m", help=_ABOUT, context_settings={"help_option_names": ["-h", "--help"]})
        self._local = local

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*self.commands, *self._local])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self._local:
            return self._local[cmd_name](ask.present)
        return super().get_command(ctx, cmd_name)


def build_group(local: Mapping[str, LocalVerb] = MappingProxyType({})) -> click.Group:
    """Return `v2m` with all its verbs; `local` builds those that need no daemon."""
    group = _Group(local)
    click.version_option(__version__, prog_name="v2m")(group)
    for verb, cmd in VERBS.items():
        group.add_command(transcribe.command(COMMANDS[cmd].sentence) if verb == "transcribe" else _command(verb, cmd))
    group.add_command(_last())
    group.add_command(_monitor())
    group.add_command(click.Command("call", help="Send any command; print the whole answer as JSON."))
    return group


def _command(verb: str, cmd: str) -> click.Command:
    fields = [field for field in COMMANDS[cmd].fields if field.kind != "map"]
    parameters = [parameter for field in fields for parameter in _parameters(field)]

    def act(*, as_json: bool, **values: Any) -> Action:  # noqa: ANN401 - what click parsed
        data = {key: value for key, value in values.items() if value is not None and value != ()}
        return partial(_ask, cmd, data, as_json=as_json)

    return click.Command(verb, params=[*parameters, _json_option()], callback=act, help=COMMANDS[cmd].sentence)


def _ask(cmd: str, data: dict[str, Any], *, as_json: bool) -> int:
    if "text" in data:
        data["text"] = ask.text_of(data["text"])
    return ask.show(cmd, ask.reply_to(cmd, data), as_json=as_json)


def _parameters(field: Field) -> list[click.Parameter]:
    """Return a key's options; one that was not given is not sent, so that the daemon's default holds."""
    if field.name in _ARGUMENTS:
        kind = _TYPES.get(field.kind, click.STRING)
        return [click.Argument([field.name], required=field.required, type=kind, metavar=_ARGUMENTS[field.name])]
    if field.name == "deliver":
        return [_deliver_option(where, field) for where in field.choices]
    flag = "--" + field.name.replace("_", "-")
    if field.kind == "bool":
        names = f"{flag}/--no-{flag.removeprefix('--')}"
        return [click.Option([names, field.name], default=None, help=field.help)]
    return [
        click.Option(
            [*_NAMES.get(field.name, (flag,)), field.name],
            type=click.Choice(field.choices) if field.choices else _TYPES.get(field.kind, click.STRING),
            multiple=field.kind == "texts",
            required=field.required,
            help=field.help,
        )
    ]


def _deliver_option(where: str, field: Field) -> click.Option:
    names = {"none": ["--none", "--pipe"]}.get(where, [f"--{where}"])
    say = {
        "type": "Type the text into the focused window (as without an option)",
        "copy": "Put the text on the clipboard instead",
        "none": "Only print the text",
    }
    return click.Option([*names, field.name], flag_value=where, default=None, help=say.get(where))


def _json_option() -> click.Option:
    return click.Option(["--json", "as_json"], is_flag=True, help="Print the daemon's whole answer as JSON")


def _last() -> click.Command:
    def act(*, as_json: bool) -> Action:
        return partial(_show_last, as_json=as_json)

    return click.Command("last", params=[_json_option()], callback=act, help="Print the newest text.")


def _show_last(*, as_json: bool) -> int:
    reply = ask.reply_to("LIST_HISTORY", {"limit": 1, "with_text": True})
    if as_json or reply.get("status") != "success":
        return ask.show("LIST_HISTORY", reply, as_json=as_json)
    for entry in reply["data"]["entries"]:
        print(entry["text"])
        return 0
    return ask.show("LIST_HISTORY", ask.refusal(ask.NoTextError()), as_json=False)


def _monitor() -> click.Command:
    def act(*, as_json: bool, events: tuple[str, ...]) -> Action:
        return partial(ask.monitor, list(events))

    wanted = click.Option(["--event", "events"], multiple=True, help="Only events of this name; may be repeated")
    say = "Print one line of JSON per event, first what is."
    return click.Command("monitor", params=[wanted, _json_option()], callback=act, help=say)
