"""Media players on a session bus, as MPRIS describes them."""

# ruff: noqa: N802, F821 - the names and types of D-Bus, as dbus-fast reads them

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

from dbus_fast import DBusError, PropertyAccess
from dbus_fast.aio import MessageBus
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property

from support.bus import private_bus
from support.portal import hang_up


class Player(ServiceInterface):
    """`refuses`: it takes no orders; `stuck`: it never answers one."""

    def __init__(self, *, status="Playing", volume=1.0, refuses=False, stuck=False):
        super().__init__("org.mpris.MediaPlayer2.Player")
        self.status, self.volume = status, volume
        self.refuses, self.stuck = refuses, stuck
        self.orders = []
        self.changed = asyncio.Event()

    async def _obey(self, order, status):
        self.orders.append(order)
        self.changed.set()
        if self.stuck:
            await asyncio.Event().wait()
        if self.refuses:
            raise DBusError("org.mpris.Error", "no")
        self.status = status

    async def until(self, holds):
        while not holds(self):
            self.changed.clear()
            await self.changed.wait()

    @dbus_method()
    async def Pause(self):
        await self._obey("Pause", "Paused")

    @dbus_method()
    async def Play(self):
        await self._obey("Play", "Playing")

    @dbus_property(access=PropertyAccess.READ)
    def PlaybackStatus(self) -> "s":
        return self.status

    @dbus_property()
    def Volume(self) -> "d":
        return self.volume

    @Volume.setter
    def Volume(self, value: "d"):
        self.volume = round(value, 2)  # as real ones do
        self.changed.set()


@asynccontextmanager
async def playing(*players):
    """Yield the address of a bus on which these players are."""
    with private_bus() as address:
        async with AsyncExitStack() as stack:
            for number, player in enumerate(players):
                bus = await MessageBus(bus_address=address).connect()
                stack.push_async_callback(hang_up, bus)
                bus.export("/org/mpris/MediaPlayer2", player)
                await bus.request_name(f"org.mpris.MediaPlayer2.p{number}")
            yield address
