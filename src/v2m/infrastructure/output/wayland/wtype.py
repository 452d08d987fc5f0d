"""The `wtype` tool: the second choice where the compositor takes virtual keyboards."""

from typing import Final

from v2m.domain.delivery import Delivery, Destination, Session
from v2m.domain.ports import AtBest, Availability
from v2m.infrastructure._run import find_tool
from v2m.infrastructure._wayland.connection import Connection, WaylandError
from v2m.infrastructure.output._tools import focused, hint, judge, type_with, utf8
from v2m.infrastructure.output.failures import NO_WAYLAND
from v2m.infrastructure.output.wayland import virtual_keyboard

START_S: Final = 5.0
PER_CHARACTER_S: Final = 0.020  # measured: 4.9 ms on a loaded machine


class WtypeOutput:
    """Keys from a child; it paces itself, so a long text takes its time."""

    name = "wtype"
    at_best = AtBest(virtual_keyboard.BURST_LIMIT)

    async def probe(self, session: Session) -> Availability:
        """Say whether the tool is there and the compositor takes virtual keyboards; starts nothing."""
        if session.wayland is None:
            return NO_WAYLAND
        if find_tool("wtype") is None:
            return Availability(usable=False, reason=f"wtype is not installed: {hint('wtype')}")
        try:
            connection = await Connection.open(session.wayland)
        except WaylandError as error:
            return Availability(usable=False, reason=f"No wtype: {error}.")
        offered = virtual_keyboard.MANAGER in connection.globals
        connection.close()
        if not offered:
            return Availability(usable=False, reason="This compositor lets no other program reach its keyboard.")
        return Availability(usable=True, reason="wtype types through a virtual keyboard.")

    async def deliver(self, text: str, to: Destination) -> Delivery:
        """Let wtype type it; it is ended when the window loses the focus or does not read."""
        stdin, timeout_s = utf8(text), START_S + PER_CHARACTER_S * len(text)
        async with focused(to, len(text)) as window:
            async with window.while_there() as leash:
                await type_with(["wtype", "-"], stdin, to.session, timeout_s=timeout_s, leash=leash)
            return await judge(self.name, len(text), window)

    async def aclose(self) -> None:
        """Nothing stays open."""
