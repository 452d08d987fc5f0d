"""Other programs of an X11 desktop, as processes: see `x11_selection.py` for what they do."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from support.daemon import wait_until
from v2m.domain.delivery import Session
from v2m.infrastructure._x11.display import connect
from v2m.infrastructure.output.x11.user_keys import UserKeys

PROGRAM = Path(__file__).with_name("x11_selection.py")


class Program:
    """One of them, running."""

    def __init__(self, process: subprocess.Popen) -> None:
        self.pid = process.pid
        self._process = process

    def line(self) -> str:
        """Wait for the next line that it prints."""
        return self._process.stdout.readline().strip()

    def value(self):
        """Wait for the next line and decode it."""
        return json.loads(self.line())

    def last(self):
        """Ask it to end, and decode the line that it prints then."""
        self._process.stdin.close()
        return self.value()


@contextmanager
def program(desk, *arguments, awaited="ready"):
    """Run one until the block ends; by then it is ready."""
    process = subprocess.Popen(
        [sys.executable, PROGRAM, *map(str, arguments)],
        env={**os.environ, **desk.variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline().strip() == awaited
        yield Program(process)
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


def do(desk, *arguments):
    """Run one to its end."""
    environment = {**os.environ, **desk.variables}
    subprocess.run([sys.executable, PROGRAM, *map(str, arguments)], env=environment, check=True, timeout=30)


@contextmanager
def owning(desk, folder, contents):
    """Have another program own the clipboard: media type → bytes."""
    folder.mkdir(exist_ok=True)
    files = []
    for kind, data in contents.items():
        files.append(folder / kind.replace("/", "|"))
        files[-1].write_bytes(data)
    with program(desk, "own", *files) as owner:
        yield owner


def read(desk, kind, folder):
    """Return what a program gets that asks for one type."""
    answer = folder / "answer"
    do(desk, "read", kind, answer)
    return answer.read_bytes()


def start(desk, *command):
    """Start a program of the system; the caller ends it."""
    return subprocess.Popen(command, env={**os.environ, **desk.variables})


def until_grabbed(session):
    """Wait until a program has all keys to itself."""
    display = connect(session)
    keys = UserKeys(display)
    wait_until(lambda: keys.look().grabbed, what="the grab")
    display.close()


def press_key(desk, keycode):
    """Press and release a key of the server's own keyboard, as a user's: XTEST can speak for any device."""
    from Xlib.ext import xinput
    from Xlib.protocol import rq

    class FakeInput(rq.Request):  # python-xlib's has no device
        _request = rq.Struct(
            rq.Card8("opcode"),
            rq.Opcode(2),
            rq.RequestLength(),
            rq.Card8("type"),
            rq.Card8("detail"),
            rq.Pad(2),
            rq.Card32("time"),
            rq.Pad(23),
            rq.Card8("device"),
        )

    display = connect(Session(desk.variables))
    devices = display.xinput_query_device(xinput.AllDevices).devices
    (keyboard,) = (device.deviceid for device in devices if device.name == "Xvfb keyboard")
    first = display.query_extension("XInputExtension").first_event
    for kind in (1, 2):  # DeviceKeyPress, DeviceKeyRelease
        opcode = display.display.get_extension_major("XTEST")
        FakeInput(display=display.display, opcode=opcode, type=first + kind, detail=keycode, time=0, device=keyboard)
    display.sync()
    display.close()
