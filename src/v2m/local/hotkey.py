"""`v2m hotkey print`: what to put into a desktop's configuration, so that a key starts and its release stops."""

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from v2m.client import ClientError
from v2m.domain.hotkeys import parse_keys
from v2m.local._group import Show, guarded
from v2m.local._hotkey_lines import DESKTOPS, advice
from v2m.utils.paths import session_bus_address, set_variables

HELP: Final = "Print what to bind, for the desktop you are on or the one you name; changes nothing."
KEY: Final = "Keys to hold while speaking, such as F9 or super+space"
JSON: Final = "Print one JSON object"
DEFAULT_KEY: Final = "F9"
_SIGNS: Final = ("SWAYSOCK", "HYPRLAND_INSTANCE_SIGNATURE", "I3SOCK", "XDG_CURRENT_DESKTOP")
_CALLED: Final = {"sway": "sway", "hyprland": "hyprland", "i3": "i3", "kde": "kde", "plasma": "kde", "gnome": "gnome"}


def build_command(show: Show) -> click.Command:
    """Return `hotkey`, which alone does as `hotkey print`."""
    params = [
        click.Argument(["desktop"], required=False, type=click.Choice(DESKTOPS)),
        click.Option(["--key"], default=DEFAULT_KEY, show_default=True, help=KEY),
        click.Option(["--json", "as_json"], is_flag=True, help=JSON),
    ]
    printing = click.Command("print", params=list(params), callback=partial(partial, guarded, _print, show), help=HELP)

    def alone() -> Any:  # noqa: ANN401 - what click returns
        if click.get_current_context().invoked_subcommand is None:
            return partial(guarded, _print, show, desktop=None, key=DEFAULT_KEY, as_json=False)
        return None

    group = click.Group("hotkey", help="Tell how to bind a key.", callback=alone, invoke_without_command=True)
    group.add_command(printing)

    @group.result_callback()
    def chosen(action: Any) -> Any:  # noqa: ANN401 - what click hands on
        return action

    return group


def _print(show: Show, *, desktop: str | None, key: str, as_json: bool) -> int:
    try:
        keys = parse_keys(key)
    except ValueError as error:
        raise ClientError("usage", f"--key {key!r} {error}.", "v2m hotkey print --help") from error
    name = desktop or detect(set_variables(_SIGNS))
    told = advice(name, keys, toak=toak(), has_portal=_has_portal(name))
    data = {"desktop": name, "key": key, "lines": told.lines, "file": told.file, "reason": told.reason}
    return show(data, "\n".join([*(f"# {line}" for line in told.comments), *told.lines]), as_json=as_json)


def detect(variables: Mapping[str, str]) -> str:
    """Return the desktop of this session. Raises ClientError when it is none that we know."""
    if variables.get("SWAYSOCK"):
        return "sway"
    if variables.get("HYPRLAND_INSTANCE_SIGNATURE"):
        return "hyprland"
    for name in variables.get("XDG_CURRENT_DESKTOP", "").lower().split(":"):
        if name in _CALLED:
            return _CALLED[name]
    if variables.get("I3SOCK"):
        return "i3"
    known = ", ".join(DESKTOPS)
    raise ClientError("usage", f"This desktop is not known; name one of {known}.", "v2m hotkey print sway")


def toak() -> str:
    """Return the trigger's absolute path: it was installed beside this program."""
    return str(Path(sys.executable).with_name("toak"))


def _has_portal(desktop: str) -> bool:
    """Tell whether this session's portal has GlobalShortcuts; asked only where that changes the advice."""
    if desktop not in ("gnome", "kde"):
        return False
    import asyncio

    from v2m.infrastructure._portal import PortalError
    from v2m.infrastructure.desktop.hotkeys.portal import GlobalShortcuts

    async def ask() -> bool:
        address = session_bus_address()
        if address is None:
            return False
        try:
            portal = await GlobalShortcuts.connect(address)
        except PortalError:
            return False
        try:
            return await portal.is_there()
        finally:
            await portal.close()

    return asyncio.run(ask())
