"""`v2m uninstall`: takes away what `v2m install` made; what was dictated stays unless it is asked for."""

import asyncio
import shutil
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from v2m.local._group import Show, guarded
from v2m.utils.paths import (
    SOCKET_NAME,
    TOAK_SOCKET_NAME,
    config_dir,
    data_dir,
    menu_entry,
    runtime_base,
    state_dir,
    units_dir,
)
from v2m.utils.presence import lock_path

HELP: Final = "End the daemon and remove its units; history, settings and models stay, and are named."
PURGE: Final = "Delete history, recordings, settings and models, too"
JSON: Final = "Print one JSON object"


def build_command(show: Show) -> click.Command:
    """Return `uninstall`."""
    options: list[click.Parameter] = [
        click.Option(["--purge"], is_flag=True, help=PURGE),
        click.Option(["--json", "as_json"], is_flag=True, help=JSON),
    ]
    return click.Command("uninstall", params=options, callback=partial(partial, guarded, _act, show), help=HELP)


def _act(show: Show, *, purge: bool, as_json: bool) -> int:
    return show(*asyncio.run(_uninstall(purge=purge)), as_json=as_json)


async def _uninstall(*, purge: bool) -> tuple[dict[str, Any], None, str]:
    from v2m.infrastructure.service import systemd
    from v2m.infrastructure.service.installation import uninstall
    from v2m.local._daemon_ways import shut_down

    folder = await systemd.unit_folder(units_dir()) if systemd.is_there() else units_dir()
    gone = await uninstall(folder)
    await shut_down()  # one that was started by hand
    _tidy(runtime_base() / "v2m")
    if (entry := menu_entry()).exists():
        entry.unlink()
        gone.append(entry)
    kept = {"history and recordings": state_dir(), "settings": config_dir(), "models": data_dir()}
    if purge:
        for place in kept.values():
            if place.is_dir() and not place.is_symlink():
                shutil.rmtree(place)
                gone.append(place)
    stays = {what: str(place) for what, place in kept.items() if place.exists()}
    said = [f"Removed {path}" for path in gone] or ["Nothing was installed."]
    said += [f"Kept {place} ({what})" for what, place in stays.items()]
    if stays and not purge:
        said.append("v2m uninstall --purge deletes that, too.")
    return {"removed": [str(path) for path in gone], "kept": stays}, None, "\n".join(said)


def _tidy(runtime: Path) -> None:
    """Take away what an ended daemon leaves in the runtime directory; all stays where one was started meanwhile."""
    from v2m.domain.errors import AlreadyRunningError
    from v2m.infrastructure.service.lock import held_lock

    if not runtime.is_dir():
        return
    with suppress(AlreadyRunningError), held_lock(lock := lock_path(runtime / SOCKET_NAME)):
        for path in (runtime / SOCKET_NAME, runtime / TOAK_SOCKET_NAME, lock):
            path.unlink(missing_ok=True)
    with suppress(OSError):  # something else is in it
        runtime.rmdir()
