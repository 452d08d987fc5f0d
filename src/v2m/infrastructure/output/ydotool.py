"""Keys through `ydotoold`, which holds a keyboard of the kernel: for desktops that take none in another way.

Its socket is written to directly, with the events that its client writes. That client would want the text, or
its keys, on a command line that every user can read, assumes a US layout, and adds Enter to what it reads from
a file.
"""

import asyncio
import os
import socket
import stat
import struct
from collections.abc import Iterator, Sequence
from typing import Final

from v2m.domain.delivery import Certainty, Delivery, Destination, Session
from v2m.domain.errors import OutputError, OutputReason
from v2m.domain.ports import AtBest, Availability
from v2m.infrastructure._wayland.backlog import UNREAD_LIMIT_BYTES
from v2m.infrastructure._wayland.connection import Connection, WaylandError
from v2m.infrastructure._xkbcommon import ALTGR_CODE, SHIFT_CODE, Stroke
from v2m.infrastructure.output._layout import caps_lock_is_on, live_layout, strokes
from v2m.infrastructure.output._tools import Watched, focused, hint, judge
from v2m.infrastructure.output.failures import FOCUS_MOVED, NO_WAYLAND, NOT_READING, broken, no_display, refused
from v2m.infrastructure.output.wayland.virtual_keyboard import BATCH, BURST_LIMIT, STALLED_S

HOLD_S: Final = 0.002
PAUSE_S: Final = 0.003  # with HOLD_S 200 characters a second: what no application was ever killed by
TAKEN_S: Final = 1.0  # a daemon takes an event within a millisecond; one that needs a second hangs

# struct input_event: time, type, code, value. ydotoold 1.x takes one per datagram. 0.1.8 (a stream) and 0.1.9
# take records of 8 bytes without time, to which the two words of a zero time are SYN_REPORT, which do nothing.
EVENT: Final = struct.Struct("@llHHi")
_EV_SYN, _EV_KEY, _SYN_REPORT = 0, 1, 0
_DOWN, _UP = 1, 0


def encode(stroke: Stroke) -> tuple[list[bytes], list[bytes]]:
    """Return the events that press a key with what is held, and those that let go."""
    codes = [SHIFT_CODE] * stroke.shift + [ALTGR_CODE] * stroke.altgr + [stroke.code]
    pressed = [event for code in codes for event in _change(code, _DOWN)]
    released = [event for code in reversed(codes) for event in _change(code, _UP)]
    return pressed, released


def _change(code: int, value: int) -> Iterator[bytes]:
    yield EVENT.pack(0, 0, _EV_KEY, code, value)
    yield EVENT.pack(0, 0, _EV_SYN, _SYN_REPORT, 0)


class YdotoolOutput:
    """Keys from ydotoold's keyboard."""

    name = "ydotool"
    at_best = AtBest(BURST_LIMIT)

    def __init__(self, *, sockets: Sequence[str]) -> None:
        """`sockets`: where a daemon may listen, in the order in which its client looks."""
        self._sockets = tuple(sockets)

    async def probe(self, session: Session) -> Availability:
        """Say whether a daemon listens and the layout is known; presses nothing."""
        if session.wayland is None:
            return NO_WAYLAND
        try:
            _connect(self._sockets).close()
            connection = await Connection.open(session.wayland)
            try:
                await live_layout(connection)
            finally:
                connection.close()
        except OutputError as error:
            return Availability(usable=False, reason=" ".join(filter(None, (str(error), error.hint))))
        except WaylandError as error:
            return Availability(usable=False, reason=f"No ydotool: {error}.")
        return Availability(usable=True, reason="ydotoold presses the keys of your keyboard layout.")

    async def deliver(self, text: str, to: Destination) -> Delivery:
        """Press the keys, watching the focus."""
        async with focused(to, len(text)) as window:
            try:
                keys = strokes(text, await live_layout(window.connection))
            except WaylandError as error:
                raise no_display(str(error)) from error
            if caps_lock_is_on():
                raise refused("Caps Lock is on.")
            daemon = _connect(self._sockets)
            try:
                return await self._press(keys, daemon, window)
            finally:
                daemon.close()

    async def _press(self, keys: Sequence[Stroke], daemon: socket.socket, window: Watched) -> Delivery:
        typed, focus = 0, window.focus
        try:
            for at in range(0, len(keys), BATCH):
                if not await window.backlog.below(UNREAD_LIMIT_BYTES, stalled_s=STALLED_S):
                    return Delivery(self.name, Certainty.UNCERTAIN, typed, focus.app, NOT_READING)
                for stroke in keys[at : at + BATCH]:
                    typed += 1
                    await _tap(daemon, stroke)
                await window.connection.roundtrip()
                if focus.moved:
                    return Delivery(self.name, Certainty.UNCERTAIN, typed, focus.app, FOCUS_MOVED)
        except (OSError, TimeoutError) as error:
            # what it was sent before may wait in its queue for ever
            raise broken("ydotoold is gone or hangs", delivered=None) from error
        except WaylandError:
            pass  # `judge` says so
        return await judge(self.name, typed, window)

    async def aclose(self) -> None:
        """Nothing stays open."""


async def _tap(daemon: socket.socket, stroke: Stroke) -> None:
    """Press and let go; also when this is cancelled in between. Raises OSError, TimeoutError."""
    pressed, released = encode(stroke)
    try:
        await _send(daemon, pressed)
        await asyncio.sleep(HOLD_S)
    finally:
        await _send(daemon, released)
    await asyncio.sleep(PAUSE_S)


async def _send(daemon: socket.socket, events: Sequence[bytes]) -> None:
    async with asyncio.timeout(TAKEN_S):
        for event in events:
            await asyncio.get_running_loop().sock_sendall(daemon, event)


def _connect(paths: Sequence[str]) -> socket.socket:
    """Connect to the first daemon that listens.

    Raises:
        OutputError: none does, or it is another user's: who would then read the text.
    """
    refusal = OutputError("ydotoold does not run.", reason=OutputReason.TOOL_MISSING, hint=hint("ydotool"))
    for path in paths:
        try:
            found = os.stat(path, follow_symlinks=False)  # noqa: PTH116 - Path.stat, without a Path
        except OSError:
            continue
        if not stat.S_ISSOCK(found.st_mode) or found.st_uid not in (0, os.getuid()):
            refusal = refused(f"{path} is not the socket of a ydotoold of yours or of the system.")
            continue
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            daemon = socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK)
            try:
                daemon.connect(path)
            except PermissionError:
                refusal = refused(f"You may not write to {path}: start ydotoold with --socket-own or as yourself.")
            except OSError:
                pass  # of the other kind, or nobody listens any more
            else:
                return daemon
            daemon.close()
    raise refusal
