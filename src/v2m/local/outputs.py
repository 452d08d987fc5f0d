"""`v2m outputs`: where words would go; with `--check`, what arrives of them in a window of our own."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import click

from v2m.local._figures import table
from v2m.local._group import Show, guarded

if TYPE_CHECKING:
    from v2m.local._outputs_check import Checked, Reading

HELP: Final = "Tell where words would go now, and why each way of typing is in or out."
CHECK: Final = "Type a probe of each kind of characters into a window of our own, read it back, and remember the result"
JSON: Final = "Print one JSON object"
SIGNS: Final = {True: "✓", False: "✗", None: "–"}
LEGEND: Final = "✓ arrives exactly · ✗ does not: not used for such texts under this layout · – not typed this way here"
DAEMONS: Final = "outputs"  # the verb that asks the daemon, made from the table of commands


def build_command(show: Show) -> click.Command:
    """Return `outputs`."""
    check = click.Option(["--check"], is_flag=True, help=CHECK)
    as_json = click.Option(["--json", "as_json"], is_flag=True, help=JSON)
    return click.Command("outputs", params=[check, as_json], callback=partial(_act, show), help=HELP)


def _act(show: Show, *, check: bool, as_json: bool) -> Callable[[], int]:
    if check:
        return partial(guarded, _check, show, as_json=as_json)
    above = click.get_current_context().parent
    assert above is not None
    assert isinstance(above.command, click.Group)
    action: Callable[[], int] = above.invoke(above.command.commands[DAEMONS], as_json=as_json)
    return action


def _check(show: Show, *, as_json: bool) -> int:
    from v2m.local._outputs_check import check

    found = asyncio.run(check())
    readings = [
        {
            "output": one.output,
            "class": one.kind.value,
            "exact": one.exact,
            "typed": one.probe,
            "read": one.read,
            "certainty": one.certainty,
            "detail": one.detail,
        }
        for one in found.readings
    ]
    return show({"layout": found.layout, "readings": readings}, _said(found), _troubles(found), as_json=as_json)


def _said(found: "Checked") -> str:
    outputs = list(dict.fromkeys(one.output for one in found.readings))
    kinds = list(dict.fromkeys(one.kind for one in found.readings))
    signs = {(one.output, one.kind): SIGNS[one.exact] for one in found.readings}
    rows = [(kind.value, *(signs[output, kind] for output in outputs)) for kind in kinds]
    return f"{table(('', *outputs), rows)}\n\nKeyboard layout: {found.layout or 'unknown'}. {LEGEND}."


def _troubles(found: "Checked") -> str:
    """Say for each probe that did not arrive what came instead, and why an output typed nothing at all."""
    lines = [
        f"{one.output}, {one.kind.value}: {one.probe} arrived as {one.read or 'nothing'}"
        for one in found.readings
        if one.exact is False
    ]
    silent: dict[str, Sequence[Reading]] = {}
    for one in found.readings:
        silent[one.output] = [*silent.get(one.output, ()), one]
    lines += [
        f"{output}: {each[0].detail}" for output, each in silent.items() if all(one.exact is None for one in each)
    ]
    return "\n".join(_printable(line) for line in lines)


def _printable(line: str) -> str:
    return "".join(character if character.isprintable() else "·" for character in line)
