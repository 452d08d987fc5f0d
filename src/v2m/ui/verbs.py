"""The verbs of `v2m`, as click commands made from the generated table. A verb returns what is to be done."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Final

import click

from v2m import __version__
from v2m.ui import ask, pipe, status, transcribe
from v2m.ui._verbs import COMMANDS
from v2m.ui.history import build_history
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
    "undo": "UNDO_DELIVERY",
    "raw": "SWAP_TEXT",
    "refined": "SWAP_TEXT",
    "retry": "RETRY_DICTATION",
    "devices": "LIST_DEVICES",
    "outputs": "LIST_OUTPUTS",
    "policy test": "TEST_POLICY",
    "pause": "PAUSE_DAEMON",
    "resume": "RESUME_DAEMON",
    "shutdown": "SHUTDOWN",
}
_ARGUMENTS: Final = {"text": "TEXT", "file_path": "FILE", "dictation": "[DICTATION]"}
_NAMES: Final = {"limit": ("-n", "--limit"), "timeout_s": ("--timeout",), "events": ("--event",)}
_TYPES: Final = {"int": click.INT, "float": click.FLOAT}
# Verbs that say a key of their command by themselves.
_SAID: Final[Mapping[str, tuple[dict[str, str], str]]] = {
    "raw": ({"version": "raw"}, "Put what the engine heard in the place of what was typed; else on the clipboard."),
    "refined": ({"version": "refined"}, "Put the refined text in the place of what was typed; else on the clipboard."),
}
_OF_THEIR_OWN: Final = {"transcribe": transcribe.command, "status": status.command}
_GROUPS: Final = {"policy": "Explain the rules per application."}
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
        return sorted({*self.commands, *self._local})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        if cmd_name not in self._local:
            return own
        local = self._local[cmd_name](ask.present)
        if isinstance(own, click.Group) and isinstance(local, click.Group):  # some of its verbs need no daemon
            own.commands.update(local.commands)
            own.context_settings = {**own.context_settings, **local.context_settings}  # what answers without a daemon
            return own
        return local


def build_group(local: Mapping[str, LocalVerb] = MappingProxyType({})) -> click.Group:
    """Return `v2m` with all its verbs; `local` builds those that need no daemon."""
    group = _Group(local)
    click.version_option(__version__, prog_name="v2m")(group)
    for verb, cmd in VERBS.items():
        above, _, name = verb.rpartition(" ")
        special = _OF_THEIR_OWN.get(verb)
        command = special(COMMANDS[cmd].sentence) if special else _command(name, cmd)
        (_verb_of_verbs(group, above) if above else group).add_command(command)
    group.add_command(build_history(group.commands["history"], _json_option))
    group.add_command(_last())
    group.add_command(_monitor())
    group.add_command(click.Command("call", help="Send any command; print the whole answer as JSON."))
    return group


def _verb_of_verbs(group: click.Group, name: str) -> click.Group:
    """Return the verb that has verbs of its own; it is made when the first of them is added."""
    if not isinstance(found := group.commands.get(name), click.Group):
        found = click.Group(name, help=_GROUPS[name])
        group.add_command(found)
    return found


def _command(verb: str, cmd: str) -> click.Command:
    said, sentence = _SAID.get(verb, ({}, COMMANDS[cmd].sentence))
    fields = [field for field in COMMANDS[cmd].fields if field.kind != "map" and field.name not in said]
    piped = cmd in pipe.PIPED
    parameters = [parameter for field in fields for parameter in _parameters(field, streams=piped)]

    def act(*, as_json: bool, stream: bool = False, **values: Any) -> Action:  # noqa: ANN401 - what click parsed
        data = said | {key: value for key, value in values.items() if value is not None and value != ()}
        if stream and not as_json:
            return partial(pipe.run, cmd, data)
        alone: ask.Alone | None = click.get_current_context().obj
        return partial(_ask, cmd, {**data, "deliver": "none"} if stream else data, alone, as_json=as_json)

    options = [*([_pipe_option()] if piped else []), _json_option()]
    return click.Command(verb, params=[*parameters, *options], callback=act, help=sentence)


def _ask(cmd: str, data: dict[str, Any], alone: ask.Alone | None = None, *, as_json: bool) -> int:
    if "text" in data:
        data["text"] = ask.text_of(data["text"])
    return ask.show(cmd, ask.reply_to(cmd, data, alone), as_json=as_json)


def _parameters(field: Field, *, streams: bool) -> list[click.Parameter]:
    """Return a key's options; one that was not given is not sent, so that the daemon's default holds.

    `streams`: the verb has a `--pipe` of its own.
    """
    if field.name in _ARGUMENTS:
        kind = _TYPES.get(field.kind, click.STRING)
        return [click.Argument([field.name], required=field.required, type=kind, metavar=_ARGUMENTS[field.name])]
    if field.name == "deliver":
        return [_deliver_option(where, field, streams=streams) for where in field.choices]
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


def _deliver_option(where: str, field: Field, *, streams: bool) -> click.Option:
    names = ["--none", "--pipe"] if where == "none" and not streams else [f"--{where}"]
    say = {
        "type": "Type the text into the focused window (as without an option)",
        "copy": "Put the text on the clipboard instead",
        "none": "Only print the text",
    }
    return click.Option([*names, field.name], flag_value=where, default=None, help=say.get(where))


def _pipe_option() -> click.Option:
    say = "Print the text while it is decoded, and nothing else; type nothing"
    return click.Option(["--pipe", "stream"], is_flag=True, help=say)


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
