"""Types with keys of its own through virtual-keyboard-v1; connection and keymap stay for the next text."""

import asyncio
import os
import time
from typing import Final

from v2m.domain.delivery import Certainty, Delivery, Destination, Session
from v2m.domain.ports import Availability
from v2m.infrastructure._wayland.connection import Connection, WaylandError
from v2m.infrastructure._wayland.toplevels import FocusWatch
from v2m.infrastructure._wayland.wire import uints
from v2m.infrastructure.output.failures import (
    FOCUS_MOVED,
    FOCUS_UNKNOWN,
    NO_WAYLAND,
    broken,
    no_display,
    refused,
)
from v2m.infrastructure.output.wayland.keymap import ASCII, CAPACITY, key_codes, portions, xkb_keymap

MANAGER: Final = "zwp_virtual_keyboard_manager_v1"
XKB_V1: Final = 1
SHIFT: Final = 1
CONTROL: Final = 4

BATCH: Final = 16  # measured: exact in every application tried; also the most that a wrong window gets
# Measured: a stopped application survived bursts of 1,500 characters and was disconnected by the
# compositor at 2,500; a slow one at 1,000 a second. A quarter of that, then what wtype's pace is.
BURST_LIMIT: Final = 400
PACED_BATCH: Final = 4
PACED_PAUSE_S: Final = 0.020  # 200 characters a second


class VirtualKeyboard:
    """A keyboard on a connection. Its keymap grows with the characters that are needed."""

    def __init__(self, connection: Connection) -> None:
        """Raises WaylandError when the compositor has no virtual keyboards."""
        self._connection = connection
        self._codes: dict[str, int] = {}
        seat = connection.bind("wl_seat", 1)
        manager = connection.bind(MANAGER, 1)
        self._keyboard = connection.create()
        connection.request(manager, 0, uints(seat, self._keyboard))
        self.prepare("")

    def prepare(self, text: str) -> None:
        """Upload a keymap when `text` (one of `portions`) has characters the resident one lacks."""
        missing = [character for character in dict.fromkeys(text) if character not in self._codes]
        if self._codes and not missing:
            return
        kept = self._codes if len(self._codes) + len(missing) <= CAPACITY else {}
        self._codes = key_codes([*ASCII, *kept, *text])
        keymap = xkb_keymap(self._codes)
        fd = os.memfd_create("v2m-keymap", os.MFD_CLOEXEC)
        os.write(fd, keymap)
        self._connection.request(self._keyboard, 0, uints(XKB_V1, len(keymap)), fd=fd)

    async def press(self, characters: str) -> None:
        """Press and release one key after the other; returns when the compositor has taken them."""
        for character in characters:
            self._tap(character)
        await self._connection.roundtrip()

    async def chord(self, modifiers: int, character: str) -> None:
        """Press a key while modifiers are held, e.g. `CONTROL` and "v"."""
        self._modifiers(modifiers)
        self._tap(character)
        self._modifiers(0)
        await self._connection.roundtrip()

    def destroy(self) -> None:
        """Take the keyboard away; sends without waiting."""
        if self._connection.alive:
            self._connection.request(self._keyboard, 3)
            self._connection.flush()

    def _tap(self, character: str) -> None:
        for pressed in (1, 0):
            now_ms = time.monotonic_ns() // 1_000_000 & 0xFFFFFFFF
            self._connection.request(self._keyboard, 1, uints(now_ms, self._codes[character], pressed))

    def _modifiers(self, depressed: int) -> None:
        self._connection.request(self._keyboard, 2, uints(depressed, 0, 0, 0))


class VirtualKeyboardOutput:
    """Keys from a resident virtual keyboard: exact in every application, no receipt from it."""

    name = "virtual-keyboard"
    burst_limit: int | None = BURST_LIMIT

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._keyboard: VirtualKeyboard | None = None

    async def probe(self, session: Session) -> Availability:
        """Say whether the compositor takes virtual keyboards; connects, types nothing."""
        if session.wayland is None:
            return NO_WAYLAND
        try:
            await self._connected(session.wayland)
        except WaylandError as error:
            return Availability(usable=False, reason=f"No virtual keyboard: {error}.")
        return Availability(usable=True, reason="The compositor takes keys from a virtual keyboard.")

    async def deliver(self, text: str, to: Destination) -> Delivery:
        """Type it: at full speed up to `burst_limit` characters, longer texts at 200 characters a second."""
        session = to.session
        if session.wayland is None:
            raise no_display("there is no Wayland compositor")
        typed = 0
        try:
            connection, keyboard = await self._connected(session.wayland)
        except WaylandError as error:
            raise no_display(str(error)) from error
        focus = FocusWatch(connection)
        try:
            await focus.start()
            if focus.nothing_active:
                raise refused("No window has the focus.")
            for batch in _batches(text):
                keyboard.prepare(batch)
                typed += len(batch)
                await keyboard.press(batch)
                if focus.moved:
                    return Delivery(self.name, Certainty.UNCERTAIN, typed, focus.app, FOCUS_MOVED)
                if len(text) > BURST_LIMIT:
                    await asyncio.sleep(PACED_PAUSE_S)
        except WaylandError as error:
            raise broken(str(error), delivered=None if typed else 0) from error
        finally:
            focus.stop()
        if not focus.available:
            return Delivery(self.name, Certainty.UNCERTAIN, typed, detail=FOCUS_UNKNOWN)
        return Delivery(self.name, Certainty.SENT, typed, focus.app)

    async def aclose(self) -> None:
        """Take the keyboard away."""
        if self._keyboard is not None:
            self._keyboard.destroy()
        if self._connection is not None:
            self._connection.close()
        self._connection = self._keyboard = None

    async def _connected(self, path: str) -> tuple[Connection, VirtualKeyboard]:
        """Return the resident keyboard, a new one when the compositor is another or was restarted."""
        if self._connection and self._keyboard and self._connection.path == path:
            try:
                await self._connection.roundtrip()
            except WaylandError:
                pass
            else:
                return self._connection, self._keyboard
        await self.aclose()
        connection = await Connection.open(path)
        try:
            keyboard = VirtualKeyboard(connection)
            await connection.roundtrip()
        except BaseException:
            connection.close()
            raise
        self._connection, self._keyboard = connection, keyboard
        return connection, keyboard


def _batches(text: str) -> list[str]:
    size = BATCH if len(text) <= BURST_LIMIT else PACED_BATCH
    return [part[at : at + size] for part in portions(text) for at in range(0, len(part), size)]
