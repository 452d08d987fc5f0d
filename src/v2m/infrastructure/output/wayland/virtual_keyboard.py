"""Types with keys of its own through virtual-keyboard-v1; connection and keymap stay for the next text."""

import asyncio
import os
import time
from collections.abc import Callable
from typing import Final

from v2m.domain.delivery import Certainty, Delivery, Destination, Session
from v2m.domain.ports import AtBest, Availability
from v2m.infrastructure._wayland.backlog import UNREAD_LIMIT_BYTES, Backlog
from v2m.infrastructure._wayland.connection import Connection, WaylandError
from v2m.infrastructure._wayland.toplevels import FocusWatch
from v2m.infrastructure._wayland.wire import uints
from v2m.infrastructure.output.failures import (
    FOCUS_MOVED,
    FOCUS_UNKNOWN,
    MOVED_BEFORE,
    NO_WAYLAND,
    NOT_READING,
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
BURST_LIMIT: Final = 400  # a text that size cannot fill the socket of an application that has stopped
CHECK_BATCHES: Final = 4  # so many go between two looks at what the application has read
STALLED_S: Final = 4.0  # measured: a toolkit may read nothing for a second while it lays out a long line
# Where the kernel does not tell what was read: the pace of wtype, and no more than a stopped application survives
# (each batch takes 2,304 of its socket's 212,992 bytes; measured: disconnected at 2,500 characters).
PACED_PAUSE_S: Final = 0.080
UNSEEN_LIMIT: Final = 1200
TOO_LONG: Final = "The text is too long for keys: this system does not tell whether the window still reads them."


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

    async def chord(self, modifiers: int, character: str, *, handled: Callable[[], None] | None = None) -> None:
        """Press a key while modifiers are held, e.g. `CONTROL` and "v"; `handled` as in `Connection.roundtrip`."""
        self._modifiers(modifiers)
        self._tap(character)
        self._modifiers(0)
        await self._connection.roundtrip(handled=handled)

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
    at_best = AtBest(BURST_LIMIT)

    def __init__(self, *, watch: Callable[[str], Backlog] = Backlog) -> None:
        self._watch = watch  # by the compositor's socket
        self._connection: Connection | None = None
        self._keyboard: VirtualKeyboard | None = None

    async def probe(self, session: Session) -> Availability:
        """Say whether the compositor takes virtual keyboards; disturbs no text that is being typed."""
        if session.wayland is None:
            return NO_WAYLAND
        if not await self._is_connected(session.wayland):
            try:
                connection = await Connection.open(session.wayland)  # the resident one may be typing elsewhere
            except WaylandError as error:
                return Availability(usable=False, reason=f"No virtual keyboard: {error}.")
            connection.close()
            if MANAGER not in connection.globals:
                return Availability(usable=False, reason=f"This compositor does not offer {MANAGER}.")
        return Availability(usable=True, reason="The compositor takes keys from a virtual keyboard.")

    async def deliver(self, text: str, to: Destination) -> Delivery:
        """Type it as fast as the application reads; blindly at 200 characters a second beyond `BURST_LIMIT`."""
        if to.session.wayland is None:
            raise no_display("there is no Wayland compositor")
        try:
            connection, keyboard = await self._connected(to.session.wayland)
        except WaylandError as error:
            raise no_display(str(error)) from error
        typing = _Typing(FocusWatch(connection), keyboard, self._watch(connection.path))
        try:
            return await typing.run(text, to)
        except WaylandError as error:
            raise broken(str(error), delivered=None if typing.typed else 0) from error
        finally:
            typing.end()

    async def aclose(self) -> None:
        """Take the keyboard away."""
        if self._keyboard is not None:
            self._keyboard.destroy()
        if self._connection is not None:
            self._connection.close()
        self._connection = self._keyboard = None

    async def _is_connected(self, path: str) -> bool:
        """Tell whether the resident keyboard is this compositor's and works."""
        if self._connection is None or self._connection.path != path:
            return False
        try:
            await self._connection.roundtrip()
        except WaylandError:
            return False
        return True

    async def _connected(self, path: str) -> tuple[Connection, VirtualKeyboard]:
        """Return the resident keyboard, a new one when the compositor is another or was restarted."""
        if await self._is_connected(path) and self._connection and self._keyboard:
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


class _Typing:
    """One text on its way; `typed` counts the characters that the compositor was given."""

    def __init__(self, focus: FocusWatch, keyboard: VirtualKeyboard, backlog: Backlog) -> None:
        self.typed = 0
        self._focus = focus
        self._keyboard = keyboard
        self._backlog = backlog

    async def run(self, text: str, to: Destination) -> Delivery:
        """Type until the end, or until the window is another or does not read. Raises WaylandError, OutputError."""
        await self._focus.start(to)
        if self._focus.nothing_active:
            raise refused("No window has the focus.")
        if self._elsewhere():
            raise refused(MOVED_BEFORE)
        if len(text) > UNSEEN_LIMIT and not self._backlog.available:
            raise refused(TOO_LONG)
        for number, batch in enumerate(_batches(text)):
            if not await self._reads(number, len(text)):
                return self._delivery(Certainty.UNCERTAIN, NOT_READING)
            self._keyboard.prepare(batch)
            self.typed += len(batch)
            await self._keyboard.press(batch)
            if self._elsewhere():
                return self._delivery(Certainty.UNCERTAIN, FOCUS_MOVED)
        if not self._focus.available:
            return self._delivery(Certainty.UNCERTAIN, FOCUS_UNKNOWN)
        if not await self._backlog.read(stalled_s=STALLED_S):
            return self._delivery(Certainty.UNCERTAIN, NOT_READING)
        await self._keyboard.press("")  # a window that was closed unread has nothing left unread: now its end is known
        if self._elsewhere():
            return self._delivery(Certainty.UNCERTAIN, FOCUS_MOVED)
        return self._delivery(Certainty.SENT)

    def end(self) -> None:
        """Stop watching; sends without waiting."""
        self._focus.stop()
        self._backlog.close()

    def _elsewhere(self) -> bool:
        return self._focus.moved

    async def _reads(self, number: int, length: int) -> bool:
        """Wait until another batch can do no harm; False when the application has stopped reading."""
        if self._backlog.available:
            wait = number % CHECK_BATCHES == CHECK_BATCHES - 1
            return not wait or await self._backlog.below(UNREAD_LIMIT_BYTES, stalled_s=STALLED_S)
        if number and length > BURST_LIMIT:
            await asyncio.sleep(PACED_PAUSE_S)
        return True

    def _delivery(self, certainty: Certainty, detail: str = "") -> Delivery:
        return Delivery(VirtualKeyboardOutput.name, certainty, self.typed, self._focus.app, detail)


def _batches(text: str) -> list[str]:
    return [part[at : at + BATCH] for part in portions(text) for at in range(0, len(part), BATCH)]
