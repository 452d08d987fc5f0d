"""The real GlobalShortcuts portal, with a desktop behind it that a test plays."""

# ruff: noqa: N802, F821, F722 - the names and types of D-Bus, as dbus-fast reads them

import asyncio
from contextlib import asynccontextmanager

from dbus_fast import Message, MessageType, PropertyAccess, Variant
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property, dbus_signal

from support.portal import (
    BACKEND,
    DENIED,
    GRANTED,
    NAME,
    PATH,
    BackendSession,
    PrivateBus,
    RealPortal,
    hang_up,
    wait_for_name,
)

INTERFACE = "org.freedesktop.impl.portal.GlobalShortcuts"


class Desktop(ServiceInterface):
    """What a desktop does with shortcuts; `gives` are those that the user accepts, None all of them."""

    def __init__(self, *, answer=GRANTED, gives=None, answers=True):
        super().__init__(INTERFACE)
        self.answer, self.gives, self.answers = answer, gives, answers
        self.asked = []  # (name, what was said about it) of each question
        self.closed = 0
        self._bus = None
        self._sessions = {}

    async def serve(self, bus):
        self._bus = bus
        bus.export(PATH, self)
        await bus.request_name(BACKEND)

    def press(self, name):
        self.Activated(self._session, name, 1, {})

    def release(self, name):
        self.Deactivated(self._session, name, 2, {})

    def choose(self, name, keys):
        """Give a shortcut other keys, as users do in the settings of their desktop."""
        self.ShortcutsChanged(self._session, [[name, {"trigger_description": Variant("s", keys)}]])

    def end_session(self):
        self._sessions[self._session].Closed()

    @property
    def _session(self):
        return list(self._sessions)[-1]

    @dbus_property(access=PropertyAccess.READ)
    def version(self) -> "u":
        return 1

    @dbus_method()
    def CreateSession(self, handle: "o", session: "o", app_id: "s", options: "a{sv}") -> "ua{sv}":
        made = self._sessions[session] = BackendSession(self)
        self._bus.export(session, made)
        return [GRANTED, {"session_id": Variant("s", "x")}]

    @dbus_method()
    async def BindShortcuts(
        self, handle: "o", session: "o", shortcuts: "a(sa{sv})", parent: "s", options: "a{sv}"
    ) -> "ua{sv}":
        self.asked.append([(name, {key: value.value for key, value in about.items()}) for name, about in shortcuts])
        while not self.answers:  # the dialog stays open
            await asyncio.sleep(1)
        given = [
            [name, {"description": about["description"], "trigger_description": Variant("s", f"Press {name}")}]
            for name, about in shortcuts
            if self.gives is None or name in self.gives
        ]
        return [self.answer, {"shortcuts": Variant("a(sa{sv})", given)} if self.answer == GRANTED else {}]

    @dbus_signal()
    def Activated(self, session: "o", name: "s", stamp: "t", options: "a{sv}") -> "osta{sv}":
        return [session, name, stamp, options]

    @dbus_signal()
    def Deactivated(self, session: "o", name: "s", stamp: "t", options: "a{sv}") -> "osta{sv}":
        return [session, name, stamp, options]

    @dbus_signal()
    def ShortcutsChanged(self, session: "o", shortcuts: "a(sa{sv})") -> "oa(sa{sv})":
        return [session, shortcuts]


class NewerPortal:
    """A portal as of 1.21, which is newer than the tests' desktop: it serves only programs that it knows by name."""

    def __init__(self, bus, entry):
        self._bus, self._entry = bus, entry
        self.calls, self.app_id = [], ""

    async def serve(self):
        self._bus.add_message_handler(self._answer)
        await self._bus.request_name(NAME)

    def _answer(self, message):
        if message.message_type is not MessageType.METHOD_CALL or message.path != PATH:
            return None
        self.calls.append(message.member)
        match message.member:
            case "Register" if self._entry.exists():
                self.app_id = message.body[0]
                return Message.new_method_return(message)
            case "CreateSession" if self.app_id:
                return self._respond(message, {"session_handle": Variant("s", f"{PATH}/session/x")})
            case "BindShortcuts":
                given = [[name, {"trigger_description": Variant("s", "F9")}] for name, _ in message.body[1]]
                return self._respond(message, {"shortcuts": Variant("a(sa{sv})", given)})
        return Message.new_error(message, "org.freedesktop.portal.Error.NotAllowed", "An app id is required")

    def _respond(self, message, results):
        sender = message.sender[1:].replace(".", "_")
        request = f"{PATH}/request/{sender}/{message.body[-1]['handle_token'].value}"
        self._bus.send(Message.new_method_return(message, "o", [request]))
        return Message.new_signal(request, "org.freedesktop.portal.Request", "Response", "ua{sv}", [0, results])


@asynccontextmanager
async def shortcuts_desktop(**played):
    """Yield the bus, the real portal on it and the desktop behind it."""
    with PrivateBus() as private:
        server = await private.connect()
        real, desktop = RealPortal(private, INTERFACE), Desktop(**played)
        await desktop.serve(server)
        real.start()
        watcher = await private.connect()
        try:
            await wait_for_name(watcher, NAME)
            yield private, real, desktop
        finally:
            real.stop()
            await hang_up(server)
            await hang_up(watcher)


__all__ = ["DENIED", "GRANTED", "Desktop", "NewerPortal", "shortcuts_desktop"]
