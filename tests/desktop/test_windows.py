"""Which window has the focus, and giving it back: a real sway, a real X server, a socket that talks as Hyprland."""

import asyncio
import gc
import json
import os
import signal
import socket
import struct
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.compositor import GLOBALS, ScriptedCompositor
from support.daemon import wait_until
from support.desktop import SwayDesktop, XDesktop
from support.hyprland import hyprland
from v2m.core.di.adapters import make_windows
from v2m.domain.delivery import Session, Window
from v2m.infrastructure._x11.display import connect
from v2m.infrastructure.desktop.windows.hyprland import HyprlandWindows
from v2m.infrastructure.desktop.windows.sway import SwayWindows
from v2m.infrastructure.desktop.windows.toplevels import ToplevelWindows
from v2m.infrastructure.desktop.windows.x11 import X11Windows

pytestmark = [pytest.mark.desktop, pytest.mark.timeout(120)]

A_KEY = 30  # evdev


def _run(windows, scenario):
    """Run a coroutine function of the windows and close them."""

    async def scene():
        try:
            return await scenario(windows)
        finally:
            await windows.aclose()

    return asyncio.run(scene())


def _focused(windows, session):
    return _run(windows, lambda each: each.focused(session))


def _activate(windows, session, window):
    return _run(windows, lambda each: each.activate(session, window))


def _descriptors():
    return len(os.listdir("/proc/self/fd"))


@contextmanager
def _stopped(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


# Sway


@pytest.fixture(scope="module")
def sway():
    with SwayDesktop(xwayland=True) as desk:
        yield desk, desk.terminal(), desk.terminal()


def _sway_session(sway):
    return Session(sway[0].variables)


def _focus(desk, pid):
    desk.run("swaymsg", "-q", f"[pid={pid}] focus")


def test_sway_tells_the_window_that_keys_go_to(sway):
    desk, first, second = sway
    session = _sway_session(sway)
    seen = []
    for terminal in (first, second, first):
        _focus(desk, terminal.pid)
        window = _focused(make_windows(), session)
        assert (window.app, window.pid) == ("foot", terminal.pid)
        assert window.title
        seen.append(window)
    assert seen[0] == seen[2]
    assert seen[0].id != seen[1].id


def test_a_window_of_sway_gets_the_focus_back_from_another_workspace(sway):
    desk, first, _ = sway
    session = _sway_session(sway)
    _focus(desk, first.pid)
    window = _focused(SwayWindows(), session)
    desk.run("swaymsg", "-q", "workspace", "9")
    assert _focused(SwayWindows(), session) is None  # nothing is there
    assert _activate(SwayWindows(), session, window)
    first.clear()
    desk.press(A_KEY)
    desk.release(A_KEY)
    assert first.wait_text("a")


def test_a_window_of_sway_that_is_closed_is_not_given_the_focus(sway):
    desk, first, _ = sway
    session = _sway_session(sway)
    with _another_terminal(desk) as third:
        window = _focused(SwayWindows(), session)
        assert window.pid == third.pid
    _focus(desk, first.pid)
    assert not _activate(SwayWindows(), session, window)
    assert _focused(SwayWindows(), session).pid == first.pid


@contextmanager
def _another_terminal(desk):
    terminal = desk.terminal()
    try:
        yield terminal
    finally:
        os.kill(terminal.pid, signal.SIGTERM)
        wait_until(lambda: f'"pid": {terminal.pid},' not in desk.run("swaymsg", "-t", "get_tree", "-r"))


def test_a_container_of_several_windows_takes_no_keys(sway):
    desk, first, _ = sway
    _focus(desk, first.pid)
    desk.run("swaymsg", "-q", "splitv; focus parent")
    try:
        assert _focused(SwayWindows(), _sway_session(sway)) is None
    finally:
        desk.run("swaymsg", "-q", "focus child")


def test_a_floating_x11_window_in_sway_is_told_by_its_class(sway):
    desk, first, _ = sway
    session = _sway_session(sway)
    assert session.x11  # which is not asked
    desk.run("swaymsg", "-q", "exec", "xterm -class Writer")
    try:
        window = wait_until(lambda: (w := _focused(make_windows(), session)).app == "Writer" and w, what="the xterm")
        desk.run("swaymsg", "-q", "floating enable")
        assert _focused(make_windows(), session).id == window.id
        assert window.id.startswith("sway:")
    finally:
        desk.run("swaymsg", "-q", '[class="Writer"] kill')
        wait_until(lambda: "Writer" not in desk.run("swaymsg", "-t", "get_tree", "-r"))
        _focus(desk, first.pid)


def test_a_sway_that_hangs_costs_an_answer_and_no_more(sway):
    session = _sway_session(sway)
    window = _focused(SwayWindows(), session)
    with _stopped(sway[0].server_pid):
        assert _focused(SwayWindows(), session) is None
        assert not _activate(SwayWindows(), session, window)
    assert _focused(SwayWindows(), session) == window


@contextmanager
def _answering(answer):
    """A socket that answers each connection with the same bytes and hangs up."""
    with tempfile.TemporaryDirectory(prefix="v2m-", dir="/tmp") as folder, socket.socket(socket.AF_UNIX) as listener:
        path = str(Path(folder, "s"))
        listener.bind(path)
        listener.listen()

        def serve():
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    client.recv(4096)
                    client.sendall(answer)

        server = threading.Thread(target=serve)
        server.start()
        try:
            yield path
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            server.join()


def _sway_says(payload, *, magic=b"i3-ipc", length=None):
    return struct.pack("=6sII", magic, len(payload) if length is None else length, 4) + payload


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"i3-ip",
        _sway_says(b"{}", magic=b"notway"),
        _sway_says(b"{", length=1000),
        _sway_says(b"not json"),
        _sway_says(b"\xff\xfe"),
        _sway_says(b"[" * 100_000),
        _sway_says(b"[1, 2]"),
        _sway_says(b"null"),
        _sway_says(json.dumps({"nodes": [7]}).encode()),
        _sway_says(json.dumps({"nodes": 7}).encode()),
        _sway_says(json.dumps({"focused": True, "pid": 5}).encode()),
        _sway_says(json.dumps({"focused": True, "pid": [], "id": 1}).encode()),
        _sway_says(json.dumps({"focused": True, "pid": {"a": 1}, "id": 1}).encode()),
        _sway_says(json.dumps({"focused": True, "pid": 5, "id": 1, "window_properties": "x"}).encode()),
    ],
)
def test_what_is_no_answer_of_sway_is_none(answer):
    with _answering(answer) as path:
        session = Session({"WAYLAND_DISPLAY": "/nowhere", "SWAYSOCK": path})
        assert _focused(SwayWindows(), session) is None
        assert not _activate(SwayWindows(), session, Window("sway:1"))


@pytest.mark.parametrize("path", ["", "/nowhere/sway.sock", "/etc/passwd", "x" * 200])
def test_a_sway_that_is_gone_tells_nothing(path):
    assert _focused(SwayWindows(), Session({"WAYLAND_DISPLAY": "/nowhere", "SWAYSOCK": path})) is None


FOREIGN = [
    "x11:0x1",
    "sway:1",
    "hyprland:0x1",
    "toplevel:1:ff",
    "sway:1] kill; [con_id=1",
    "sway:",
    "",
    "hyprland:0x1;x",
]


def test_the_id_of_another_server_is_never_activated(sway):
    desk, first, _ = sway
    _focus(desk, first.pid)
    session = _sway_session(sway)
    before = _focused(SwayWindows(), session)
    for foreign in FOREIGN:
        assert not _activate(make_windows(), session, Window(foreign)), foreign
    assert _focused(SwayWindows(), session) == before


# Compositors with wlr-foreign-toplevel: sway, not asked by its IPC


def _toplevel_session(sway):
    return Session({"WAYLAND_DISPLAY": sway[0].variables["WAYLAND_DISPLAY"]})


def test_a_compositor_without_an_ipc_tells_its_windows_by_protocol(sway):
    desk, first, second = sway
    session = _toplevel_session(sway)

    async def scenario(windows):
        _focus(desk, first.pid)
        at_start = await windows.focused(session)
        _focus(desk, second.pid)
        moved = await windows.focused(session)
        back = await windows.activate(session, at_start)
        return at_start, moved, back, await windows.focused(session)

    at_start, moved, back, at_end = _run(make_windows(), scenario)
    assert at_start.app == moved.app == "foot"
    assert at_start.title
    assert at_start.id != moved.id
    assert back
    assert at_end == at_start
    assert _focused(SwayWindows(), _sway_session(sway)).pid == first.pid


def test_the_connection_for_windows_lives_as_long_as_an_id_is_held(sway):
    session = _toplevel_session(sway)

    async def scenario(windows):
        idle = _descriptors()
        held = [await windows.focused(session), await windows.focused(session)]
        assert held[0] == held[1]
        open_ones = [_descriptors() - idle]
        while held:
            held.pop()
            gc.collect()
            await asyncio.sleep(0)
            open_ones.append(_descriptors() - idle)
        return open_ones

    assert _run(ToplevelWindows(), scenario) == [1, 1, 0]


def test_an_id_of_an_earlier_connection_means_nothing(sway):
    session = _toplevel_session(sway)

    async def scenario(windows):
        old = await windows.focused(session)
        await windows.aclose()
        new = await windows.focused(session)
        return old, new, await windows.activate(session, old), await windows.activate(session, new)

    old, new, old_works, new_works = _run(ToplevelWindows(), scenario)
    assert old.id != new.id
    assert (old_works, new_works) == (False, True)


def test_a_compositor_that_tells_no_windows_or_hangs_is_none():
    async def scenario(windows):
        without = {name: version for name, version in GLOBALS.items() if "toplevel" not in name}
        idle = _descriptors()
        for features in ({"offers": without}, {"answers": False}):
            async with ScriptedCompositor(**features) as compositor:
                session = Session({"WAYLAND_DISPLAY": compositor.path})
                assert await windows.focused(session) is None
                assert not await windows.activate(session, Window("toplevel:1:ff000001"))
        assert await windows.focused(Session({"WAYLAND_DISPLAY": "/nowhere"})) is None
        await windows.aclose()
        return _descriptors() - idle

    assert _run(ToplevelWindows(), scenario) == 0


# Hyprland


def test_hyprland_tells_the_active_window_and_gives_the_focus_back():
    with hyprland() as server:
        assert _focused(make_windows(), server.session) is None  # an empty workspace
        server.open("0x55d0a1", app="kitty", title="vim — notes", pid=77)
        first = _focused(make_windows(), server.session)
        assert first == Window("hyprland:0x55d0a1", "kitty", "vim — notes", 77)
        server.open("0x55d0b2", app="firefox")
        assert _activate(make_windows(), server.session, first)
        assert _focused(make_windows(), server.session) == first
        del server.windows["0x55d0a1"]
        server.active = "0x55d0b2"
        assert not _activate(make_windows(), server.session, first)


def test_a_hyprland_with_a_lua_configuration_is_understood():
    with hyprland(lua=True) as server:
        server.open("0x1a", app="foot")
        server.open("0x2b", app="firefox")
        assert _activate(HyprlandWindows(), server.session, Window("hyprland:0x1a"))
        assert server.active == "0x1a"


@pytest.mark.parametrize(
    "answer",
    [None, b"", b"unknown request", b"[]", b"7", b'{"address": 5}', b'{"address": "0x1; dispatch exit"}', b"\xff"],
)
def test_what_is_no_answer_of_hyprland_is_none(answer):
    with hyprland() as server:
        server.answers["j/activewindow"] = answer
        assert _focused(HyprlandWindows(), server.session) is None


def test_a_hyprland_that_hangs_is_asked_once():
    with hyprland() as server:
        server.answers["dispatch focuswindow address:0x1"] = None
        assert not _activate(HyprlandWindows(), server.session, Window("hyprland:0x1"))
        assert server.questions == ["dispatch focuswindow address:0x1"]


@pytest.mark.parametrize("address", FOREIGN)
def test_only_an_address_reaches_hyprland(address):
    with hyprland() as server:
        if address == "hyprland:0x1":
            return
        assert not _activate(HyprlandWindows(), server.session, Window(address))
        assert server.questions == []


def test_a_signature_of_an_earlier_hyprland_is_not_believed(sway):
    session = _toplevel_session(sway)
    stale = Session({**session.variables, "HYPRLAND_INSTANCE_SIGNATURE": "gone"})
    assert _focused(make_windows(), stale).id.startswith("toplevel:")


# X11


@pytest.fixture(scope="module")
def xvfb():
    with XDesktop() as desk:
        yield desk, desk.terminal(), desk.terminal()


def _x_session(xvfb):
    return Session(xvfb[0].variables)


def _x_focus(desk, terminal):
    desk.run("xdotool", "search", "--all", "--pid", str(terminal.pid), "--class", "XTerm", "windowactivate", "--sync")


def test_an_x_server_tells_the_application_that_keys_go_to(xvfb):
    desk, first, second = xvfb
    session = _x_session(xvfb)
    seen = []
    for terminal in (first, second, first):
        _x_focus(desk, terminal)
        window = _focused(make_windows(), session)
        assert (window.app, window.pid) == ("XTerm", terminal.pid)
        assert window.title
        assert int(window.id.removeprefix("x11:"), 16)
        seen.append(window)
    assert seen[0] == seen[2]
    assert seen[0].id != seen[1].id


def test_a_minimised_window_of_x11_gets_the_focus_back(xvfb):
    desk, first, second = xvfb
    session = _x_session(xvfb)
    _x_focus(desk, first)
    window = _focused(X11Windows(), session)
    desk.run("xdotool", "getactivewindow", "windowminimize", "--sync")
    _x_focus(desk, second)
    assert _activate(X11Windows(), session, window)
    first.clear()
    desk.run("xdotool", "key", "a")
    assert first.wait_text("a")


def test_an_x_window_that_is_gone_is_not_activated(xvfb):
    session = _x_session(xvfb)
    before = _focused(X11Windows(), session)
    for gone in ("x11:0x3ffffff", "x11:0x0", "x11:", "sway:3", "x11:0xffffffffffff"):
        assert not _activate(X11Windows(), session, Window(gone)), gone
    assert _focused(X11Windows(), session) == before


def test_the_connection_to_an_x_server_stays_open_and_is_closed_at_the_end(xvfb):
    session = _x_session(xvfb)

    async def scenario(windows):
        idle = _descriptors()
        counts = []
        for _ in range(3):
            assert await windows.focused(session)
            counts.append(_descriptors() - idle)
        await windows.aclose()
        return counts, _descriptors() - idle

    assert _run(X11Windows(), scenario) == ([1, 1, 1], 0)


def test_an_x_server_that_hangs_costs_an_answer_and_no_more(xvfb):
    session = _x_session(xvfb)

    async def scenario(windows):
        idle = _descriptors()
        window = await windows.focused(session)
        with _stopped(xvfb[0].server_pid):
            warm = await windows.focused(session)
            cold = await windows.focused(session)
            back = await windows.activate(session, window)
        again = await windows.focused(session)
        await windows.aclose()
        return window, warm, cold, back, again, idle

    window, warm, cold, back, again, idle = _run(X11Windows(), scenario)
    assert (warm, cold, back) == (None, None, False)
    assert again == window
    wait_until(lambda: _descriptors() <= idle, what="the connections that came too late to be closed")


def test_an_x_server_that_was_restarted_is_followed():
    async def scenario(windows):
        with XDesktop() as desk:
            desk.terminal()
            assert await windows.focused(Session(desk.variables))
            gone = Session(desk.variables)
        assert await windows.focused(gone) is None
        with XDesktop() as desk:
            terminal = desk.terminal()
            return (await windows.focused(Session(desk.variables))).pid == terminal.pid

    assert _run(X11Windows(), scenario)


def test_without_a_window_manager_the_window_under_the_pointer_can_have_the_keys():
    with XDesktop() as desk:
        terminal = desk.terminal()
        session = Session(desk.variables)
        window = _focused(X11Windows(), session)
        os.kill(int(Path(desk.folder, "pids").read_text().split()[1]), signal.SIGTERM)
        display = connect(session)
        try:
            wait_until(lambda: not display.screen().root.get_full_property(display.intern_atom("_NET_SUPPORTED"), 0))
            _place_focus(display, pointer_over=int(window.id.removeprefix("x11:"), 16))
            assert _focused(X11Windows(), session).pid == terminal.pid
            display.screen().root.warp_pointer(1279, 719)
            display.sync()
            assert _focused(X11Windows(), session) is None
            assert _activate(X11Windows(), session, window)
            display.set_input_focus(0, 0, 0)  # nobody
            display.sync()
            assert _focused(X11Windows(), session) is None
        finally:
            display.close()


def _place_focus(display, *, pointer_over):
    window = display.create_resource_object("window", pointer_over)
    window.configure(x=0, y=0)
    display.screen().root.warp_pointer(20, 20)
    display.set_input_focus(1, 0, 0)  # PointerRoot
    display.sync()


# No desktop


def test_without_a_desktop_there_is_no_window():
    for session in (Session(), Session({"DISPLAY": ":987"}), Session({"DISPLAY": "far.example.org:0"})):
        assert _focused(make_windows(), session) is None
        assert not _activate(make_windows(), session, Window("x11:0x1"))
