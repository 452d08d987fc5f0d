"""The runtime directory and the socket in it."""

import os
import shlex
import stat
from pathlib import Path

from v2m.local._checks.cures import aside
from v2m.local._checks.facts import Facts
from v2m.local._checks.finding import Finding, fail, ok
from v2m.utils.paths import (
    BadSocketPathError,
    UnsafeRuntimeDirError,
    get_secure_runtime_dir,
    runtime_base,
    set_variables,
    socket_path,
)

START = "v2m daemon start"


def runtime_dir(_: Facts) -> Finding:
    """The directory of the socket is ours alone; one that is missing is made, as the daemon would."""
    try:
        return ok(f"{get_secure_runtime_dir()} is yours alone.")
    except BadSocketPathError as error:
        return fail(str(error), "unset V2M_SOCKET")
    except UnsafeRuntimeDirError as error:
        fix, is_safe = _cure(runtime_base())
        return fail(str(error), fix, safe=is_safe)


def _cure(base: Path) -> tuple[str, bool]:
    """Return the command that makes the directory right, and whether it can do no harm."""
    if set_variables(["V2M_SOCKET"]):
        return "unset V2M_SOCKET", False
    own = base / "v2m"
    try:
        found = base.stat()
    except OSError:
        return f"mkdir -m 700 {shlex.quote(str(base))}", False
    if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode):
        return f"export XDG_RUNTIME_DIR=/run/user/{os.getuid()}", False
    if stat.S_IMODE(found.st_mode) & 0o022:
        return f"chmod go-w {shlex.quote(str(base))}", True
    return _cure_own(own)


def _cure_own(own: Path) -> tuple[str, bool]:
    name = shlex.quote(str(own))
    try:
        found = own.lstat()
    except OSError:
        return f"chmod 700 {shlex.quote(str(own.parent))}", False
    if not stat.S_ISDIR(found.st_mode):
        return aside(own), True
    if found.st_uid != os.getuid():
        return aside(own, sudo=True), False
    return f"chmod 700 {name}", True


def socket(facts: Facts) -> Finding:
    """What stands at the socket's path is a socket of ours, with somebody behind it."""
    try:
        path = socket_path()
    except BadSocketPathError as error:
        return fail(str(error), "unset V2M_SOCKET")
    try:
        found = path.lstat()
    except FileNotFoundError:
        return ok("Nothing stands in its way; the daemon makes it.")
    except OSError as error:
        return fail(f"{path} cannot be looked at: {error.strerror}.", f"ls -ld {shlex.quote(str(path.parent))}")
    name = shlex.quote(str(path))
    if not stat.S_ISSOCK(found.st_mode):
        return fail(f"{path} is no socket.", aside(path), safe=True)
    if found.st_uid != os.getuid():
        return fail(f"{path} belongs to uid {found.st_uid}.", f"sudo rm {name}")
    if stat.S_IMODE(found.st_mode) & 0o077:
        return fail(
            f"Others may reach {path} (mode {stat.S_IMODE(found.st_mode):04o}).", f"chmod 600 {name}", safe=True
        )
    if facts.daemon.manner == "absent":
        return fail(f"{path} was left behind: nobody listens.", START, safe=True)
    return ok(f"{path} is yours alone.")
