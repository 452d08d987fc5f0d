"""How soon the daemon's own hotkeys are heard of: the key of a real sway, the signal of a real portal."""

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench._rows import Row
from support.desktop import SwayDesktop
from support.shortcuts import shortcuts_desktop
from v2m.domain.delivery import Session
from v2m.domain.hotkeys import Shortcut, parse_keys
from v2m.infrastructure._wayland.connection import Connection
from v2m.infrastructure._wayland.wire import uints
from v2m.infrastructure.desktop.hotkeys.live import Backend, LiveHotkeys
from v2m.infrastructure.desktop.hotkeys.portal import PortalHotkeys
from v2m.infrastructure.desktop.hotkeys.sway import SwayHotkeys
from v2m.infrastructure.output.wayland.virtual_keyboard import MANAGER

sys.path.append(str(Path(__file__).resolve().parents[1] / "scripts/headless"))

F9 = 67  # evdev
WANTED = [Shortcut("push_to_talk", parse_keys("F9"), "start", "stop", "Dictate while held")]
Press = Callable[[bool], Awaitable[None]]


async def latencies(backend: Backend, session: Session, press: Press, rounds: int) -> list[float]:
    """Press and release; return the milliseconds from each to the moment at which it was heard of."""
    heard: asyncio.Queue[int] = asyncio.Queue()

    async def locate() -> Session:
        return session

    hotkeys = LiveHotkeys([backend], locate=locate)
    found = []
    async with asyncio.TaskGroup() as group:
        listening = group.create_task(hotkeys.run(lambda _, at_ns: heard.put_nowait(at_ns), print))
        while not hotkeys.state.backend:
            await asyncio.sleep(0.01)
        for number in range(2 * rounds):
            began_ns = time.monotonic_ns()
            await press(number % 2 == 0)
            found.append((await heard.get() - began_ns) / 1e6)
            await asyncio.sleep(0.005)
        listening.cancel()
    return found


async def of_sway(rounds: int) -> list[float]:
    """Return the latencies of keys of a virtual keyboard, which sway takes for hardware."""
    from keyboard import upload

    with SwayDesktop() as desktop:
        connection = await Connection.open(desktop.variables["WAYLAND_DISPLAY"])
        seat, manager = connection.bind("wl_seat", 1), connection.bind(MANAGER, 1)
        keyboard = connection.create()
        connection.request(manager, 0, uints(seat, keyboard))
        upload(connection, keyboard, "us")
        await connection.roundtrip()

        async def press(pressed: bool) -> None:
            now_ms = time.monotonic_ns() // 1_000_000 & 0xFFFFFFFF
            connection.request(keyboard, 1, uints(now_ms, F9, int(pressed)))
            await connection.roundtrip()

        try:
            return await latencies(SwayHotkeys(WANTED), Session(desktop.variables, "bench"), press, rounds)
        finally:
            connection.close()


async def of_the_portal(rounds: int) -> list[float]:
    """Return the latencies from the desktop's side of a real portal to ours."""
    async with shortcuts_desktop() as (bus, _, desktop):

        async def press(pressed: bool) -> None:
            (desktop.press if pressed else desktop.release)("push_to_talk")

        backend = PortalHotkeys(
            WANTED, bus_address=lambda: bus.address, entry=bus.folder / "org.v2m.toakd.desktop", program="toakd"
        )
        return await latencies(backend, Session({"WAYLAND_DISPLAY": "/none"}, "bench"), press, rounds)


def measure(rounds: int = 200) -> list[Row]:
    """Return every figure of this file; the bars are what a key may cost beside the 15 ms of the microphone."""
    rows = []
    for name, found in (("sway", asyncio.run(of_sway(rounds))), ("portal", asyncio.run(of_the_portal(rounds)))):
        note = f"max {max(found):.1f}, n = {len(found)}"
        rows.append(Row(f"hotkey by {name}: press or release → heard, p50", statistics.median(found), "ms", 2.0, note))
    return rows
