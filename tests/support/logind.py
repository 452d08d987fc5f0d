"""A system bus with a logind that sleeps when a test wants it: delay locks and PrepareForSleep."""

# ruff: noqa: N802, F821 - the names and types of D-Bus, as dbus-fast reads them

import asyncio
import os
from contextlib import asynccontextmanager

from dbus_fast.aio import MessageBus
from dbus_fast.service import ServiceInterface, dbus_method, dbus_signal

from support.bus import private_bus

NAME = "org.freedesktop.login1"


class Logind(ServiceInterface):
    """Remembers who wants to be waited for, and whether they still do."""

    def __init__(self):
        super().__init__("org.freedesktop.login1.Manager")
        self.asked = []  # arguments of each Inhibit
        self._locks = []  # the ends of the pipes that we keep
        self._given = []  # the other ends, which are the holder's once the answer is out

    @dbus_method()
    def Inhibit(self, what: "s", who: "s", why: "s", mode: "s") -> "h":
        keep, give = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.asked.append((what, who, mode))
        self._locks.append(keep)
        self._given.append(give)
        asyncio.get_running_loop().call_later(0.2, self._forget)
        return give

    @dbus_signal()
    def PrepareForSleep(self, start: "b") -> "b":
        return start

    def _forget(self):
        os.close(self._given.pop(0))

    def is_held(self):
        """Whether anybody holds the newest lock."""
        try:
            return os.read(self._locks[-1], 1) != b""
        except BlockingIOError:
            return True

    async def locked(self, times=1):
        """Wait until we have been asked so often, and our own copy of the lock is closed."""
        while len(self.asked) < times or self._given:
            await asyncio.sleep(0.01)

    async def sleep(self):
        """Tell that the machine will sleep; return when nobody delays that any more, or raise TimeoutError."""
        self.PrepareForSleep(True)
        async with asyncio.timeout(10):
            while self.is_held():
                await asyncio.sleep(0.01)

    async def wake(self):
        """Tell that it has woken; return when the lock is held again."""
        before = len(self.asked)
        self.PrepareForSleep(False)
        await self.locked(before + 1)

    def close(self):
        for fd in (*self._locks, *self._given):
            os.close(fd)


@asynccontextmanager
async def logind():
    """Yield the address of a system bus and the logind on it."""
    with private_bus() as address:
        bus = await MessageBus(bus_address=address, negotiate_unix_fd=True).connect()
        played = Logind()
        bus.export("/org/freedesktop/login1", played)
        await bus.request_name(NAME)
        try:
            yield address, played
        finally:
            bus.disconnect()
            await bus.wait_for_disconnect()
            played.close()
            await asyncio.sleep(0)
