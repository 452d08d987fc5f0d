#!/usr/bin/env python3
"""Stands in for the user's hardware keyboard in a headless compositor (US layout until told another).

usage: keyboard.py WAYLAND_SOCKET

Without any keyboard on the seat the focused application loses the first keys of whoever types next.
Prints "up", then obeys lines on standard input: `press CODE [MASK]` and `release CODE [MASK]`, CODE
being an evdev code, MASK the modifiers held from then on (Shift 1, Ctrl 4, Alt 8, Super 64); `layout NAME`,
such as `de` or `us(dvorak)`.
Answers each with "ok". Ends with the compositor.
"""

import asyncio
import os
import sys
import time

from v2m.infrastructure._wayland.connection import Connection, WaylandError
from v2m.infrastructure._wayland.wire import uints
from v2m.infrastructure.output.wayland.virtual_keyboard import MANAGER

KEYMAP = (
    "xkb_keymap {{\n"
    'xkb_keycodes {{ include "evdev+aliases(qwerty)" }};\n'
    'xkb_types {{ include "complete" }};\n'
    'xkb_compatibility {{ include "complete" }};\n'
    'xkb_symbols {{ include "pc+{layout}+inet(evdev)" }};\n'
    "}};\n\0"
)


async def main() -> None:
    """Be a keyboard until the compositor ends."""
    connection = await Connection.open(sys.argv[1])
    seat, manager = connection.bind("wl_seat", 1), connection.bind(MANAGER, 1)
    keyboard = connection.create()
    connection.request(manager, 0, uints(seat, keyboard))
    upload(connection, keyboard, "us")
    await connection.roundtrip()
    print("up", flush=True)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(obey(lines, connection, keyboard))
            tasks.create_task(wait_for_the_end(connection))
    except* WaylandError:
        pass


def upload(connection: Connection, keyboard: int, layout: str) -> None:
    """Be a keyboard of this layout."""
    keymap = KEYMAP.format(layout=layout).encode()
    fd = os.memfd_create("keymap")
    os.write(fd, keymap)
    connection.request(keyboard, 0, uints(1, len(keymap)), fd=fd)


async def obey(lines: asyncio.StreamReader, connection: Connection, keyboard: int) -> None:
    """Press and release what standard input says."""
    while line := await lines.readline():
        verb, code, *mask = line.decode().split()
        if verb == "layout":
            upload(connection, keyboard, code)
            await connection.roundtrip()
            print("ok", flush=True)
            continue
        now_ms = time.monotonic_ns() // 1_000_000 & 0xFFFFFFFF
        connection.request(keyboard, 1, uints(now_ms, int(code), int(verb == "press")))
        connection.request(keyboard, 2, uints(int(mask[0]) if mask else 0, 0, 0, 0))
        await connection.roundtrip()
        print("ok", flush=True)


async def wait_for_the_end(connection: Connection) -> None:
    """Return never; raises WaylandError when the compositor is gone."""
    while True:
        await connection.until(lambda: False, 3600)


if __name__ == "__main__":
    asyncio.run(main())
