"""`v2m recover`: what an interrupted daemon left: listed, typed, copied or thrown away."""

from functools import partial
from typing import Any, Final

import click

from v2m.client import Client, ClientError
from v2m.local._entries import entries
from v2m.local._group import Show, guarded
from v2m.utils.paths import set_variables

HELP: Final = "List what a daemon that was killed left behind; with --type, --copy or --discard do something about it."
_RESTING: Final = ("held", "uncertain", "failed")
_TEXT_SHOWN: Final = 60  # characters of a line


def build_command(show: Show) -> click.Command:
    """Return `recover`."""
    parameters = [
        click.Argument(["dictations"], nargs=-1, type=click.INT, metavar="[ID]..."),
        click.Option(["--all", "everything"], is_flag=True, help="All that are listed, oldest first"),
        click.Option(["--type", "way"], flag_value="type", help="Type them into the focused window (as without)"),
        click.Option(["--copy", "way"], flag_value="copy", help="Put the text on the clipboard instead"),
        click.Option(["--discard", "way"], flag_value="discard", help="Delete them with their audio"),
        click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON object"),
    ]
    return click.Command("recover", params=parameters, callback=partial(partial, guarded, _act, show), help=HELP)


def _act(show: Show, *, dictations: tuple[int, ...], everything: bool, way: str | None, as_json: bool) -> int:
    offered = [row for row in entries() if row["error"] == "interrupted" and row["phase"] in _RESTING]
    wanted = [row for row in reversed(offered) if everything or row["dictation"] in dictations]
    if not wanted and not dictations:
        if way and offered:
            raise ClientError("usage", f"Which? There are {len(offered)}.", f"v2m recover --all --{way}")
        talk = "v2m recover ID types one, v2m recover --all all." if offered else "Nothing is left to recover."
        return show({"offered": offered}, "\n".join(map(_line, offered)) or None, talk, as_json=as_json)
    if unknown := sorted(set(dictations) - {row["dictation"] for row in offered}):
        raise ClientError("usage", f"Dictation {unknown[0]} is not one that is left to recover.", "v2m recover")
    with Client() as client:
        done = [_do(client, row, way or "type") for row in wanted]
    words = {"type": "Typed", "copy": "Copied", "discard": "Deleted"}[way or "type"]
    said = f"{words} {', '.join(str(row['dictation']) for row in wanted)}."
    return show({"recovered": done}, None, said, as_json=as_json)


def _do(client: Client, row: dict[str, Any], way: str) -> dict[str, Any]:
    """Bring one dictation to its end. Raises ClientError; those before it are done."""
    dictation = row["dictation"]
    if way == "discard":
        return {"dictation": dictation, **client.call("DELETE_HISTORY", dictations=[dictation])}
    cmd = "DELIVER_AGAIN" if row["text"] else "RETRY_DICTATION"
    return client.call(cmd, dictation=dictation, deliver=way, env=set_variables(_DISPLAY))


def _line(row: dict[str, Any]) -> str:
    text = "".join(character if character.isprintable() else " " for character in row["text"] or row["reason"])
    short = text if len(text) <= _TEXT_SHOWN else f"{text[:_TEXT_SHOWN]}…"
    return f"{row['dictation']:>6}  {row['started'][:19]}  {row['phase']:9}  {row['duration_s']:6.1f} s  {short}"


_DISPLAY: Final = ("WAYLAND_DISPLAY", "DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR", "XDG_SESSION_TYPE", "SWAYSOCK")
