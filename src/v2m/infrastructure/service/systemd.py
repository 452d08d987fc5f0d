"""systemd's user manager, asked through systemctl: are our units there, do they run, start, stop."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from v2m.domain.errors import ConfigError, PermissionDeniedError, StateError, V2mError
from v2m.infrastructure._run import Finished, find_tool, run
from v2m.infrastructure.service.units import SERVICE, SOCKET
from v2m.utils.paths import runtime_base

ANSWER_S: Final = 15.0  # a machine that has just booted is slow
START_S: Final = 75.0  # TimeoutStartSec of the unit and a little
STOP_S: Final = 20.0  # TimeoutStopSec of the unit and a little
_REFUSALS: Final = {75: StateError, 77: PermissionDeniedError, 78: ConfigError}  # by the daemon's exit status


@dataclass(frozen=True, slots=True)
class Standing:
    """How our units are."""

    active: str  # ActiveState of the service
    result: str
    pid: int
    restarts: int
    said: str  # what the daemon told systemd last
    exit_status: int
    listening: bool  # the socket unit accepts

    @property
    def why(self) -> str:
        """Why it does not run: what the daemon said of an error, else what systemd found."""
        return self.said if ": " in self.said else self.result


def is_there() -> bool:
    """Tell whether a user manager can be asked; touches no more than its socket's name."""
    return find_tool("systemctl") is not None and (runtime_base() / "systemd" / "private").is_socket()


async def ask(*words: str, timeout_s: float = ANSWER_S) -> Finished:
    """Run `systemctl --user` with these words. Raises V2mError: it never came back."""
    try:
        return await run(
            ["systemctl", "--user", "--no-pager", *words],
            timeout_s=timeout_s,
            env={"XDG_RUNTIME_DIR": str(runtime_base())},
        )
    except TimeoutError as error:
        raise V2mError(f"systemctl {words[0]} takes too long.", hint="systemctl --user list-jobs") from error


async def order(*words: str, timeout_s: float = ANSWER_S) -> None:
    """Run `systemctl --user` and insist. Raises V2mError with what it said."""
    done = await ask(*words, timeout_s=timeout_s)
    if done.status:
        raise V2mError(f"systemctl --user {' '.join(words)}: {done.complaint()}", hint="v2m daemon logs")


async def is_installed() -> bool:
    """Tell whether the manager knows our service."""
    return is_there() and (await _properties(SERVICE, "LoadState")).get("LoadState") == "loaded"


async def standing() -> Standing:
    """Return how our units are. Raises V2mError."""
    service = await _properties(
        SERVICE, "ActiveState", "Result", "MainPID", "NRestarts", "StatusText", "ExecMainStatus"
    )
    listening = (await _properties(SOCKET, "ActiveState")).get("ActiveState") == "active"
    return Standing(
        active=service.get("ActiveState", "unknown"),
        result=service.get("Result", ""),
        pid=int(service.get("MainPID") or 0),
        restarts=int(service.get("NRestarts") or 0),
        said=service.get("StatusText", ""),
        exit_status=int(service.get("ExecMainStatus") or 0),
        listening=listening,
    )


async def start() -> None:
    """Start both units, also after too many crashes; return once keys are obeyed. Raises V2mError."""
    if (how := await standing()).active == "active" and not how.listening:
        await stop()  # systemd refuses to listen for a service that runs already
    await ask("reset-failed", SOCKET, SERVICE)
    await _started("start", SOCKET, SERVICE)


async def restart() -> None:
    """End the daemon, which finishes what was heard, and start it again. Raises V2mError."""
    await ask("reset-failed", SOCKET, SERVICE)
    await order("start", SOCKET)
    await _started("restart", SERVICE)


async def stop() -> None:
    """End the daemon and the socket that would start it again. Raises V2mError."""
    await order("stop", SOCKET, SERVICE, timeout_s=STOP_S)


async def unit_folder(default: Path) -> Path:
    """Return where the manager looks for the user's own units: it may know another home than this shell."""
    found = (await ask("show", "--property=UnitPath", "--value")).stdout.decode("utf-8", "replace").split()
    if str(default) in found:
        return default
    return next((Path(folder) for folder in found if folder.endswith("/systemd/user")), default)


async def _started(verb: str, *units: str) -> None:
    done = await ask(verb, *units, timeout_s=START_S + STOP_S)
    if done.status == 0:
        return
    how = await standing()
    raise _REFUSALS.get(how.exit_status, V2mError)(f"The daemon does not start ({how.why}).", hint="v2m daemon logs")


async def _properties(unit: str, *names: str) -> dict[str, str]:
    done = await ask("show", unit, *(f"--property={name}" for name in names))
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)
