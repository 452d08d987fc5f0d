"""Keys through the kernel: what ydotoold and dotool are told, and what is known when they fail.

No machine of ours has /dev/uinput, so the daemon and the tool are stand-ins which obey as the real ones do and hand
the keys to the hardware keyboard of a real desktop. With V2M_TEST_UINPUT=1, where /dev/uinput can be written to, the
real ones type a "v" into the focused window.
"""

import asyncio
import contextlib
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

from support.daemon import wait_until
from support.desktop import SwayDesktop, XDesktop
from v2m.domain.delivery import Certainty, Destination, Session, Window
from v2m.domain.errors import OutputError, OutputReason
from v2m.infrastructure.output.dotool import DotoolOutput
from v2m.infrastructure.output.failures import FOCUS_MOVED, NOT_READING
from v2m.infrastructure.output.wayland.virtual_keyboard import BATCH
from v2m.infrastructure.output.ydotool import YdotoolOutput

pytestmark = [pytest.mark.desktop, pytest.mark.timeout(120)]

TEXT = 'Say "Hi!" 2 x\n-n key super+Return $(id)'
MODIFIERS = {42: 1, 100: 128}  # evdev code → what the hardware keyboard calls it
INPUT_EVENT = struct.Struct("@16xHHi")
REAL = os.access("/dev/uinput", os.W_OK) and os.environ.get("V2M_TEST_UINPUT") == "1"  # it types into your desktop


@pytest.fixture(scope="module")
def sway():
    with SwayDesktop() as desk:
        yield desk, desk.terminal()


@pytest.fixture
def desk(sway):
    sway[1].clear()
    return sway[0]


@pytest.fixture
def sink(sway, desk):
    return sway[1]


@pytest.fixture
def to(desk):
    return Destination(Session(desk.variables, "client"))


# --- ydotoold ---


class Ydotoold:
    """A stand-in for the daemon: `kind` and `record` are those of 1.x, or of Debian's 0.1.8."""

    def __init__(self, path, *, kind=socket.SOCK_DGRAM, record=INPUT_EVENT, obey=None, ends_after=None):
        self.path = str(path)
        self.events = []
        self._record, self._obey, self._ends_after = record, obey, ends_after
        self._listener = socket.socket(socket.AF_UNIX, kind)
        self._listener.bind(self.path)
        if kind == socket.SOCK_STREAM:
            self._listener.listen()
        self._thread = threading.Thread(target=self._serve, args=(kind,), daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._listener.close()

    def _serve(self, kind):
        with contextlib.suppress(OSError):
            while True:
                if kind == socket.SOCK_STREAM:
                    client, _ = self._listener.accept()
                    with client:
                        while data := client.recv(self._record.size, socket.MSG_WAITALL):
                            self._take(data)
                else:
                    self._take(self._listener.recv(1000))

    def _take(self, data):
        assert len(data) == self._record.size
        event = self._record.unpack(data)
        self.events.append(event)
        if self._obey:
            self._obey(*event)
        if self._ends_after is not None and len(self.events) >= self._ends_after:
            os.unlink(self.path)
            self._listener.close()
            raise OSError


class HardwareKeyboard:
    """Presses what a kernel device would press."""

    def __init__(self, desk):
        self._desk, self._held = desk, 0

    def __call__(self, kind, code, value):
        if kind != 1:
            assert (kind, code, value) == (0, 0, 0)
            return
        if code in MODIFIERS:
            self._held = self._held | MODIFIERS[code] if value else self._held & ~MODIFIERS[code]
        (self._desk.press if value else self._desk.release)(code, self._held)


def press(path, text, to):
    async def scenario():
        output = YdotoolOutput(sockets=[str(path)])
        try:
            return await output.deliver(text, to)
        finally:
            await output.aclose()

    return asyncio.run(scenario())


@pytest.mark.parametrize(
    "version",
    [
        {},
        {"kind": socket.SOCK_STREAM, "record": struct.Struct("@HHi")},
    ],
    ids=["1.x", "0.1.8"],
)
def test_the_terminal_gets_exactly_the_text(desk, sink, to, tmp_path, version):
    with Ydotoold(tmp_path / "s", obey=HardwareKeyboard(desk), **version):
        delivery = press(tmp_path / "s", TEXT, to)
        assert sink.wait_text(TEXT) == TEXT
    assert (delivery.certainty, delivery.characters, delivery.target) == (Certainty.SENT, len(TEXT), "foot")


def test_no_key_is_pressed_after_the_text_and_none_stays_down(to, tmp_path):
    with Ydotoold(tmp_path / "s") as daemon:
        press(tmp_path / "s", "Ab", to)
    changes = [(code, value) for kind, code, value in daemon.events if kind == 1]
    assert changes == [(42, 1), (30, 1), (30, 0), (42, 0), (48, 1), (48, 0)]


def test_a_probe_says_which_daemon_is_missing_and_presses_nothing(to, tmp_path):
    output = YdotoolOutput(sockets=[str(tmp_path / "none"), str(tmp_path / "s")])
    missing = asyncio.run(output.probe(to.session))
    assert not missing.usable
    assert "ydotoold does not run" in missing.reason
    assert "apt install ydotoold" in missing.reason
    with Ydotoold(tmp_path / "s") as daemon:
        assert asyncio.run(output.probe(to.session)).usable
        assert not asyncio.run(output.probe(Session())).usable
    assert daemon.events == []
    with pytest.raises(OutputError) as caught:
        press(tmp_path / "none", "hello", to)
    assert (caught.value.reason, caught.value.delivered) == (OutputReason.TOOL_MISSING, 0)
    assert caught.value.hint


def test_a_socket_that_another_user_could_have_made_gets_no_word(to, tmp_path):
    link, plain = tmp_path / "link", tmp_path / "plain"
    plain.write_text("")
    with Ydotoold(tmp_path / "s") as daemon:
        link.symlink_to(tmp_path / "s")
        for path in (link, plain):
            with pytest.raises(OutputError) as caught:
                press(path, "hello", to)
            assert (caught.value.reason, caught.value.delivered) == (OutputReason.REFUSED, 0)
        if os.getuid() == 0:
            os.chown(tmp_path / "s", 65534, 65534)
            with pytest.raises(OutputError, match="is not the socket"):
                press(tmp_path / "s", "hello", to)
    assert daemon.events == []


@pytest.mark.parametrize("text", ["你", "naïve", "😀", "half \ud800", "nul\0"])
def test_a_character_without_a_key_is_refused_with_nothing_typed(to, tmp_path, text):
    with Ydotoold(tmp_path / "s") as daemon, pytest.raises(OutputError) as caught:
        press(tmp_path / "s", text, to)
    assert (caught.value.reason, caught.value.delivered) == (OutputReason.REFUSED, 0)
    assert daemon.events == []


@pytest.mark.parametrize("after", [1, 5, 40])
def test_a_daemon_that_dies_half_way_leaves_the_number_of_characters_open(to, tmp_path, after):
    with Ydotoold(tmp_path / "s", ends_after=after), pytest.raises(OutputError) as caught:
        press(tmp_path / "s", "hello there, how are you", to)
    assert (caught.value.reason, caught.value.delivered) == (OutputReason.TIMEOUT, None)


def test_a_daemon_that_hangs_is_given_up_and_leaves_the_number_of_characters_open(to, tmp_path):
    with Ydotoold(tmp_path / "s", obey=lambda *_: time.sleep(100)), pytest.raises(OutputError) as caught:
        press(tmp_path / "s", "x" * 300, to)
    assert caught.value.delivered is None


def test_another_window_than_the_one_that_is_meant_gets_nothing(desk, to, tmp_path):
    meant = Destination(to.session, Window("sway:1", "editor"))
    with Ydotoold(tmp_path / "s") as daemon, pytest.raises(OutputError, match="Another window") as caught:
        press(tmp_path / "s", "hello", meant)
    assert caught.value.delivered == 0
    assert daemon.events == []


def test_a_window_that_takes_the_focus_gets_at_most_one_batch_and_the_rest_stays_here(tmp_path):
    with SwayDesktop() as desk, contextlib.ExitStack() as stack:
        desk.terminal()
        opening = threading.Thread(target=desk.terminal)

        def open_another(*_event):
            if opening.ident is None:
                opening.start()

        stack.callback(opening.join)
        stack.enter_context(Ydotoold(tmp_path / "s", obey=open_another))
        delivery = press(tmp_path / "s", "x" * 2000, Destination(Session(desk.variables, "client")))
    assert delivery.certainty is Certainty.UNCERTAIN
    assert 0 < delivery.characters < 2000
    assert delivery.characters % BATCH == 0
    assert delivery.detail == FOCUS_MOVED


def test_a_window_that_reads_nothing_is_not_lost_and_gets_no_more(desk, sink, to, tmp_path):
    with Ydotoold(tmp_path / "s", obey=HardwareKeyboard(desk)):
        sink.stop()
        try:
            delivery = press(tmp_path / "s", "x" * 1000, to)
        finally:
            sink.resume()
    assert (delivery.certainty, delivery.detail) == (Certainty.UNCERTAIN, NOT_READING)
    assert 0 < delivery.characters < 1000
    assert sink.wait_text("x" * delivery.characters)
    assert sink.alive


# --- dotool ---


@pytest.fixture
def dotool(tmp_path, monkeypatch):
    """Install a Python program as dotool, and return an output that may use it."""

    def install(program="import sys; sys.stdin.read()", uinput=tmp_path):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "program.py").write_text(program)
        path = tmp_path / "bin" / "dotool"
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{tmp_path}/program.py" "$@"\n')
        path.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
        return DotoolOutput(uinput=str(uinput))

    return install


RECORD = "import sys; open({!r}, 'w').write(repr(sys.argv[1:]) + '\\n' + sys.stdin.read())"


def test_dotool_is_told_keys_and_the_desktop_gets_exactly_the_text(desk, sink, to, tmp_path, dotool):
    record = tmp_path / "record"
    delivery = asyncio.run(dotool(RECORD.format(str(record))).deliver(TEXT, to))
    arguments, *commands = record.read_text().splitlines()
    assert arguments == "[]"
    assert not any(word in record.read_text() for word in ("Say", "super", "Return", "id)"))
    keyboard = HardwareKeyboard(desk)
    for command, *words in map(str.split, commands):
        for chord in words if command == "key" else ():
            codes = [42] * chord.startswith("shift+") + [int(chord.removeprefix("shift+").removeprefix("k:"))]
            for value, order in ((1, codes), (0, codes[::-1])):
                for code in order:
                    keyboard(1, code, value)
    assert sink.wait_text(TEXT) == TEXT
    assert (delivery.certainty, delivery.characters) == (Certainty.UNCERTAIN, len(TEXT))
    assert delivery.detail == "dotool cannot tell whether the desktop took its keys."


@pytest.mark.parametrize(
    "ending", ["sys.exit(1)", "os.kill(os.getpid(), 9)", "sys.stderr.write('dotool: WARNING: impossible key\\n')"]
)
def test_a_dotool_that_fails_half_way_leaves_the_number_of_characters_open(to, dotool, ending):
    output = dotool(f"import os, sys; sys.stdin.read(5); {ending}")
    with pytest.raises(OutputError) as caught:
        asyncio.run(output.deliver("hello there", to))
    assert caught.value.delivered is None


def test_a_dotool_that_ends_before_its_first_command_has_typed_nothing(to, dotool):
    output = dotool("import sys; sys.exit('dotool: open /dev/uinput: permission denied')")
    with pytest.raises(OutputError, match="exit status 1") as caught:
        asyncio.run(output.deliver("hello", to))
    assert (caught.value.reason, caught.value.delivered) == (OutputReason.REFUSED, 0)


def test_a_dotool_that_hangs_is_ended(to, dotool):
    output = dotool("import time; time.sleep(60)")
    with pytest.raises(OutputError, match="hung") as caught:
        asyncio.run(output.deliver("hello", to))
    assert (caught.value.reason, caught.value.delivered) == (OutputReason.TIMEOUT, None)


def test_a_dotool_that_is_missing_or_may_not_make_a_keyboard_says_what_to_do(to, dotool, tmp_path, monkeypatch):
    barred = dotool(uinput=tmp_path / "none")
    assert "usermod -a -G input" in asyncio.run(barred.probe(to.session)).reason
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    output = DotoolOutput(uinput=str(tmp_path))
    found = asyncio.run(output.probe(to.session))
    assert not found.usable
    assert "https://sr.ht/~geb/dotool/" in found.reason
    with pytest.raises(OutputError) as caught:
        asyncio.run(output.deliver("hello", to))
    assert (caught.value.reason, caught.value.delivered) == (OutputReason.TOOL_MISSING, 0)


def test_a_probe_of_dotool_starts_nothing(to, dotool, tmp_path):
    started = tmp_path / "started"
    output = dotool(f"open({str(started)!r}, 'w')")
    assert asyncio.run(output.probe(to.session)).usable
    assert not asyncio.run(output.probe(Session())).usable
    assert not started.exists()


# --- both ---


@pytest.fixture(params=["ydotool", "dotool"])
def either(request, tmp_path, dotool):
    if request.param == "dotool":
        yield dotool()
    else:
        with Ydotoold(tmp_path / "s"):
            yield YdotoolOutput(sockets=[str(tmp_path / "s")])


def test_without_wayland_nothing_is_typed(either, tmp_path):
    with XDesktop() as xvfb:
        for session in (Session(), Session(xvfb.variables), Session({"WAYLAND_DISPLAY": str(tmp_path / "gone")})):
            assert not asyncio.run(either.probe(session)).usable
            with pytest.raises(OutputError) as caught:
                asyncio.run(either.deliver("hello", Destination(session)))
            assert (caught.value.reason, caught.value.delivered) == (OutputReason.NO_DISPLAY, 0)


if REAL:  # not a skip: no machine that tests for others has the device

    @pytest.mark.parametrize("tool", [tool for tool in ("ydotoold", "dotool") if shutil.which(tool)])
    def test_the_real_tool_types_into_your_focused_window(tool, tmp_path):
        session = Session(dict(os.environ), "client")
        if tool == "dotool":
            delivery = asyncio.run(DotoolOutput().deliver("v", Destination(session)))
            assert delivery.characters == 1
            return
        path = tmp_path / "s"
        daemon = subprocess.Popen([tool, "--socket-path", path])
        try:
            wait_until(path.exists, what="the socket")
            assert press(path, "v", Destination(session)).characters == 1
        finally:
            daemon.terminate()
            daemon.wait()
