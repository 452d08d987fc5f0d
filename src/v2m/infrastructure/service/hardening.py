"""Stronger confinement that needs user namespaces, which not every machine grants: tried before it is installed.

Without `PrivateUsers` the rest is silently without effect in a user manager (seen on systemd 252).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from v2m.infrastructure.service import systemd
from v2m.infrastructure.service.units import unit_texts
from v2m.utils.paths import runtime_base

DROP_IN: Final = "toakd.service.d/hardening-ns.conf"
TRIAL: Final = "v2m-trial.service"
TRIAL_S: Final = 20.0

WRITABLE: Final = (".local/state/v2m", ".local/share/v2m", ".config/v2m")  # below the home

# PrivateTmp hides X11's sockets, so they are bound back. A path that is missing is no failure where it has a "-".
TEXT: Final = f"""\
[Service]
PrivateUsers=yes
ProtectSystem=strict
ProtectHome=read-only
ReadWritePaths={" ".join(f"-%h/{place}" for place in WRITABLE)} -%t/v2m
InaccessiblePaths=-%h/.ssh -%h/.gnupg
PrivateTmp=yes
BindReadOnlyPaths=-/tmp/.X11-unix
ProtectControlGroups=yes
ProtectKernelTunables=yes
ProtectProc=invisible
"""

# What a unit under the drop-in must find; the status of the probe says what it did not.
_VERDICTS: Final = {
    3: "the options have no effect here: the home could still be written to",
    4: "v2m's own folders cannot be written to",
    5: "the sound server or the session bus cannot be reached",
    6: "settings, models, history or audio are kept where such a unit cannot write",
    7: "the settings cannot be read",
    226: "this machine grants no user namespaces to services",
}


@dataclass(frozen=True, slots=True)
class Trial:
    """Whether a unit with the drop-in works here."""

    works: bool
    reason: str = ""


async def try_hardening(probe: Sequence[str]) -> Trial:
    """Start a unit of the same text with the command `probe` in the daemon's place; nothing of it stays.

    Raises V2mError, ConfigError.
    """
    folder = runtime_base() / "systemd" / "user"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    unit = folder / TRIAL
    unit.write_text(_trial_text(probe))
    try:
        await systemd.order("daemon-reload")
        done = await systemd.ask("start", TRIAL, timeout_s=TRIAL_S)
        if done.status == 0:
            return Trial(works=True)
        shown = await systemd.ask("show", TRIAL, "--property=ExecMainStatus", "--value")
        status = shown.stdout.decode().strip()
        reason = _VERDICTS.get(int(status) if status.isdigit() else 0)
        return Trial(works=False, reason=reason or f"the unit ended with status {status or 'unknown'}")
    finally:
        unit.unlink(missing_ok=True)
        await systemd.ask("reset-failed", TRIAL)
        await systemd.ask("daemon-reload")


def _trial_text(probe: Sequence[str]) -> str:
    """Return the service's unit with the drop-in, a probe, and nothing that concerns readiness or restarts."""
    service = unit_texts(probe)["toakd.service"].partition("[Service]")[2].partition("[Install]")[0]
    about_life = ("Type", "NotifyAccess", "Restart", "Timeout", "Watchdog", "KillMode")
    options = [line for line in service.splitlines() if line and not line.startswith(about_life)]
    return "\n".join(["[Service]", "Type=oneshot", *options, *TEXT.splitlines()[1:], ""])
