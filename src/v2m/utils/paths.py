"""Where v2m keeps its socket, checked so that no other user can stand in the way.

Standard library only: the trigger's Python rung, the client and the daemon share this one definition.
"""

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

SOCKET_NAME = "v2m.sock"
TOAK_SOCKET_NAME = "toak.sock"
SYSTEM_BUS = Path("/run/dbus/system_bus_socket")  # D-Bus specification, well-known message bus instances
# What systemd sets for one process only: sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3)
SERVICE_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC")
MAX_SOCKET_PATH_BYTES = 107  # sockaddr_un.sun_path of Linux holds 108 bytes, one of them the NUL


class UnsafeRuntimeDirError(Exception):
    """The runtime directory cannot be trusted; `str()` says why and what to do."""


class BadSocketPathError(Exception):
    """`V2M_SOCKET` is not an absolute path of at most 107 bytes."""


def set_variables(names: Iterable[str]) -> dict[str, str]:
    """Return those of the named environment variables that are set and not empty."""
    return {name: value for name in names if (value := os.environ.get(name))}


def runtime_base() -> Path:
    """Return `$XDG_RUNTIME_DIR`, or `/run/user/UID` when it is unset or empty; touches no file."""
    return Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")


def config_dir() -> Path:
    """Return the folder of the user's settings, `~/.config/v2m`; touches no file."""
    return _xdg_home("XDG_CONFIG_HOME", ".config") / "v2m"


def state_dir() -> Path:
    """Return the folder of history and audio, `~/.local/state/v2m`; touches no file."""
    return _xdg_home("XDG_STATE_HOME", ".local/state") / "v2m"


def data_dir() -> Path:
    """Return the folder of models, `~/.local/share/v2m`; touches no file."""
    return _xdg_home("XDG_DATA_HOME", ".local/share") / "v2m"


def units_dir() -> Path:
    """Return the folder of the user's systemd units, `~/.config/systemd/user`; touches no file."""
    return _xdg_home("XDG_CONFIG_HOME", ".config") / "systemd" / "user"


def menu_entry() -> Path:
    """Return the file by which desktops know the daemon, `~/.local/share/applications/org.v2m.toakd.desktop`."""
    return _xdg_home("XDG_DATA_HOME", ".local/share") / "applications" / "org.v2m.toakd.desktop"


def _xdg_home(variable: str, below_home: str) -> Path:
    """Return a base directory; a relative value is ignored, as the XDG specification says."""
    given = os.environ.get(variable, "")
    return Path(given) if given.startswith("/") else Path.home() / below_home


def session_bus_address() -> str | None:
    """Return the address of the D-Bus session bus: the variable, else the runtime directory's `bus`."""
    if address := os.environ.get("DBUS_SESSION_BUS_ADDRESS"):
        return address
    bus = runtime_base() / "bus"
    return f"unix:path={bus}" if bus.is_socket() else None


def system_bus_address() -> str | None:
    """Return the address of the D-Bus system bus: the variable, else its fixed place when something is there."""
    if address := os.environ.get("DBUS_SYSTEM_BUS_ADDRESS"):
        return address
    return f"unix:path={SYSTEM_BUS}" if SYSTEM_BUS.is_socket() else None


def journal_stream() -> str | None:
    """Return `$JOURNAL_STREAM`: device and inode of the stream that systemd connects to its journal."""
    return os.environ.get("JOURNAL_STREAM")


def is_supervised() -> bool:
    """Tell whether systemd started this process as a service, not merely a shell that it was started from."""
    started = os.environ.get("SYSTEMD_EXEC_PID", str(os.getpid()))  # since systemd 248; inherited by our children
    return bool(os.environ.get("INVOCATION_ID")) and started == str(os.getpid())


def take_service_variables() -> dict[str, str]:
    """Return what systemd says about our socket, readiness and watchdog, and keep it from our children."""
    return {name: value for name in SERVICE_VARIABLES if (value := os.environ.pop(name, None))}


def socket_path() -> Path:
    """Return the daemon's socket: `V2M_SOCKET`, else `v2m/v2m.sock` in the runtime directory.

    Raises:
        BadSocketPathError: the path is relative, abstract, a folder's, or longer than a socket address can be.
    """
    path = os.environ.get("V2M_SOCKET") or str(runtime_base() / "v2m" / SOCKET_NAME)
    if not path.startswith("/"):
        raise BadSocketPathError(f"The socket's path {path!r} is not absolute.")
    if path.endswith("/"):
        raise BadSocketPathError(f"The socket's path {path!r} names a folder.")
    if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
        raise BadSocketPathError(f"The socket's path is longer than {MAX_SOCKET_PATH_BYTES} bytes: {path}")
    return Path(path)


def get_secure_runtime_dir() -> Path:
    """Return the directory of the socket, made if missing, with mode 0700 and owned by this user.

    A symbolic link, a foreign owner or group/world access is refused: whoever controls this
    directory controls what the hotkey talks to. That holds for the directory in `V2M_SOCKET` too, so a
    socket directly in `/tmp` is refused. There is no fall-back to `/tmp`.

    Raises:
        UnsafeRuntimeDirError: with the reason and what cures it.
        BadSocketPathError: `V2M_SOCKET` is no path of a socket.
    """
    chosen = os.environ.get("V2M_SOCKET")
    if chosen:
        directory = socket_path().parent
        _check_way_to(directory)
    else:
        base = runtime_base()
        _check_base(base)
        directory = base / "v2m"
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        pass  # judged below, whatever it is
    except OSError as error:
        raise UnsafeRuntimeDirError(f"Cannot make {directory}: {error.strerror}.") from error
    # a directory the user named may be anything, so no command that changes it is suggested
    _check_owned(directory, "put the socket in a directory of your own" if chosen else f"chmod 700 {directory}")
    return directory


def _check_base(base: Path) -> None:
    """Refuse a runtime directory in which others could put something of theirs in our place."""
    if not base.is_absolute():
        raise UnsafeRuntimeDirError(f"XDG_RUNTIME_DIR is not an absolute path: {base}")
    cure = "Log in through a session manager, or set XDG_RUNTIME_DIR to a directory of yours with mode 0700."
    try:
        found = base.stat()
    except OSError as error:
        raise UnsafeRuntimeDirError(f"There is no runtime directory {base} ({error.strerror}). {cure}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise UnsafeRuntimeDirError(f"The runtime directory {base} is not a directory. {cure}")
    if found.st_uid != os.getuid():
        raise UnsafeRuntimeDirError(f"The runtime directory {base} belongs to uid {found.st_uid}, not to you. {cure}")
    if stat.S_IMODE(found.st_mode) & 0o022:
        raise UnsafeRuntimeDirError(f"Others may write to the runtime directory {base}. {cure}")


def _check_way_to(directory: Path) -> None:
    """Refuse a directory that another user could swap for one of theirs, after we have looked at it."""
    parent = directory.parent
    with suppress(OSError):  # what is not there is told when the directory is made
        for way in {*directory.parents, parent.resolve(), *parent.resolve().parents}:
            found = way.lstat()
            shared = (
                not stat.S_ISLNK(found.st_mode) and found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX
            )
            if shared or found.st_uid not in (0, os.getuid()):
                raise UnsafeRuntimeDirError(
                    f"Others may change {way}, on the way to {directory}: put the socket in a directory of your own."
                )


def _check_owned(directory: Path, cure: str) -> None:
    """Open without following links and judge what was opened, so that nothing can be swapped in between."""
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except PermissionError as error:
        raise UnsafeRuntimeDirError(f"{directory} cannot be read: {cure}") from error
    except OSError as error:
        raise UnsafeRuntimeDirError(
            f"{directory} is not a plain directory ({error.strerror}): remove it and start again."
        ) from error
    try:
        found = os.fstat(fd)
    finally:
        os.close(fd)
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid != os.getuid():
        raise UnsafeRuntimeDirError(
            f"{directory} belongs to uid {found.st_uid}, not to you: remove it, or put the socket elsewhere."
        )
    if mode & stat.S_ISVTX:
        raise UnsafeRuntimeDirError(f"{directory} is shared by all users: put the socket in a directory of yours.")
    if mode & 0o077:
        raise UnsafeRuntimeDirError(f"{directory} is open to others (mode {mode:04o}): {cure}")
