"""What systemd's user manager knows of us."""

import os
import pwd
import shlex
from pathlib import Path
from typing import Final

from v2m.domain.errors import V2mError
from v2m.infrastructure.service import systemd
from v2m.infrastructure.service.hardening import DROP_IN, try_hardening
from v2m.infrastructure.service.installation import texts
from v2m.infrastructure.service.units import SERVICE, SOCKET
from v2m.local._checks.facts import Facts
from v2m.local._checks.finding import Finding, fail, ok, skip, warn
from v2m.local._checks.threads import in_thread
from v2m.local._confinement_probe import COMMAND
from v2m.utils.paths import units_dir

INSTALL: Final = "v2m install"
START: Final = "v2m daemon start"
_NO_MANAGER: Final = "There is no user manager of systemd: v2m daemon start works without."
_LINGER: Final = Path("/var/lib/systemd/linger")  # loginctl(1)


async def units(_: Facts) -> Finding:
    """The units are those that this version installs."""
    if not systemd.is_there():
        return skip(_NO_MANAGER)
    folder = await systemd.unit_folder(units_dir())
    wanted = texts(harden=False)
    there = await in_thread(lambda: {name: _text_of(folder / name) for name in wanted})
    missing = [name for name, text in there.items() if text is None]
    if missing:
        return warn(f"{', '.join(missing)} is not installed: toakd has to be started by hand.", INSTALL)
    changed = [name for name, text in wanted.items() if there[name] != text]
    if changed:
        return warn(f"{', '.join(changed)} is not what this v2m installs.", INSTALL)
    return ok(f"{', '.join(wanted)} in {folder} are current.")


async def state(_: Facts) -> Finding:
    """The service is enabled, and has not given up."""
    if not systemd.is_there():
        return skip(_NO_MANAGER)
    if not await systemd.is_installed():
        return skip("The service is not installed.")
    try:
        how = await systemd.standing()
    except V2mError as error:
        return fail(str(error), error.hint or START)
    if how.result == "start-limit-hit":
        return fail("toakd crashed too often, and systemd has given up on it.", START, safe=True)
    if how.active == "failed":
        return fail(f"toakd failed ({how.result}, exit status {how.exit_status}).", START, safe=True)
    if not how.listening:
        return fail(f"{SOCKET} does not listen: a hotkey starts nothing.", START, safe=True)
    enabled = {unit: (await systemd.ask("is-enabled", unit)).stdout.decode().strip() for unit in (SOCKET, SERVICE)}
    off = [unit for unit, told in enabled.items() if told != "enabled"]
    if off:
        return warn(f"{', '.join(off)} is not enabled for your login.", f"systemctl --user enable {shlex.join(off)}")
    return ok(f"Enabled and {how.active}, {how.restarts} restarts.")


def lingering(_: Facts) -> Finding:
    """Nothing to mend: what lingering means for dictation."""
    if not systemd.is_there():
        return skip(_NO_MANAGER)
    if (_LINGER / pwd.getpwuid(os.getuid()).pw_name).exists():
        return ok("Lingering is on: toakd runs from boot on, also without a session.")
    return ok("Lingering is off: toakd ends with your last session, as a desktop wants it.")


async def hardening(_: Facts) -> Finding:
    """The stronger drop-in is current and works where it is installed."""
    if not systemd.is_there():
        return skip(_NO_MANAGER)
    drop_in = await systemd.unit_folder(units_dir()) / DROP_IN
    found = await in_thread(lambda: _text_of(drop_in))
    trial = await try_hardening(COMMAND)
    if found is None and trial.works:
        return ok(f"It is not installed, and would work: {INSTALL} --harden")
    if found is None:
        return ok(f"It is not installed, and would not work: {trial.reason}.")
    if not trial.works:
        remove = f"rm {shlex.quote(str(drop_in))} && systemctl --user daemon-reload && v2m daemon restart"
        return fail(f"It is installed, and does not work: {trial.reason}.", remove)
    if found != texts(harden=True)[DROP_IN]:
        return warn("It is not what this v2m installs.", f"{INSTALL} --harden")
    return ok("It is installed and works.")


def _text_of(file: Path) -> str | None:
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else None
