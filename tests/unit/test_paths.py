"""Where the socket and the files lie, and which runtime directories are refused with which reason."""

import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from v2m.utils.paths import (
    BadSocketPathError,
    UnsafeRuntimeDirError,
    config_dir,
    get_secure_runtime_dir,
    journal_stream,
    session_bus_address,
    set_variables,
    socket_path,
    state_dir,
    system_bus_address,
)

pytestmark = pytest.mark.unit

STRANGER_UID = 65_534


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A runtime directory of ours; its path is short enough for a socket."""
    monkeypatch.delenv("V2M_SOCKET", raising=False)
    with tempfile.TemporaryDirectory(prefix="v2m-run ") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield Path(folder)


def owned_by_a_stranger(path: Path) -> Path:
    """Give a directory away, or take one that root owns: works as root and as an ordinary user."""
    if os.getuid() != 0:
        return Path("/usr")
    os.chown(path, STRANGER_UID, STRANGER_UID)
    return path


def refused() -> str:
    with pytest.raises(UnsafeRuntimeDirError) as error:
        get_secure_runtime_dir()
    return str(error.value)


# --- the socket's path ------------------------------------------------------------------------------


def test_the_socket_lies_in_the_runtime_directory(base: Path) -> None:
    assert socket_path() == base / "v2m" / "v2m.sock"


@pytest.mark.parametrize("value", [None, ""])
def test_without_a_runtime_directory_it_is_the_users_one(
    base: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "") if value == "" else monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert socket_path() == Path(f"/run/user/{os.getuid()}/v2m/v2m.sock")


def test_v2m_socket_overrides_and_an_empty_one_does_not(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("V2M_SOCKET", "/a b/c.sock")
    assert socket_path() == Path("/a b/c.sock")
    monkeypatch.setenv("V2M_SOCKET", "")
    assert socket_path() == base / "v2m" / "v2m.sock"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("relative/v2m.sock", "not absolute"),
        ("@abstract", "not absolute"),
        ("~/v2m.sock", "not absolute"),
        ("/run/", "names a folder"),
        ("/", "names a folder"),
        ("/" + "x" * 107, "longer than 107 bytes"),
        ("/" + "é" * 54, "longer than 107 bytes"),
    ],
)
def test_a_path_that_is_no_sockets_is_refused(
    base: Path, monkeypatch: pytest.MonkeyPatch, path: str, reason: str
) -> None:
    monkeypatch.setenv("V2M_SOCKET", path)
    with pytest.raises(BadSocketPathError, match=reason):
        socket_path()


def test_the_longest_path_that_is_accepted_can_be_bound(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    longest = f"{base}/".ljust(107, "x")
    monkeypatch.setenv("V2M_SOCKET", longest)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(socket_path()))


def test_a_relative_runtime_directory_is_refused(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "run")
    assert "XDG_RUNTIME_DIR is not an absolute path: run" in refused()
    with pytest.raises(BadSocketPathError):
        socket_path()


# --- the directory ----------------------------------------------------------------------------------


def test_a_missing_directory_is_made_for_the_user_alone(base: Path) -> None:
    umask = os.umask(0)
    try:
        assert get_secure_runtime_dir() == base / "v2m"
    finally:
        os.umask(umask)
    assert stat.S_IMODE((base / "v2m").stat().st_mode) == 0o700
    assert get_secure_runtime_dir() == base / "v2m"


@pytest.mark.parametrize("mode", [0o777, 0o755, 0o750, 0o701, 0o704])
def test_a_directory_that_is_open_to_others_is_refused_with_its_cure(base: Path, mode: int) -> None:
    directory = base / "v2m"
    directory.mkdir()
    directory.chmod(mode)
    assert f"(mode {mode:04o}): chmod 700 {directory}" in refused()
    assert stat.S_IMODE(directory.stat().st_mode) == mode
    directory.chmod(0o700)
    assert get_secure_runtime_dir() == directory


@pytest.mark.skipif(os.getuid() != 0, reason="giving a directory away needs root")
def test_a_directory_of_another_user_is_refused(base: Path) -> None:
    (base / "v2m").mkdir(mode=0o700)
    owned_by_a_stranger(base / "v2m")
    assert f"belongs to uid {STRANGER_UID}, not to you" in refused()


@pytest.mark.parametrize("target", ["directory", "file", "nothing"])
def test_a_symbolic_link_is_refused_wherever_it_leads(base: Path, target: str) -> None:
    aim = base / "aim"
    if target == "directory":
        aim.mkdir(mode=0o700)
    elif target == "file":
        aim.touch()
    (base / "v2m").symlink_to(aim)
    assert "is not a plain directory" in refused()
    assert aim.exists() == (target != "nothing")


def test_a_file_in_its_place_is_refused(base: Path) -> None:
    (base / "v2m").touch()
    assert "is not a plain directory" in refused()


def test_a_missing_runtime_directory_is_named_with_its_cure(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base / "gone"))
    message = refused()
    assert f"There is no runtime directory {base / 'gone'}" in message
    assert "set XDG_RUNTIME_DIR to a directory of yours with mode 0700" in message
    assert not (base / "gone").exists()


def test_a_file_for_a_runtime_directory_is_refused(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (base / "file").touch()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base / "file"))
    assert "is not a directory" in refused()


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o720, 0o702])
def test_a_runtime_directory_that_others_may_write_to_is_refused(base: Path, mode: int) -> None:
    base.chmod(mode)
    assert f"Others may write to the runtime directory {base}" in refused()
    assert not (base / "v2m").exists()


def test_a_runtime_directory_that_others_may_only_read_is_enough(base: Path) -> None:
    base.chmod(0o755)
    assert get_secure_runtime_dir() == base / "v2m"


def test_a_runtime_directory_of_another_user_is_refused(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(owned_by_a_stranger(base)))
    assert "not to you" in refused()


# --- the directory of V2M_SOCKET --------------------------------------------------------------------


def test_the_directory_of_v2m_socket_is_held_to_the_same_rules(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private = base / "mine"
    monkeypatch.setenv("V2M_SOCKET", str(private / "x.sock"))
    assert get_secure_runtime_dir() == private
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    private.chmod(0o755)
    assert "chmod" not in refused()  # it may be a directory of the system


def test_a_socket_directly_in_a_shared_directory_is_refused(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = base / "tmp"
    shared.mkdir()
    shared.chmod(0o1777)
    monkeypatch.setenv("V2M_SOCKET", str(shared / "x.sock"))
    assert refused() == f"{shared} is shared by all users: put the socket in a directory of yours."
    monkeypatch.setenv("V2M_SOCKET", "/tmp/x.sock")
    assert "/tmp" in refused()


def test_a_socket_in_a_directory_that_cannot_be_made_is_refused(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("V2M_SOCKET", str(base / "no" / "where" / "x.sock"))
    assert f"Cannot make {base / 'no' / 'where'}" in refused()


# --- other places -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "place", "below_home"),
    [("XDG_CONFIG_HOME", config_dir, ".config/v2m"), ("XDG_STATE_HOME", state_dir, ".local/state/v2m")],
)
def test_base_directories_follow_xdg(monkeypatch: pytest.MonkeyPatch, variable, place, below_home) -> None:
    monkeypatch.setenv("HOME", "/home/some one")
    for value, expected in (("/x y", "/x y/v2m"), ("", f"/home/some one/{below_home}"), ("rel", None)):
        monkeypatch.setenv(variable, value)
        assert place() == Path(expected or f"/home/some one/{below_home}")
    monkeypatch.delenv(variable)
    assert place() == Path(f"/home/some one/{below_home}")


def test_the_system_bus_is_the_variable_or_lies_in_its_fixed_place(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DBUS_SYSTEM_BUS_ADDRESS", raising=False)
    monkeypatch.setattr("v2m.utils.paths.SYSTEM_BUS", base / "system_bus_socket")
    assert system_bus_address() is None
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(base / "system_bus_socket"))
        assert system_bus_address() == f"unix:path={base}/system_bus_socket"
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/elsewhere")
        assert system_bus_address() == "unix:path=/elsewhere"


def test_the_session_bus_is_the_variable_or_lies_in_the_runtime_directory(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    assert session_bus_address() is None
    with socket.socket(socket.AF_UNIX) as bus:
        bus.bind(str(base / "bus"))
        assert session_bus_address() == f"unix:path={base}/bus"
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:abstract=x")
        assert session_bus_address() == "unix:abstract=x"


def test_variables_that_are_unset_or_empty_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":7")
    monkeypatch.setenv("SWAYSOCK", "")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert set_variables(("DISPLAY", "SWAYSOCK", "WAYLAND_DISPLAY")) == {"DISPLAY": ":7"}


def test_the_journals_stream_is_what_systemd_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "9:77")
    assert journal_stream() == "9:77"
    monkeypatch.delenv("JOURNAL_STREAM")
    assert journal_stream() is None
