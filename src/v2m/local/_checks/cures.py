"""Commands that several checks offer, and what they become on a machine that lacks something."""

import os
import shlex
from itertools import count
from pathlib import Path
from typing import Final

from v2m._settings_layers import variable
from v2m.config import Settings
from v2m.infrastructure.service import systemd
from v2m.utils.paths import runtime_base, session_bus_address

_MANAGER: Final = "systemctl --user "


def set_to(settings: Settings, key: str, value: str) -> str:
    """Return the command that gives a setting another value, wherever it is set now."""
    if settings.sources.get(key) == "environment":
        return (
            f"unset {variable(key)}" if not value or value == "auto" else f"export {variable(key)}={shlex.quote(value)}"
        )
    return f"v2m config set {key} {shlex.quote(value)}"


def aside(path: Path, *beside: str, ending: str = ".aside", sudo: bool = False) -> str:
    """Return the command that moves a file, and those named like it with these endings, where nothing stands yet."""
    ours = ["", *(more for more in beside if path.with_name(path.name + more).exists())]
    targets = (f"{path}{ending}{f'-{number}' if number > 1 else ''}" for number in count(1))
    target = next(free for free in targets if not any(os.path.lexists(free + more) for more in ("", *beside)))
    word = "sudo mv -n" if sudo else "mv -n"
    return " && ".join(f"{word} {shlex.quote(f'{path}{more}')} {shlex.quote(target + more)}" for more in ours)


def here(fix: str) -> str:
    """Return the command that does the same here: without a user manager of systemd, programs are started by hand."""
    if not fix.startswith(_MANAGER) or systemd.is_there():
        return fix
    verb, *units = fix.removeprefix(_MANAGER).split()
    if verb == "import-environment":
        return "v2m daemon restart"  # in a terminal of the desktop, whose variables it takes over
    if units == ["dbus.socket"]:
        address, _, _ = (session_bus_address() or f"unix:path={runtime_base()}/bus").partition(",guid=")
        return f"dbus-daemon --session --fork --address={shlex.quote(address)}"
    return "; ".join(f"setsid -f {unit} >/dev/null 2>&1; sleep 1" for unit in units)
