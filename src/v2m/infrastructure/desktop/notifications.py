"""Notifications over D-Bus, as the Desktop Notifications Specification 1.2 describes them."""

import asyncio
import contextlib
import html
from typing import Any, Final

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
        self._shown_id = 0  # of the notification that may be replaced
        self._turn = asyncio.Lock()

    async def show(self, title: str, body: str = "", *, urgent: bool = False, sound: str = "") -> None:
        """Replace the notification; an urgent one then stays until the user has seen it."""
        if self._enabled:
            async with self._turn:
                await self._notify(title, body, urgent=urgent)
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

    async def _notify(self, title: str, body: str, *, urgent: bool) -> None:
        known_bus = self._bus
        answer = await self._try_notify(title, body, urgent=urgent)
        if answer is None and known_bus is not None and self._bus is None:  # it was restarted since
            answer = await self._try_notify(title, body, urgent=urgent)
        if answer is None:
            self.lost += 1
        self._shown_id = 0 if urgent or answer is None else answer

    async def _try_notify(self, title: str, body: str, *, urgent: bool) -> int | None:
        """Return the id of the notification, None when it was not shown."""
        if not await self._connect():
            return None
        text = html.escape(body, quote=False) if self._markup else body
        hints = {"urgency": Variant("y", _CRITICAL if urgent else _NORMAL), "desktop-entry": Variant("s", _APP)}
        if not urgent:
            hints["transient"] = Variant("b", True)  # noqa: FBT003 - D-Bus
            hints["x-canonical-private-synchronous"] = Variant("s", _APP)
        expire_ms = _NEVER if urgent else self._expire_ms
        arguments = [_APP, self._shown_id, _ICON, _sendable(title), _sendable(text), [], hints, expire_ms]
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
        return self._bus is not None

    async def _ask(self, member: str, signature: str, arguments: list[Any]) -> list[Any]:
        """Return the answer's body; empty after trouble, and without a bus when the connection is of no use."""
        if self._bus is None:
            return []
        message = Message(
            destination=_NAME,
            path="/org/freedesktop/Notifications",
            interface=_NAME,
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
        if bus is None:
            return
        bus.disconnect()
        with contextlib.suppress(*_TROUBLE):
            async with asyncio.timeout(CONNECT_S):
                await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]


def _sendable(text: str) -> str:
    """Return text that D-Bus can carry: UTF-8 without NUL."""
    return text.replace("\0", " ").encode("utf-8", "replace").decode()
