"""Notifications over D-Bus, as the Desktop Notifications Specification 1.2 describes them."""

import asyncio
import contextlib
import html
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from dbus_fast import AuthError, DBusError, InvalidAddressError, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from v2m.infrastructure.desktop.sounds import Sounds

CONNECT_S: Final = 0.3
CALL_S: Final = 1.0  # a notification server that the bus must start first; nobody waits for it

_NAME: Final = "org.freedesktop.Notifications"
_APP: Final = "v2m"
_ICON: Final = "audio-input-microphone"
_NORMAL, _CRITICAL = 1, 2
_NEVER: Final = 0
_TROUBLE: Final = (OSError, EOFError, TimeoutError, DBusError, AuthError, InvalidAddressError)

Choices = Mapping[str, Callable[[], None]]


class _Server(NamedTuple):
    """Whom a call is for; the interface is named as the service."""

    name: str
    path: str


_NOTIFICATIONS: Final = _Server(_NAME, "/org/freedesktop/Notifications")
_BUS: Final = _Server("org.freedesktop.DBus", "/org/freedesktop/DBus")


class DesktopNotifier:
    """`Notifier` of the session: one notification that is replaced, and urgent ones that stay.

    Nothing is asked of the bus before the first notification. A bus or server that is missing, slow or
    restarted costs a notification, which `lost` counts, and is tried again with the next.
    """

    def __init__(
        self, *, enabled: bool, expire_time_ms: int, auto_dismiss: bool, sounds: bool, bus_address: str | None
    ) -> None:
        self.lost = 0
        self._address = bus_address if enabled else None
        self._enabled = enabled
        self._expire_ms = expire_time_ms if auto_dismiss else _NEVER
        self._auto_dismiss = auto_dismiss
        self._sounds = Sounds() if sounds else None
        self._bus: MessageBus | None = None
        self._markup = False
        self._actions = False
        self._choices: dict[int, dict[str, Callable[[], None]]] = {}  # by notification
        self._shown_id = 0  # of the notification that may be replaced
        self._turn = asyncio.Lock()

    async def show(
        self,
        title: str,
        body: str = "",
        *,
        urgent: bool = False,
        sound: str = "",
        choices: Choices = MappingProxyType({}),
    ) -> None:
        """Replace the notification; an urgent one then stays until the user has seen it."""
        if self._enabled:
            async with self._turn:
                await self._notify(title, body, choices, urgent=urgent)
        if self._sounds is not None and sound:
            await self._sounds.play(sound)

    async def dismiss(self) -> None:
        """Take the notification away unless it is urgent or the settings keep it."""
        if not self._auto_dismiss:
            return
        async with self._turn:
            if self._shown_id and self._bus is not None:
                await self._ask("CloseNotification", "u", [self._shown_id])
            self._shown_id = 0

    async def aclose(self) -> None:
        """Close the bus connection and end a sound; twice is fine."""
        async with self._turn:
            await self._hang_up()
        if self._sounds is not None:
            await self._sounds.aclose()

    async def _notify(self, title: str, body: str, choices: Choices, *, urgent: bool) -> None:
        known_bus = self._bus
        answer = await self._try_notify(title, body, choices, urgent=urgent)
        if answer is None and known_bus is not None and self._bus is None:  # it was restarted since
            answer = await self._try_notify(title, body, choices, urgent=urgent)
        if answer is None:
            self.lost += 1
        elif choices:
            self._choices[answer] = dict(choices)
        self._shown_id = 0 if urgent or answer is None else answer

    async def _try_notify(self, title: str, body: str, choices: Choices, *, urgent: bool) -> int | None:
        """Return the id of the notification, None when it was not shown."""
        if not await self._connect():
            return None
        text = html.escape(body, quote=False) if self._markup else body
        hints = {"urgency": Variant("y", _CRITICAL if urgent else _NORMAL), "desktop-entry": Variant("s", _APP)}
        if not urgent:
            hints["transient"] = Variant("b", True)  # noqa: FBT003 - D-Bus
            hints["x-canonical-private-synchronous"] = Variant("s", _APP)
        expire_ms = _NEVER if urgent else self._expire_ms
        buttons = [word for label in choices for word in (label, label)] if self._actions else []
        arguments = [_APP, self._shown_id, _ICON, _sendable(title), _sendable(text), buttons, hints, expire_ms]
        answer = await self._ask("Notify", "susssasa{sv}i", arguments)
        return int(answer[0]) if answer else None

    async def _connect(self) -> bool:
        if self._bus is not None and self._bus.connected:
            return True
        await self._hang_up()
        if self._address is None:
            return False
        try:
            bus = MessageBus(bus_address=self._address)
        except _TROUBLE:
            return False
        try:
            async with asyncio.timeout(CONNECT_S):
                await bus.connect()
        except _TROUBLE:
            return False
        finally:
            await asyncio.sleep(0)  # the loop forgets an abandoned descriptor one turn later
        self._bus = bus
        capabilities = await self._ask("GetCapabilities", "", [])
        self._markup = bool(capabilities) and "body-markup" in capabilities[0]
        self._actions = bool(capabilities) and "actions" in capabilities[0]
        if self._actions and self._bus is not None:
            bus.add_message_handler(self._heard)
            rule = f"type='signal',interface='{_NAME}'"
            await self._ask("AddMatch", "s", [rule], of=_BUS)
        return self._bus is not None

    def _heard(self, message: Message) -> None:
        """Do what a pressed button says, once; a notification that is closed has no buttons any more."""
        if message.message_type is not MessageType.SIGNAL or message.interface != _NAME or not message.body:
            return
        if message.member == "NotificationClosed":
            self._choices.pop(message.body[0], None)
        elif message.member == "ActionInvoked":
            chosen = self._choices.get(message.body[0], {}).get(message.body[1])
            if chosen is not None:
                del self._choices[message.body[0]]
                chosen()

    async def _ask(
        self, member: str, signature: str, arguments: list[Any], *, of: _Server = _NOTIFICATIONS
    ) -> list[Any]:
        """Return the answer's body; empty after trouble, and without a bus when the connection is of no use."""
        if self._bus is None:
            return []
        message = Message(
            destination=of.name,
            path=of.path,
            interface=of.name,
            member=member,
            signature=signature,
            body=arguments,
        )
        try:
            async with asyncio.timeout(CALL_S):
                answer = await self._bus.call(message)
        except _TROUBLE:
            await self._hang_up()
            return []
        return [] if answer.message_type is MessageType.ERROR else list(answer.body)

    async def _hang_up(self) -> None:
        bus, self._bus, self._shown_id = self._bus, None, 0
        self._choices.clear()
        if bus is None:
            return
        bus.disconnect()
        with contextlib.suppress(*_TROUBLE):
            async with asyncio.timeout(CONNECT_S):
                await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]


def _sendable(text: str) -> str:
    """Return text that D-Bus can carry: UTF-8 without NUL."""
    return text.replace("\0", " ").encode("utf-8", "replace").decode()
