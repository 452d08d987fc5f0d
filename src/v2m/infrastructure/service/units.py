"""The text of the units for systemd's user manager: the same whoever installs, whatever the shell says.

Each option here was seen to have its effect in a user manager; many that look stronger have none there without a
user namespace (those are in `hardening`).
"""

import sysconfig
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from os.path import abspath
from pathlib import Path
from sys import executable
from typing import Final

from v2m.domain.errors import ConfigError
from v2m.utils.paths import SOCKET_NAME, TOAK_SOCKET_NAME

SOCKET: Final = "v2m.socket"
SERVICE: Final = "toakd.service"
ALIAS: Final = "toak.service"
NO_RESTART: Final = "64 75 77 78"  # exit statuses that starting again cannot mend: v2m.client.EXIT_CODES

STARTS_A_MINUTE: Final = 20

_SOCKET_TEXT: Final = f"""\
[Unit]
Description=v2m dictation: the socket that hotkeys and clients talk to

[Socket]
ListenStream=%t/v2m/{SOCKET_NAME}
Symlinks=%t/v2m/{TOAK_SOCKET_NAME}
SocketMode=0600
DirectoryMode=0700
RemoveOnStop=yes
Service={SERVICE}

[Install]
WantedBy=sockets.target
"""

# KillMode: the worker goes on decoding while the daemon drains (5 s), and what is left then is killed.
# OOMPolicy: a worker that was too large is replaced; the daemon lives.
# WatchdogSignal: a hung daemon leaves nothing behind that a core dump or a pause would help.
# StartLimitBurst: a key after a clean end counts, too; a daemon that ends at once spends it within 10 s.
# No RuntimeDirectory: a restart would delete the socket that systemd listens on (seen on 252).
# RestrictRealtime is absent for PipeWire's sake, MemoryDenyWriteExecute for the engines'.
_SERVICE_TEXT: Final = f"""\
[Unit]
Description=v2m dictation daemon
Requires={SOCKET}
After={SOCKET} graphical-session.target
StartLimitIntervalSec=60
StartLimitBurst={STARTS_A_MINUTE}

[Service]
Type=notify
NotifyAccess=main
ExecStart={{command}}
Restart=on-failure
RestartSec=100ms
RestartPreventExitStatus={NO_RESTART}
TimeoutStartSec=60
TimeoutStopSec=10
KillMode=mixed
OOMPolicy=continue
WatchdogSec=30
WatchdogSignal=SIGKILL
LimitCORE=0
UMask=0077
NoNewPrivileges=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service landlock_create_ruleset landlock_add_rule landlock_restrict_self
SystemCallErrorNumber=EPERM
LockPersonality=yes
RestrictNamespaces=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK

[Install]
WantedBy=default.target
Alias={ALIAS}
"""


def unit_texts(command: Sequence[str]) -> Mapping[str, str]:
    """Return the units by file name; `command` starts the daemon. Raises ConfigError."""
    return {
        SOCKET: _SOCKET_TEXT,
        SERVICE: _SERVICE_TEXT.format(command=" ".join(quoted(word) for word in command)),
    }


def quoted(word: str) -> str:
    """Return a word of a command line as systemd.syntax(7) wants it.

    Raises:
        ConfigError: systemd starts no program whose path has a quote, a backslash or a line break.
    """
    if set(word) & set("\"'\\") or any(ord(character) < ord(" ") for character in word):
        raise ConfigError(f"systemd cannot start {word!r}.", hint="Use a folder with a plain name.")
    escaped = word.replace("%", "%%")
    return f'"{escaped}"' if set(escaped) & set(" ;") else escaped


def toakd_command() -> list[str]:
    """Return the command that starts the daemon of this very installation, by absolute paths."""
    program = _recorded() or Path(sysconfig.get_path("scripts"), "toakd")
    if program.is_file():
        return [str(program)]
    return [abspath(executable), "-P", "-m", "v2m.main", "--daemon"]  # noqa: PTH100 - links of a venv are kept


def _recorded() -> Path | None:
    """Return where the installer wrote down that it put the program."""
    try:
        files = distribution("v2m").files or []
    except PackageNotFoundError:
        return None
    for file in files:
        if file.name == "toakd" and file.parent.name == "bin":
            return Path(abspath(str(file.locate())))  # noqa: PTH100 - as above
    return None
