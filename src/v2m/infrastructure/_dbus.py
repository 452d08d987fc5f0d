"""A connection to a D-Bus: its calls with deadlines, its signals, and its end."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Final, Self

from dbus_fast import AuthError, DBusError, InvalidAddressError, Message, MessageFlag, MessageType, Variant
from dbus_fast.aio import MessageBus

CONNECT_S: Final = 0.5
CALL_S: Final = 2.0  # the bus may have to start the service first
BUS: Final = "org.freedesktop.DBus"
PROPERTIES: Final = "org.freedesktop.DBus.Properties"
_TROUBLE: Final = (OSError, EOFError, TimeoutError, DBusError, AuthError, InvalidAddressError)


class BusError(Exception):
    """The bus or the service refuses; `str()` is the error's name on D-Bus, or what is wrong with the connection."""


class BusSilentError(BusError):
    """It did not answer, so what was asked may have happened."""


class Bus:
    """One connection; made by `connect`, ended by `close`."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus

    @classmethod
    async def connect(cls, address: str, *, passes_files: bool = False) -> Self:
        """Connect to a bus; with `passes_files` descriptors can be received. Raises BusError."""
        try:
            bus = MessageBus(bus_address=address, negotiate_unix_fd=passes_files)
            async with asyncio.timeout(CONNECT_S):
                await bus.connect()
        except _TROUBLE as error:
            await asyncio.sleep(0)  # the loop forgets an abandoned descriptor one turn later
            raise BusError("the bus does not answer") from error
        return cls(bus)

    @property
    def connected(self) -> bool:
        """Whether the bus is still there."""
        return bool(self._bus.connected)

    @property
    def name(self) -> str:
        """Our name on the bus, such as `:1.42`."""
        return str(self._bus.unique_name)

    async def call(
        self,
        to: str,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        arguments: Sequence[Any] = (),
        *,
        timeout_s: float = CALL_S,
        starts: bool = True,
    ) -> Message:
        """Call a method and return its answer; `starts`: the bus may start the service. Raises BusError."""
        message = Message(
            destination=to,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=list(arguments),
            flags=MessageFlag.NONE if starts else MessageFlag.NO_AUTOSTART,
        )
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._bus.call(message)
        except _TROUBLE as error:
            raise BusSilentError("no answer") from error
        if answer is None:
            raise BusSilentError("the bus is gone")
        if answer.message_type is MessageType.ERROR:
            raise BusError(str(answer.error_name))
        return answer

    async def get(self, to: str, path: str, interface: str, name: str, *, timeout_s: float = CALL_S) -> Any:  # noqa: ANN401 - D-Bus
        """Return a property of an object. Raises BusError."""
        answer = await self.call(to, path, PROPERTIES, "Get", "ss", [interface, name], timeout_s=timeout_s)
        return plain(answer.body[0]) if answer.body else None

    async def listen(self, handler: Callable[[Message], None], *rules: str) -> None:
        """Have signals that match one of the rules handed over, on the loop. Raises BusError."""

        def take(message: Message) -> None:
            if message.message_type is MessageType.SIGNAL:
                handler(message)

        self._bus.add_message_handler(take)
        for rule in rules:
            await self.call(BUS, "/org/freedesktop/DBus", BUS, "AddMatch", "s", [f"type='signal',{rule}"])

    async def ended(self) -> None:
        """Return when the connection is gone, whoever ended it."""
        await asyncio.shield(self._disconnected())  # cancelling the library's own wait would cancel every later one

    async def _disconnected(self) -> None:
        with contextlib.suppress(*_TROUBLE):
            await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]

    async def close(self) -> None:
        """End the connection; never raises, twice is fine."""
        if self.connected:
            self._bus.disconnect()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CONNECT_S):
                    await self.ended()


def plain(value: object) -> Any:  # noqa: ANN401 - D-Bus
    """Return what a variant holds."""
    return value.value if isinstance(value, Variant) else value
