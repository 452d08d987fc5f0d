"""The keyboard layout of the live session, for outputs that can only press keys."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from v2m.domain.errors import OutputError
from v2m.infrastructure._wayland.connection import Connection, WaylandError
from v2m.infrastructure._wayland.wire import Arguments, uints
from v2m.infrastructure._xkbcommon import KeymapError, Stroke, typed_by_keys
from v2m.infrastructure.output.failures import refused

LEDS: Final = Path("/sys/class/leds")
MAX_KEYMAP_BYTES: Final = 1 << 20  # measured: those of desktops have 50 kB
_KEYBOARD: Final = 2  # bit of wl_seat's capabilities

Layout = Mapping[str, Stroke]


def layout_of(groups: Sequence[Mapping[Stroke, str]]) -> Layout:
    """Return which stroke types each character, as far as all layouts of the keyboard agree.

    Which of them is active is told to the focused application only, so a key that types different
    characters in two of them is not pressed at all.
    """
    found: dict[str, Stroke] = {}
    for stroke, character in groups[0].items() if groups else ():
        if all(group.get(stroke) == character for group in groups):
            found.setdefault(character, stroke)
    return found


async def live_layout(connection: Connection) -> Layout:
    """Return the layout that the compositor gives to applications. Raises WaylandError."""
    keymap = await _keymap(connection)
    try:
        return layout_of(await asyncio.to_thread(typed_by_keys, keymap))
    except KeymapError as error:
        raise WaylandError(str(error)) from error


def strokes(text: str, layout: Layout) -> list[Stroke]:
    """Return the key for each character.

    Raises:
        OutputError: REFUSED with nothing typed: the layout lacks some of them. They are counted, never named.
    """
    lacking = {character for character in text if character not in layout}
    if lacking:
        raise untypeable(len(lacking))
    return [layout[character] for character in text]


def untypeable(characters: int) -> OutputError:
    """Return the error for a text with characters that no key types."""
    what = "a character" if characters == 1 else f"{characters} characters"
    return refused(f"Your keyboard layout has no key for {what} of this text.")


def caps_lock_is_on(leds: Path = LEDS) -> bool:
    """Tell whether a keyboard shows Caps Lock; every key would type the other case."""
    try:
        lights = [path / "brightness" for path in leds.iterdir() if path.name.endswith("::capslock")]
        return any(light.read_bytes().strip() not in (b"", b"0") for light in lights)
    except OSError:
        return False


async def _keymap(connection: Connection) -> bytes:
    """Return the keymap of the seat's keyboard."""
    capabilities: list[int] = []
    keymaps: list[bytes] = []

    def seat_event(opcode: int, body: bytes) -> None:
        if opcode == 0:
            capabilities.append(Arguments(body).uint())

    def keyboard_event(opcode: int, body: bytes) -> None:
        if opcode == 0:
            arguments = Arguments(body)
            arguments.uint()  # the format: there is only one
            keymaps.append(_content(connection.take_fd(), arguments.uint()))

    seat = connection.bind("wl_seat", 1, seat_event)
    await connection.roundtrip()
    if not capabilities or not capabilities[-1] & _KEYBOARD:
        raise WaylandError("this session has no keyboard whose layout could be used")
    connection.request(seat, 1, uints(connection.create(keyboard_event)))
    await connection.roundtrip()
    if not keymaps or not keymaps[-1]:
        raise WaylandError("this compositor does not tell the keyboard layout")
    return keymaps[-1]


def _content(fd: int, size: int) -> bytes:
    try:
        return os.pread(fd, min(size, MAX_KEYMAP_BYTES), 0).rstrip(b"\0")
    except OSError:
        return b""
    finally:
        os.close(fd)
