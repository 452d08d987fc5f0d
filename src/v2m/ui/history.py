"""`v2m history`: lists; its verbs show, delete and shred. Those that read or write files: v2m/local/history.py."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import click

from v2m.ui import ask
from v2m.ui.answers import Said, one_line, when

Action = Callable[[], int]

_FIELDS: Final = ("phase", "method", "certainty", "target", "engine", "language", "error", "reason")
_UNASKED: Final = "That cannot be undone: add --yes."


def build_history(list_verb: click.Command, json_option: Callable[[], click.Option]) -> click.Group:
    """Return the group; without a verb it lists, with the options of `list_verb`."""
    export = click.Option(["--export", "export"], metavar="FILE", help="Write everything as JSON lines; - is stdout")
    about = f"{list_verb.help} Its verbs show, delete, shred, export and import."
    group = _History("history", params=[*list_verb.params, export], help=about, invoke_without_command=True)
    group.lists = list_verb
    group.callback = group.act
    group.add_command(click.Command("list", params=list_verb.params, callback=list_verb.callback, help=list_verb.help))
    one = click.Argument(["dictation"], type=click.INT)
    group.add_command(
        click.Command("show", params=[one, json_option()], callback=_show, help="Show all that is known about one.")
    )
    for verb, say in (
        ("delete", "Delete dictations with their audio, also from older copies of the history."),
        ("shred", "Overwrite words and audio of dictations, then delete them."),
    ):
        group.add_command(
            click.Command(verb, params=[*_chosen(), json_option()], callback=partial(_delete, verb), help=say)
        )
    return group


class _History(click.Group):
    """`v2m history`; what its own options mean is left to whichever verb they are of."""

    lists: click.Command

    def act(self, *, export: str | None, **given: Any) -> Action | None:  # noqa: ANN401 - what click parsed
        context = click.get_current_context()
        if context.invoked_subcommand is not None:
            return None
        if export is not None:
            verb = self.get_command(context, "export")
            assert verb is not None
            action: Action = context.invoke(verb, file=export, as_json=given["as_json"])
            return action
        assert self.lists.callback is not None
        listing: Action = self.lists.callback(**given)
        return listing


def _chosen() -> Sequence[click.Parameter]:
    return (
        click.Argument(["dictations"], nargs=-1, type=click.INT, metavar="[ID]..."),
        click.Option(["--all", "everything"], is_flag=True, help="Every dictation"),
        click.Option(["--older-than", "days"], type=click.FLOAT, metavar="DAYS", help="All that began longer ago"),
        click.Option(["--yes"], is_flag=True, help="With --all: yes, all of them"),
    )


def _delete(
    verb: str, *, dictations: tuple[int, ...], everything: bool, days: float | None, yes: bool, as_json: bool
) -> Action:
    if everything and not yes:
        raise ask.UsageError(_UNASKED, f"v2m history {verb} --all --yes")
    data: dict[str, Any] = {"shred": verb == "shred"}
    data |= {"dictations": list(dictations)} if dictations else {}
    data |= {"all": True} if everything else {}
    data |= {"older_than_days": days} if days is not None else {}
    return lambda: ask.show("DELETE_HISTORY", ask.reply_to("DELETE_HISTORY", data), as_json=as_json)


def _show(*, dictation: int, as_json: bool) -> Action:
    return partial(_show_one, dictation, click.get_current_context().obj, as_json=as_json)


def _show_one(dictation: int, alone: ask.Alone | None, *, as_json: bool) -> int:
    reply = ask.reply_to("LIST_HISTORY", {"limit": 1, "before": dictation + 1}, alone)
    if reply.get("status") != "success":
        return ask.show("LIST_HISTORY", reply, as_json=as_json)
    entry = next(iter(reply["data"]["entries"]), None)
    if entry is None or entry.get("dictation") != dictation:
        raise ask.UsageError(f"There is no dictation {dictation} in the history.", "v2m history")
    return ask.present(entry, _in_words(entry).out, as_json=as_json)


def _in_words(entry: dict[str, Any]) -> Said:
    lines = [f"dictation {entry['dictation']}, {when(entry.get('started'))}, {entry.get('duration_s', 0):.1f} s"]
    lines += [f"{name:10} {one_line(str(entry[name]))}" for name in _FIELDS if entry.get(name)]
    lines += [f"{'audio':10} {'kept' if entry.get('audio') else 'gone'}"]
    lines += [f"{name:10} {one_line(str(entry.get(name)))}" for name in ("raw", "text") if entry.get(name)]
    return Said("\n".join(lines))
