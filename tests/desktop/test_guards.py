"""Where nothing may be typed: password prompts, password fields, lock screens."""

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from dbus_fast import Message, Variant

from support.bus import answering, private_bus
from support.compositor import GLOBALS, ScriptedCompositor
from support.daemon import wait_until
from support.desktop import SwayDesktop, XDesktop
from support.hyprland import hyprland
from v2m.core.di.adapters import make_guard, make_windows
from v2m.domain.delivery import Destination, Session, Window
from v2m.domain.errors import OutputError
from v2m.infrastructure._wayland.wire import uints
from v2m.infrastructure.desktop.guards.chain import Guards
from v2m.infrastructure.desktop.guards.fields import FieldGuard
from v2m.infrastructure.desktop.guards.lockers import LockerGuard
from v2m.infrastructure.desktop.guards.prompts import PromptGuard
from v2m.infrastructure.desktop.guards.savers import SAVERS, LogindGuard, ScreenSaverGuard
from v2m.infrastructure.output.wayland.input_method import InputMethodOutput
from v2m.infrastructure.output.wayland.preview import InputMethodPreview

pytestmark = [pytest.mark.desktop, pytest.mark.timeout(120)]

A_KEY = 30  # evdev


NOWHERE = Session()


def _secret(guard, session=NOWHERE, window=None):
    return asyncio.run(guard.secret(session, window))


@pytest.fixture(scope="module")
def sway():
    with SwayDesktop() as desk:
        yield desk


@pytest.fixture(scope="module")
def xvfb():
    with XDesktop() as desk:
        yield desk


def _session(desk):
    return Session(desk.variables)


# Prompts


@pytest.mark.parametrize(
    "app",
    [
        "Pinentry-gtk-2",
        "pinentry-qt",
        "org.gnupg.pinentry-qt",
        "polkit-gnome-authentication-agent-1",
        "Polkit-gnome-authentication-agent-1",
        "org.kde.polkit-kde-authentication-agent-1",
        "polkit-mate-authentication-agent-1",
        "xfce-polkit",
        "Lxpolkit",
        "lxqt-policykit-agent",
        "hyprpolkitagent",
        "gcr-prompter",
        "Gcr-prompter",
        "ssh-askpass",
        "SshAskpass",
        "ksshaskpass",
        "org.kde.ksshaskpass",
        "lxqt-openssh-askpass",
        "kwalletd5",
        "org.kde.kwalletd6",
        "lxqt-sudo",
        "kdesu",
    ],
)
def test_a_password_prompt_is_known_by_its_application(app):
    assert app in _secret(PromptGuard(), window=Window("x:1", app, "Enter password"))


@pytest.mark.parametrize(
    "app",
    ["", "foot", "firefox", "org.keepassxc.KeePassXC", "keepassxc", "org.kde.kwalletmanager", "1password", "sudo"],
)
def test_no_other_application_is_taken_for_a_prompt(app):
    assert _secret(PromptGuard(), window=Window("x:1", app, "Password: pinentry")) == ""


def test_an_unknown_window_is_no_prompt():
    assert _secret(PromptGuard(), window=None) == ""


def test_a_prompt_is_found_on_real_desktops(sway, xvfb):
    async def look(session):
        windows = make_windows()
        try:
            return await PromptGuard().secret(session, await windows.focused(session))
        finally:
            await windows.aclose()

    sway.run("swaymsg", "-q", "exec", "foot --app-id=pinentry-qt sleep 60")
    wait_until(lambda: "pinentry-qt" in asyncio.run(look(_session(sway))), what="the prompt on sway")
    sway.run("swaymsg", "-q", "[app_id=pinentry-qt] kill")
    wait_until(lambda: asyncio.run(look(_session(sway))) == "", what="the prompt to go")
    with _child("xterm", "-class", "Pinentry-gtk-2", "-e", "sleep", "60", **xvfb.variables):
        wait_until(lambda: "Pinentry-gtk-2" in asyncio.run(look(_session(xvfb))), what="the prompt on X11")


# Lockers


@contextmanager
def _child(*command, **variables):
    child = subprocess.Popen(
        command, env={"PATH": os.environ["PATH"], **variables}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def _guard():
    return LockerGuard(uid=os.getuid())


def _process_in(desk, name):
    """Return the process of this name that has the desktop's variables; others may be of a test that runs beside."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "comm").read_text().strip() == name and desk.folder in (entry / "environ").read_text():
                return int(entry.name)
        except OSError:
            continue
    raise LookupError(name)


def test_a_locked_sway_is_secret_until_it_is_unlocked(sway):
    session, guard = _session(sway), LockerGuard(uid=pwd.getpwnam(sway.user).pw_uid)
    other = Session({**sway.variables, "WAYLAND_DISPLAY": "/run/user/1/wayland-1"})
    assert _secret(guard, session) == ""
    sway.run("swaymsg", "-q", "exec", "swaylock --color 000000")
    try:
        reason = wait_until(lambda: _secret(guard, session), what="the locker")
        assert "swaylock" in reason
        assert _secret(guard, other) == ""
        assert _secret(LockerGuard(uid=4_000_000), session) == ""
    finally:
        os.kill(_process_in(sway, "swaylock"), signal.SIGUSR1)
    wait_until(lambda: _secret(guard, session) == "", what="the locker to end")


def test_a_locked_x_server_is_secret_until_it_is_unlocked(xvfb):
    session = _session(xvfb)
    assert _secret(_guard(), session) == ""
    with _child("i3lock", "--nofork", **xvfb.variables):
        assert "i3lock" in wait_until(lambda: _secret(_guard(), session), what="the locker")
        assert _secret(_guard(), Session({"DISPLAY": ":987"})) == ""
        assert _secret(_guard(), Session({"WAYLAND_DISPLAY": "/run/wayland-1", **xvfb.variables})) == ""
    assert _secret(_guard(), session) == ""


@pytest.fixture
def named(tmp_path):
    """Start a sleeping program under another name."""

    @contextmanager
    def start(name, **variables):
        shutil.copy("/bin/sleep", tmp_path / name)
        with _child(str(tmp_path / name), "60", **variables) as child:
            wait_until(lambda: Path(f"/proc/{child.pid}/comm").read_text().strip() == name[:15])
            yield child

    return start


WAYLAND = Session({"WAYLAND_DISPLAY": "/run/user/7/wayland-3"})


@pytest.mark.parametrize(
    ("session", "variables", "locked"),
    [
        (WAYLAND, {"WAYLAND_DISPLAY": "wayland-3", "XDG_RUNTIME_DIR": "/run/user/7"}, True),
        (WAYLAND, {"WAYLAND_DISPLAY": "/run/user/7/wayland-3"}, True),
        (WAYLAND, {"WAYLAND_DISPLAY": "wayland-4", "XDG_RUNTIME_DIR": "/run/user/7"}, False),
        (WAYLAND, {"DISPLAY": ":3", "XDG_RUNTIME_DIR": "/run/user/7"}, False),
        (WAYLAND, {}, False),
        (
            Session({"WAYLAND_DISPLAY": "/run/user/7/wayland-0"}),
            {"XDG_RUNTIME_DIR": "/run/user/7"},
            True,  # the name that libwayland assumes
        ),
        (Session({"DISPLAY": ":3"}), {"DISPLAY": ":3.0"}, True),
        (Session({"DISPLAY": "unix:3"}), {"DISPLAY": ":3"}, True),
        (Session({"DISPLAY": ":3"}), {"DISPLAY": ":33"}, False),
        (Session({"DISPLAY": ":3"}), {"DISPLAY": "far.example.org:3"}, False),
        (Session({"DISPLAY": ":3"}), {}, False),
        (Session(), {"DISPLAY": ":3"}, False),
    ],
)
def test_only_a_locker_of_this_very_session_counts(named, session, variables, locked):
    with named("waylock", **variables):
        assert ("waylock" in _secret(_guard(), session)) is locked


@pytest.mark.parametrize(
    ("program", "known"),
    [
        ("kscreenlocker_greet", True),  # longer than the kernel keeps
        ("xscreensaver-auth", True),
        ("xscreensaver-gfx", True),
        ("xscreensaver", False),  # runs all day
        ("xscreensaver-systemd", False),
        ("swayidle", False),
        ("swaylock-helper", False),
    ],
)
def test_daemons_that_lock_later_are_no_lockers(named, program, known):
    with named(program, DISPLAY=":3"):
        assert (program in _secret(_guard(), Session({"DISPLAY": ":3"}))) is known


def test_a_locker_that_has_ended_and_was_not_collected_is_none(named):
    session = Session({"DISPLAY": ":3"})
    with named("swaylock", DISPLAY=":3") as child:
        assert _secret(_guard(), session)
        os.kill(child.pid, signal.SIGKILL)
        wait_until(lambda: ") Z " in Path(f"/proc/{child.pid}/stat").read_text())
        assert _secret(_guard(), session) == ""


@pytest.mark.parametrize(("locked", "secret"), [(True, True), (False, False)])
def test_hyprland_has_the_last_word_about_its_lock(named, locked, secret):
    with hyprland() as server, named("hyprlock", WAYLAND_DISPLAY=server.session.wayland):
        server.locked = locked
        assert bool(_secret(_guard(), server.session)) is secret


@pytest.mark.parametrize("answer", [b"unknown request", b"{}", b'{"locked": "no"}', b""])
def test_a_hyprland_that_does_not_tell_leaves_it_to_its_processes(named, answer):
    with hyprland() as server, named("hyprlock", WAYLAND_DISPLAY=server.session.wayland):
        server.answers["j/locked"] = answer
        assert "hyprlock" in _secret(_guard(), server.session)


def test_a_hyprland_that_hangs_does_not_hold_up():
    with hyprland() as server:
        server.answers["j/locked"] = None
        assert _secret(_guard(), server.session) == ""


# Screen savers


@pytest.fixture(scope="module")
def bus():
    with private_bus() as address:
        yield address


def _active(value):
    return lambda message: Message.new_method_return(message, "b", [value])


async def _ask_saver(address, name, answer):
    async with answering(address, name, answer):
        return await ScreenSaverGuard(bus_address=address).secret(Session(), None)


@pytest.mark.parametrize(("name", "path"), SAVERS)
def test_a_screen_saver_that_is_up_is_secret(bus, name, path):
    def answer(message):
        known = (message.path, message.interface, message.member) == (path, name, "GetActive")
        return _active(True)(message) if known else Message.new_error(message, "org.test.No", "")

    assert name in asyncio.run(_ask_saver(bus, name, answer))


@pytest.mark.parametrize(
    "answer",
    [
        _active(False),
        lambda message: Message.new_error(message, "org.freedesktop.DBus.Error.NotSupported", "GNOME"),
        Message.new_method_return,
        lambda message: Message.new_method_return(message, "s", ["true"]),
        lambda message: Message.new_method_return(message, "u", [1]),
        lambda message: None,
    ],
)
def test_one_that_is_not_up_or_says_something_else_is_not(bus, answer):
    assert asyncio.run(_ask_saver(bus, "org.gnome.ScreenSaver", answer)) == ""


def test_one_that_hangs_does_not_hide_another(bus):
    async def scene():
        async with answering(bus, "org.freedesktop.ScreenSaver", lambda _: None):
            return await _ask_saver(bus, "org.mate.ScreenSaver", _active(True))

    assert "org.mate.ScreenSaver" in asyncio.run(scene())


@pytest.fixture
def deaf():
    """The address of a socket that accepts and never answers."""
    with tempfile.TemporaryDirectory(prefix="v2m-", dir="/tmp") as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/bus")
        listener.listen()
        yield f"unix:path={folder}/bus"


@pytest.mark.parametrize("guard", [ScreenSaverGuard, LogindGuard])
def test_a_bus_that_is_missing_or_hangs_is_all_clear(guard, deaf, bus):
    for address in (None, "unix:path=/nowhere", "nonsense", "", deaf, bus):
        assert _secret(guard(bus_address=address)) == "", address


@pytest.mark.parametrize(
    ("hint", "locked"), [(Variant("b", True), True), (Variant("b", False), False), (Variant("s", "yes"), False)]
)
def test_a_session_that_logind_calls_locked_is_secret(bus, hint, locked):
    asked = []

    def answer(message):
        asked.append((message.path, message.member, message.body))
        return Message.new_method_return(message, "v", [hint])

    async def scene():
        async with answering(bus, "org.freedesktop.login1", answer):
            return await LogindGuard(bus_address=bus).secret(Session(), None)

    assert bool(asyncio.run(scene())) is locked
    assert asked == [("/org/freedesktop/login1/session/auto", "Get", ["org.freedesktop.login1.Session", "LockedHint"])]


# Fields


@asynccontextmanager
async def _compositor(tell, **features):
    """A compositor that calls `tell(compositor, input method)` when an input method is made."""
    async with ScriptedCompositor(**features) as compositor:
        compositor.on("zwp_input_method_v2", "made", lambda method, _: tell(compositor, method))
        yield compositor


def _field(hint, purpose):
    def tell(compositor, method):
        compositor.event(method, 0)
        compositor.event(method, 4, uints(hint, purpose))
        compositor.event(method, 5)

    return tell


def _unavailable(compositor, method):
    compositor.event(method, 6)


def _silent(_compositor, _method):
    pass


def _left(compositor, method):
    _field(0, 8)(compositor, method)
    compositor.event(method, 1)
    compositor.event(method, 5)


async def _ask_field(tell, **features):
    async with _compositor(tell, **features) as compositor:
        reason = await FieldGuard().secret(Session({"WAYLAND_DISPLAY": compositor.path}), None)
        return reason, compositor


@pytest.mark.parametrize(
    ("hint", "purpose", "secret"),
    [
        (0, 8, True),  # password
        (0, 9, True),  # PIN
        (0x40, 0, True),  # hidden text
        (0x80, 0, True),  # sensitive data
        (0x80 | 0x3, 0, True),
        (0, 0, False),
        (0x33F, 0, False),  # every other hint
        (0, 13, False),  # terminal
        (0, 6, False),  # e-mail address
    ],
)
def test_a_field_that_takes_a_secret_is_told_by_its_content_type(hint, purpose, secret):
    reason, compositor = asyncio.run(_ask_field(_field(hint, purpose)))
    assert bool(reason) is secret
    assert compositor.requests[-2:] == [("zwp_input_method_v2", 6), ("wl_display", 0)]  # the place is free again
    assert compositor.texts == []


@pytest.mark.parametrize("tell", [_unavailable, _silent, _left])
def test_no_field_or_another_input_method_is_all_clear(tell):
    assert asyncio.run(_ask_field(tell))[0] == ""


def test_a_compositor_without_input_methods_or_one_that_hangs_is_all_clear():
    without = {name: version for name, version in GLOBALS.items() if "input_method" not in name}
    reason, compositor = asyncio.run(_ask_field(_field(0, 8), offers=without))
    assert (reason, compositor.requests[-1]) == ("", ("wl_display", 0))
    assert asyncio.run(_ask_field(_field(0, 8), answers=False))[0] == ""
    for session in (Session(), Session({"WAYLAND_DISPLAY": "/nowhere"}), Session({"DISPLAY": ":987"})):
        assert _secret(FieldGuard(), session) == ""


def test_looking_at_a_field_disturbs_nobody_and_leaves_the_place_to_the_next(sway):
    session, terminal = _session(sway), sway.terminal()

    async def scenario():
        output = InputMethodOutput()
        for number in range(20):
            assert await FieldGuard().secret(session, None) == ""
            await output.deliver(f"{number} ", Destination(session))

    asyncio.run(scenario())
    sway.press(A_KEY)
    assert _secret(FieldGuard(), session) == ""  # in the middle of a key press
    sway.release(A_KEY)
    assert terminal.wait_text("".join(f"{number} " for number in range(20)) + "a")


def test_a_look_and_a_text_that_is_typed_at_the_same_time_do_not_hinder_each_other(sway):
    session, terminal = _session(sway), sway.terminal()
    output, texts = InputMethodOutput(), [f"text {number}, and more. " * 20 for number in range(10)]

    async def look(done):
        looks = 0
        while not done.is_set():
            assert await FieldGuard().secret(session, None) == ""
            looks += 1
        return looks

    async def scenario():
        done = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            looks = [tasks.create_task(look(done)) for _ in range(2)]
            for text in texts:
                delivery = await output.deliver(text, Destination(session))
                assert delivery.characters == len(text)
            done.set()
        return [task.result() for task in looks]

    assert min(asyncio.run(scenario())) > 1
    assert terminal.wait_text("".join(texts))


def test_a_password_field_is_seen_while_we_are_the_input_method_ourselves(sway, tmp_path):
    session, field = _session(sway), sway.target("gtk", "password")

    async def scenario():
        preview = InputMethodPreview(mark=tmp_path / "mark")
        await preview.show("hello", Destination(session))  # shows nothing there, but has the place
        try:
            during = await FieldGuard().secret(session, None)
        finally:
            await preview.hide()
        return during, await FieldGuard().secret(session, None)

    during, after = asyncio.run(scenario())
    assert during == after != ""
    assert field.text() == ""
    sway.target("gtk", "entry")


def test_who_waits_for_the_place_in_vain_says_so_and_leaves_it(sway, tmp_path):
    session, terminal = _session(sway), sway.terminal()

    async def scenario():
        preview, output = InputMethodPreview(mark=tmp_path / "mark"), InputMethodOutput()
        await preview.show("", Destination(session))
        with pytest.raises(OutputError, match="in use") as caught:
            await output.deliver("hello", Destination(session))
        await preview.hide()
        await output.deliver("again", Destination(session))
        return caught.value.delivered

    assert asyncio.run(scenario()) == 0
    assert terminal.wait_text("again")


def test_the_password_entry_of_a_real_application_is_secret(sway):
    session = _session(sway)
    field = sway.target("gtk", "password")
    field.set("hunter2")
    assert _secret(FieldGuard(), session)
    sway.press(A_KEY)
    sway.release(A_KEY)
    assert field.wait_text("hunter2a")
    sway.target("gtk", "entry")
    assert _secret(FieldGuard(), session) == ""


# All together


class _Together:
    """A guard that answers once all of them have been asked."""

    def __init__(self, all_asked, reason=""):
        self._all_asked = all_asked
        self._reason = reason

    async def secret(self, session, window):
        await self._all_asked.wait()
        return self._reason


def test_all_guards_are_asked_at_once_and_the_first_reason_counts():
    async def scene():
        all_asked = asyncio.Barrier(4)
        guards = Guards([_Together(all_asked, reason) for reason in ("", "second", "third", "")])
        return await asyncio.wait_for(guards.secret(Session(), None), 10)

    assert asyncio.run(scene()) == "second"
    assert _secret(Guards([])) == ""


def test_the_whole_guard_lets_ordinary_windows_pass(sway, xvfb):
    terminals = sway.terminal(), xvfb.terminal()

    async def look(session):
        windows = make_windows()
        try:
            async with asyncio.timeout(10):
                while (window := await windows.focused(session)) is None:  # a busy machine answers late
                    await asyncio.sleep(0.01)
            return window.app, await make_guard().secret(session, window)
        finally:
            await windows.aclose()

    assert asyncio.run(look(_session(sway))) == ("foot", "")
    assert asyncio.run(look(_session(xvfb))) == ("XTerm", "")
    assert all(terminal.text() == "" for terminal in terminals)
    assert _secret(make_guard()) == ""
