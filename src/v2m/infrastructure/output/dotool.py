"""The `dotool` tool: keys through /dev/uinput, for desktops that take none in another way.

It reads commands, one per line. A text is never part of one: it is turned into numbers of keys by the live
layout, so no text can become a command, and dotool's own idea of the layout (DOTOOL_XKB_LAYOUT) plays no part.
"""

import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from v2m.domain.delivery import Certainty, Delivery, Destination, Session
from v2m.domain.ports import AtBest, Availability
from v2m.infrastructure._run import find_tool
from v2m.infrastructure._wayland.connection import Connection, WaylandError
from v2m.infrastructure._xkbcommon import ALTGR_CODE, SHIFT_CODE, Stroke
from v2m.infrastructure.output._layout import caps_lock_is_on, live_layout, strokes
from v2m.infrastructure.output._tools import focused, hint, judge, type_with
from v2m.infrastructure.output.failures import NO_WAYLAND, broken, no_display, refused

UINPUT: Final = "/dev/uinput"
JOIN: Final = "sudo usermod -a -G input $USER, then log in again"
START_S: Final = 5.0
PER_CHARACTER_S: Final = 0.060  # it takes 10 ms a key, and as much for AltGr; twice that for loaded machines
# Its keyboard is a new one each time. Desktops need a moment to notice it, and lose what it types before, and
# what they have not read when it goes: reported by its users for 0, and for the 0.2 s that it waits by itself.
SETTLE_S: Final = 0.8
LINGER_MS: Final = 300
KEYS_PER_LINE: Final = 64

_UNSURE: Final = "dotool cannot tell whether the desktop took its keys."
_WARNING: Final = b"WARNING"


def encode(keys: Sequence[Stroke]) -> bytes:
    """Return the commands that press these keys one after the other, then let the desktop read them."""
    # Letting go of a key that nobody holds does nothing but wait.
    return "".join([*_lines(keys), f"keydelay {LINGER_MS}\n", f"keyup k:{SHIFT_CODE}\n"]).encode("ascii")


def _lines(keys: Sequence[Stroke]) -> Iterator[str]:
    for altgr, group in groupby(keys, key=lambda stroke: stroke.altgr):
        if altgr:
            yield f"keydown k:{ALTGR_CODE}\n"
        run = list(group)
        for line in (run[at : at + KEYS_PER_LINE] for at in range(0, len(run), KEYS_PER_LINE)):
            yield "key " + " ".join(f"{'shift+' if stroke.shift else ''}k:{stroke.code}" for stroke in line) + "\n"
        if altgr:
            yield f"keyup k:{ALTGR_CODE}\n"


class DotoolOutput:
    """Keys from a child with a keyboard of its own; takes about a second."""

    name = "dotool"
    at_best = AtBest(400)  # at 100 characters a second a longer one is better pasted

    def __init__(self, *, uinput: str = UINPUT) -> None:
        self._uinput = uinput

    async def probe(self, session: Session) -> Availability:
        """Say whether the tool is there, may make a keyboard, and the layout is known; starts nothing."""
        if session.wayland is None:
            return NO_WAYLAND
        if find_tool("dotool") is None:
            return Availability(usable=False, reason=f"dotool is not installed. {hint('dotool')}")
        if not os.access(self._uinput, os.W_OK):
            return Availability(usable=False, reason=f"dotool may not write to {self._uinput}: {JOIN}.")
        try:
            connection = await Connection.open(session.wayland)
            try:
                await live_layout(connection)
            finally:
                connection.close()
        except WaylandError as error:
            return Availability(usable=False, reason=f"No dotool: {error}.")
        return Availability(usable=True, reason="dotool presses the keys of your keyboard layout.")

    async def deliver(self, text: str, to: Destination) -> Delivery:
        """Let dotool press the keys; it is ended when the window loses the focus or does not read."""
        async with focused(to, len(text)) as window:
            try:
                keys = strokes(text, await live_layout(window.connection))
            except WaylandError as error:
                raise no_display(str(error)) from error
            if caps_lock_is_on():
                raise refused("Caps Lock is on.")
            async with window.while_there() as leash:
                finished = await type_with(
                    ["dotool"],
                    encode(keys),
                    to.session,
                    timeout_s=START_S + PER_CHARACTER_S * len(text),
                    settle_s=SETTLE_S,
                    leash=leash,
                )
            if _WARNING in finished.stderr:
                raise broken("dotool did not press every key", delivered=None)
            sent = await judge(self.name, len(text), window)
        detail = sent.detail or _UNSURE
        return Delivery(self.name, Certainty.UNCERTAIN, len(text), sent.target, detail)

    async def aclose(self) -> None:
        """Nothing stays open."""
