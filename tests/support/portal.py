"""A session bus of one's own; on it the real desktop portal with a backend that a test plays, or a portal it plays."""

# ruff: noqa: N802, F821, F722 - the names and types of D-Bus, as dbus-fast reads them

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path

from dbus_fast import DBusError, Message, PropertyAccess, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property, dbus_signal

PORTAL = "/usr/libexec/xdg-desktop-portal"
PATH = "/org/freedesktop/portal/desktop"
NAME = "org.freedesktop.portal.Desktop"
BACKEND = "org.freedesktop.impl.portal.desktop.fake"
INTERFACE = "org.freedesktop.impl.portal.RemoteDesktop"
GRANTED, DENIED = 0, 1


class PrivateBus:
    """A dbus-daemon that starts no service by itself."""

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="v2m-bus-"))
        self.address = f"unix:path={self.folder}/bus"
        config = self.folder / "bus.conf"
        config.write_text(
            "<busconfig><type>session</type>"
            f"<listen>{self.address}</listen><auth>EXTERNAL</auth>"
            '<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/>'
            '<allow own="*"/></policy></busconfig>'
        )
        self.daemon = subprocess.Popen(
            ["dbus-daemon", f"--config-file={config}", "--nofork", "--print-address=1"], stdout=subprocess.PIPE
        )
        assert self.daemon.stdout is not None
        assert self.daemon.stdout.readline()
        self.daemon.stdout.close()
        return self

    def __exit__(self, *error):
        self.stop()
        shutil.rmtree(self.folder)

    def stop(self):
        if self.daemon.poll() is None:
            self.daemon.send_signal(signal.SIGCONT)
            self.daemon.kill()
            self.daemon.wait()

    async def connect(self):
        return await MessageBus(bus_address=self.address).connect()


async def hang_up(bus):
    if bus.connected:
        bus.disconnect()
        await bus.wait_for_disconnect()


async def wait_for_name(bus, name, *, present=True):
    """Wait until somebody has a name on the bus, or nobody."""
    async with asyncio.timeout(15):
        while True:
            question = Message(
                destination="org.freedesktop.DBus", path="/org/freedesktop/DBus",
                interface="org.freedesktop.DBus", member="NameHasOwner", signature="s", body=[name],
            )  # fmt: skip
            if (await bus.call(question)).body[0] == present:
                return
            await asyncio.sleep(0.02)


class BackendSession(ServiceInterface):
    def __init__(self, backend):
        super().__init__("org.freedesktop.impl.portal.Session")
        self._backend = backend

    @dbus_method()
    def Close(self):
        self._backend.closed += 1

    @dbus_signal()
    def Closed(self) -> None:
        return None

    @dbus_property(access=PropertyAccess.READ)
    def version(self) -> "u":
        return 1


class Backend(ServiceInterface):
    """What a desktop does behind its portal: `answer` is the user's, None lets the dialog stand."""

    def __init__(self, *, answer=GRANTED, devices=1, closes_after=None, dies_after=None, thinks_s=0.0, serves=True):
        super().__init__(INTERFACE)
        self.dies_after, self.serves = dies_after, serves
        self.answer, self.devices, self.closes_after, self.thinks_s = answer, devices, closes_after, thinks_s
        self.keys = []  # (keysym, pressed)
        self.dialogs = 0
        self.closed = 0
        self.wanted = []
        self.dialog_gone = asyncio.Event()
        self.on_key = lambda: None
        self._bus = None
        self._sessions = {}

    def text(self):
        """What stands in the window now."""
        return "".join(_character(symbol) for symbol, pressed in self.keys if pressed)

    async def serve(self, bus):
        self._bus = bus
        bus.export(PATH, self)
        await bus.request_name(BACKEND)

    def end_session(self):
        """End it as the user does with the button in the panel."""
        for session in self._sessions.values():
            session.Closed()

    @dbus_property(access=PropertyAccess.READ)
    def version(self) -> "u":
        return 1

    @dbus_property(access=PropertyAccess.READ)
    def AvailableDeviceTypes(self) -> "u":
        return self.devices

    @dbus_method()
    def CreateSession(self, handle: "o", session: "o", app_id: "s", options: "a{sv}") -> "ua{sv}":
        made = self._sessions[session] = BackendSession(self)
        self._bus.export(session, made)
        return [GRANTED, {"session_id": Variant("s", "x")}]

    @dbus_method()
    def SelectDevices(self, handle: "o", session: "o", app_id: "s", options: "a{sv}") -> "ua{sv}":
        self.wanted.append({key: value.value for key, value in options.items()})
        return [GRANTED, {}]

    @dbus_method()
    async def Start(self, handle: "o", session: "o", app_id: "s", window: "s", options: "a{sv}") -> "ua{sv}":
        self.dialogs += 1
        self._bus.export(handle, _Dialog(self))
        if self.answer is None:
            await self.dialog_gone.wait()
            return [2, {}]
        await asyncio.sleep(self.thinks_s)
        return [self.answer, {"devices": Variant("u", 1)} if self.answer == GRANTED else {}]

    @dbus_method()
    def NotifyKeyboardKeysym(self, session: "o", options: "a{sv}", keysym: "i", state: "u"):
        if self.closes_after is not None and len(self.keys) >= self.closes_after:
            self.end_session()
            return
        self.keys.append((keysym, bool(state)))
        self.on_key()
        if len(self.keys) == self.dies_after:
            self._bus.disconnect()


class _Dialog(ServiceInterface):
    def __init__(self, backend):
        super().__init__("org.freedesktop.impl.portal.Request")
        self._backend = backend

    @dbus_method()
    def Close(self):
        self._backend.dialog_gone.set()


def _character(symbol):
    if symbol == 0xFF0D:
        return "\n"
    return chr(symbol - 0x01000000 if symbol >= 0x01000000 else symbol)


class RealPortal:
    """The desktop's own xdg-desktop-portal, which finds its backend in a folder of the test."""

    def __init__(self, bus, interface=INTERFACE):
        self._bus = bus
        (bus.folder / "fake.portal").write_text(
            f"[portal]\nDBusName={BACKEND}\nInterfaces={interface};\nUseIn=v2mtest\n"
        )
        self._process = None

    def start(self):
        folder = str(self._bus.folder)
        env = {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "XDG_RUNTIME_DIR": folder,
            "DBUS_SESSION_BUS_ADDRESS": self._bus.address,
            "XDG_DESKTOP_PORTAL_DIR": folder,
            "XDG_CURRENT_DESKTOP": "v2mtest",
        }
        self._process = subprocess.Popen([PORTAL, "-r"], env=env, stderr=subprocess.DEVNULL)

    def freeze(self):
        self._process.send_signal(signal.SIGSTOP)

    def stop(self):
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()


@asynccontextmanager
async def desktop(**backend):
    """A bus with the real portal and a backend, which with `serves=False` is not there."""
    with PrivateBus() as private:
        server = await private.connect()
        portal, played = RealPortal(private), Backend(**backend)
        if played.serves:
            await played.serve(server)
        portal.start()
        watcher = await private.connect()
        try:
            await wait_for_name(watcher, NAME)
            yield private, portal, played
        finally:
            portal.stop()
            await hang_up(server)
            await hang_up(watcher)


class Frontend(ServiceInterface):
    """A portal of version 2, which remembers permissions; newer than what the tests' desktop has."""

    def __init__(self):
        super().__init__("org.freedesktop.portal.RemoteDesktop")
        self.good_tokens = set()
        self.dialogs = 0
        self.keys = []
        self.asked = []
        self.refuses_after = None
        self._bus = None

    async def serve(self, bus):
        self._bus = bus
        bus.export(PATH, self)
        await bus.request_name(NAME)

    @dbus_property(access=PropertyAccess.READ)
    def version(self) -> "u":
        return 2

    @dbus_property(access=PropertyAccess.READ)
    def AvailableDeviceTypes(self) -> "u":
        return 7

    def _answer(self, options, results):
        request = f"{PATH}/request/{self._sender}/{options['handle_token'].value}"
        self._bus.send(
            Message.new_signal(request, "org.freedesktop.portal.Request", "Response", "ua{sv}", [0, results])
        )
        return request

    def note_sender(self, message):
        """Remember who calls, for the paths of its requests."""
        if message.sender and message.sender.startswith(":"):
            self._sender = message.sender[1:].replace(".", "_")

    @dbus_method()
    def CreateSession(self, options: "a{sv}") -> "o":
        return self._answer(options, {"session_handle": Variant("s", f"{PATH}/session/x")})

    @dbus_method()
    def SelectDevices(self, session: "o", options: "a{sv}") -> "o":
        self.asked.append({key: value.value for key, value in options.items() if key != "handle_token"})
        if len(options.get("restore_token", Variant("s", "x" * 36)).value) != 36:
            raise DBusError("org.freedesktop.portal.Error.InvalidArgument", "not a UUID")
        return self._answer(options, {})

    @dbus_method()
    def Start(self, session: "o", window: "s", options: "a{sv}") -> "o":
        token = self.asked[-1].get("restore_token", "")
        self.dialogs += token not in self.good_tokens
        self.good_tokens.discard(token)
        fresh = f"{len(self.asked):08}-0000-4000-8000-000000000000"
        self.good_tokens.add(fresh)
        return self._answer(options, {"devices": Variant("u", 1), "restore_token": Variant("s", fresh)})

    @dbus_method()
    def NotifyKeyboardKeysym(self, session: "o", options: "a{sv}", keysym: "i", state: "u"):
        if self.refuses_after is not None and len(self.keys) >= self.refuses_after:
            raise DBusError("org.freedesktop.portal.Error.Failed", "no more keys")
        self.keys.append((keysym, state))
