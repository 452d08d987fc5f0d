"""Which desktop words go to: the one that is live now."""

import asyncio
import os
import socket
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from dbus_fast import PropertyAccess
from dbus_fast.aio import MessageBus
from dbus_fast.service import ServiceInterface, dbus_property

from support.bus import private_bus
from support.desktop import SwayDesktop, XDesktop
from v2m.domain.delivery import Session
from v2m.infrastructure.desktop.session import LiveSession

pytestmark = [pytest.mark.desktop, pytest.mark.timeout(120)]


@pytest.fixture
def folder():
    """A short path: a socket's name has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="v2m-", dir="/tmp") as name:
        for part in ("run", "x11", "other"):
            Path(name, part).mkdir()
        yield Path(name)


@contextmanager
def _listening(*paths):
    listeners = [socket.socket(socket.AF_UNIX) for _ in paths]
    try:
        for listener, path in zip(listeners, paths, strict=True):
            listener.bind(str(path))
            listener.listen()
        yield
    finally:
        for listener in listeners:
            listener.close()


def _leave_behind(path):
    """A socket whose server has been killed."""
    with _listening(path):
        pass


def _current(folder, *, hint=None, own=None):
    live = LiveSession(runtime_dir=folder / "run", own=own or {}, x11_dir=folder / "x11")
    return asyncio.run(live.current(hint or {}))


def test_without_any_desktop_there_is_no_session(folder):
    assert _current(folder) == Session({}, "none")


def test_the_client_knows_best(folder):
    ours, theirs = folder / "run" / "wayland-1", folder / "other" / "wayland-7"
    with _listening(ours, theirs):
        hint = {"WAYLAND_DISPLAY": "wayland-7", "XDG_RUNTIME_DIR": str(theirs.parent)}
        session = _current(folder, hint=hint, own={"WAYLAND_DISPLAY": "wayland-1"})
    assert (session.wayland, session.origin) == (str(theirs), "client")


def test_a_client_from_a_desktop_that_has_ended_is_not_believed(folder):
    ours, theirs = folder / "run" / "wayland-1", folder / "run" / "wayland-7"
    _leave_behind(theirs)
    with _listening(ours):
        session = _current(folder, hint={"WAYLAND_DISPLAY": "wayland-7"}, own={"WAYLAND_DISPLAY": "wayland-1"})
    assert (session.wayland, session.origin) == (str(ours), "daemon")


def test_the_newest_compositor_that_answers_is_found_without_any_variable(folder):
    paths = [folder / "run" / f"wayland-{number}" for number in (1, 2, 3)]
    with _listening(*paths[:2]):
        _leave_behind(paths[2])
        for age, path in enumerate(paths):
            os.utime(path, (age, age))
        session = _current(folder)
    assert (session.wayland, session.origin) == (str(paths[1]), "runtime directory")


def test_an_x_server_is_found_without_any_variable(folder):
    with _listening(folder / "x11" / "X5"):
        session = _current(folder)
    assert (session.variables, session.origin) == ({"DISPLAY": ":5"}, "runtime directory")


def test_both_displays_are_passed_on_when_windows_of_both_kinds_can_be_there(folder):
    with _listening(folder / "run" / "wayland-1", folder / "x11" / "X1"):
        session = _current(
            folder, hint={"WAYLAND_DISPLAY": "wayland-1", "DISPLAY": ":1", "XAUTHORITY": "/a/cookie", "LD_PRELOAD": "x"}
        )
    assert session.x11 == ":1"
    assert session.variables["XAUTHORITY"] == "/a/cookie"
    assert "LD_PRELOAD" not in session.variables


@pytest.mark.parametrize("display", ["localhost:10.0", "desk.example.org:0", "nonsense", ":", ":9"])
def test_a_display_that_is_not_of_this_machine_is_none(folder, display):
    assert _current(folder, hint={"DISPLAY": display}) == Session({}, "none")


def test_a_runtime_directory_that_does_not_exist_is_no_trouble(folder):
    live = LiveSession(runtime_dir=folder / "gone", own={"WAYLAND_DISPLAY": "x" * 500}, x11_dir=folder / "gone")
    assert asyncio.run(live.current({})) == Session({}, "none")


def test_another_desktops_sway_socket_is_replaced_by_the_right_one(folder):
    with SwayDesktop() as first, SwayDesktop() as second:
        wrong = dict(first.variables) | {"SWAYSOCK": second.variables["SWAYSOCK"]}
        session = _current(folder, hint=wrong)
        derived = _current(folder, hint={"WAYLAND_DISPLAY": first.variables["WAYLAND_DISPLAY"]})
    assert session.variables == first.variables
    assert derived.variables["SWAYSOCK"] == first.variables["SWAYSOCK"]


def test_a_compositor_that_starts_after_the_daemon_and_is_restarted_is_followed(folder):
    desk_folder = Path(tempfile.mkdtemp(prefix="v2m-", dir="/tmp"))
    live = LiveSession(runtime_dir=desk_folder, own={}, x11_dir=folder / "x11")
    assert asyncio.run(live.current({})).origin == "none"
    seen = []
    for _ in range(2):
        with SwayDesktop(desk_folder) as desk:
            seen.append(asyncio.run(live.current({})))
            assert seen[-1].variables == desk.variables
        assert asyncio.run(live.current({})).origin == "none"
    assert seen[0].variables["SWAYSOCK"] != seen[1].variables["SWAYSOCK"]


def test_an_x_display_keeps_its_cookie(folder):
    with XDesktop() as desk:
        live = LiveSession(runtime_dir=folder / "run", own=desk.variables)
        session = asyncio.run(live.current({}))
        variables = desk.variables
    assert (session.variables, session.origin) == (variables, "daemon")


class _Manager(ServiceInterface):
    """What systemd's user manager says about the environment of new services."""

    def __init__(self, environment):
        super().__init__("org.freedesktop.systemd1.Manager")
        self._environment = environment

    @dbus_property(PropertyAccess.READ)
    def Environment(self) -> "as":  # noqa: F722, N802
        return self._environment


def test_the_user_manager_knows_a_desktop_that_came_after_the_daemon(folder):
    path = folder / "other" / "wayland-4"

    async def scenario(address):
        bus = await MessageBus(bus_address=address).connect()
        bus.export("/org/freedesktop/systemd1", _Manager([f"WAYLAND_DISPLAY={path}", "SECRET=x", "LANG=C", "odd"]))
        await bus.request_name("org.freedesktop.systemd1")
        live = LiveSession(runtime_dir=folder / "run", own={"WAYLAND_DISPLAY": "gone"}, x11_dir=folder / "x11")
        session = await live.current({})
        bus.disconnect()
        return session

    with private_bus(folder / "run" / "bus") as address, _listening(path):
        session = asyncio.run(scenario(address))
    assert (session.variables, session.origin) == ({"WAYLAND_DISPLAY": str(path)}, "user manager")


def test_a_bus_without_a_user_manager_or_one_that_hangs_is_passed_over(folder):
    path = folder / "run" / "wayland-1"
    with private_bus(folder / "run" / "bus"), _listening(path):
        assert _current(folder).origin == "runtime directory"
    (folder / "run" / "bus").unlink(missing_ok=True)
    path.unlink()
    with _listening(path, folder / "run" / "bus"):
        assert _current(folder).origin == "runtime directory"
