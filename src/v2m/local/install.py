"""`v2m install`: the daemon as a service of systemd's user manager, there after every login."""

import asyncio
from functools import partial
from typing import Any, Final

import click

from v2m.client import ClientError
from v2m.local._group import Show, guarded
from v2m.utils.paths import units_dir

HELP: Final = "Have systemd start the daemon at login, or at the first key, and start it now; again is harmless."
PRINT: Final = "Only show what would be written"
HARDEN: Final = "Confine the daemon further, by user namespaces; tried first, and not done where it does not work"
JSON: Final = "Print one JSON object"
ALONE: Final = "There is no systemd for your user here, so nothing was installed; start the daemon at login with"


def build_command(show: Show) -> click.Command:
    """Return `install`."""
    options: list[click.Parameter] = [
        click.Option(["--print", "only_print"], is_flag=True, help=PRINT),
        click.Option(["--harden"], is_flag=True, help=HARDEN),
        click.Option(["--json", "as_json"], is_flag=True, help=JSON),
    ]
    return click.Command("install", params=options, callback=partial(partial, guarded, _act, show), help=HELP)


def _act(show: Show, *, only_print: bool, harden: bool, as_json: bool) -> int:
    from v2m.infrastructure.service import systemd
    from v2m.infrastructure.service.installation import texts

    if only_print:
        files = texts(harden=harden)
        said = "\n".join(f"# {name}\n{text}" for name, text in files.items())
        return show({"files": dict(files)}, said.rstrip("\n"), as_json=as_json)
    if not systemd.is_there():
        raise ClientError("not_running", f"{ALONE} v2m daemon start.", "v2m daemon start")
    return show(*asyncio.run(_install(harden=harden)), as_json=as_json)


async def _install(*, harden: bool) -> tuple[dict[str, Any], None, str]:
    from v2m.infrastructure.service import hardening, systemd
    from v2m.infrastructure.service.installation import install
    from v2m.infrastructure.service.units import SERVICE
    from v2m.local._confinement_probe import COMMAND
    from v2m.local._daemon_ways import make_room

    trial = await hardening.try_hardening(COMMAND) if harden else None
    folder = await systemd.unit_folder(units_dir())
    await make_room()
    done = await install(folder, harden=bool(trial and trial.works))
    said = [f"Wrote {folder / name}" for name in done.written] or ["Everything was installed already."]
    if trial is not None and not trial.works:
        said.append(f"Not confined further: {trial.reason}.")
    said.append(f"{SERVICE} runs, and starts at login. Bind a key: v2m hotkey print, or docs/hotkeys.md")
    data = {
        "folder": str(folder),
        "written": list(done.written),
        "hardened": trial.works if trial else None,
        "reason": trial.reason if trial else "",
    }
    return data, None, "\n".join(said)
