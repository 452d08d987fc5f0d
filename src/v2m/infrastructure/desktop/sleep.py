"""Sleep and waking, as systemd-logind tells of them (org.freedesktop.login1(5), PrepareForSleep and Inhibit)."""

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Final

from dbus_fast import Message

from v2m.infrastructure._dbus import Bus, BusError

log = logging.getLogger(__name__)

BEFORE_S: Final = 4.0  # logind itself waits for 5 s (InhibitDelayMaxSec)
RETRY_S: Final = 60.0  # a system bus that was restarted
_LOGIND: Final = "org.freedesktop.login1"
_PATH: Final = "/org/freedesktop/login1"
_MANAGER: Final = "org.freedesktop.login1.Manager"

Step = Callable[[], Awaitable[None]]


class LogindSleep:
    """`SleepWatch` of the system bus; holds logind's delay lock, so that there is time to close a recording."""

    def __init__(self, *, bus_address: str | None) -> None:
        self._address = bus_address
        self._lock: int | None = None  # a descriptor: closing it lets the machine sleep

    async def run(self, before: Step, after: Step) -> None:
        """Call `before` and `after` each sleep until cancelled; return at once without a system bus."""
        while self._address is not None:
            with contextlib.suppress(BusError):
                await self._watch(await Bus.connect(self._address, passes_files=True), before, after)
            await asyncio.sleep(RETRY_S)

    async def _watch(self, bus: Bus, before: Step, after: Step) -> None:
        """Watch until the bus ends. Raises BusError."""
        signals: asyncio.Queue[bool | None] = asyncio.Queue()  # whether it is about to sleep; None: the bus has ended

        def heard(message: Message) -> None:
            if message.member == "PrepareForSleep" and message.body:
                signals.put_nowait(bool(message.body[0]))

        async def end() -> None:
            await bus.ended()
            signals.put_nowait(None)

        try:
            rule = f"sender='{_LOGIND}',interface='{_MANAGER}',member='PrepareForSleep'"
            await bus.listen(heard, rule)
            await self._hold(bus)
            async with asyncio.TaskGroup() as group:
                ending = group.create_task(end())
                while (sleeps := await signals.get()) is not None:
                    await (self._before(before) if sleeps else self._after(bus, after))
                ending.cancel()
        finally:
            self._let_go()
            await bus.close()

    async def _before(self, before: Step) -> None:
        try:
            async with asyncio.timeout(BEFORE_S):
                await before()
        except TimeoutError:
            log.warning("the machine sleeps before everything is put away")
        finally:
            self._let_go()

    async def _after(self, bus: Bus, after: Step) -> None:
        await self._hold(bus)
        await after()

    async def _hold(self, bus: Bus) -> None:
        """Ask logind to wait for us next time; where it does not, recordings are closed all the same, only later."""
        self._let_go()
        arguments = ["sleep", "v2m", "A recording is put away", "delay"]
        try:
            answer = await bus.call(_LOGIND, _PATH, _MANAGER, "Inhibit", "ssss", arguments, starts=False)
        except BusError as error:
            log.debug("no delay lock: %s", error)
            return
        self._lock = answer.unix_fds[answer.body[0]] if answer.unix_fds else None

    def _let_go(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)
