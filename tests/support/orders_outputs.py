"""The ways of typing of `support.orders_ports`, which break off where they are told to."""

import asyncio

from support.orders_ports import Desk, Mortal, PlannedBugError
from v2m.domain.delivery import Certainty, Delivery, Session
from v2m.domain.errors import OutputError, OutputReason
from v2m.domain.ports import AtBest, Availability


class Output(Mortal):
    """`TextOutput` that types a character at a time into the desk's window."""

    at_best = AtBest()

    def __init__(self, desk: Desk, name: str) -> None:
        self._desk = desk
        self.name = name

    async def probe(self, session: Session) -> Availability:
        return Availability(usable=True, reason="It is there.")

    async def deliver(self, text, to) -> Delivery:
        kind, position = self._desk.output_faults.popleft() if self._desk.output_faults else ("", -1)
        position = min(position, len(text))
        for done, character in enumerate(text):
            if done == position:
                break
            await asyncio.sleep(self._desk.key_s)
            if to.window is not None and self._desk.window.id != to.window.id:
                raise OutputError("Another window.", reason=OutputReason.REFUSED, delivered=done)
            if self.dead:
                await asyncio.Event().wait()
            self._desk.type(character)
        match kind:
            case "breaks":
                raise OutputError("It broke.", reason=OutputReason.REFUSED, delivered=position)
            case "unknown":
                raise OutputError("It broke somewhere.", reason=OutputReason.TIMEOUT, delivered=None)
            case "uncertain":
                return Delivery(self.name, Certainty.UNCERTAIN, position)
            case "hangs":
                await asyncio.Event().wait()
            case "bug":
                raise PlannedBugError("a programming error")
        return Delivery(self.name, Certainty.SENT, len(text), "editor")

    async def aclose(self) -> None:
        pass


class Clipboard(Output):
    """`TextOutput` that only remembers."""

    async def deliver(self, text, to) -> Delivery:
        if self._desk.clipboard_broken:
            raise OutputError("No clipboard.", reason=OutputReason.NO_DISPLAY)
        if not self.dead:
            self._desk.clipboard = text
        return Delivery("clipboard", Certainty.SENT, 0)


class Eraser(Mortal):
    """`Eraser` that sees what it removes."""

    name, looks = "eraser", True

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def probe(self, session) -> Availability:
        return Availability(usable=True, reason="It is there.")

    async def erase(self, text, to) -> Delivery:
        screen, fault = self._desk.screen, self._desk.eraser_fault
        self._desk.eraser_fault = None
        await asyncio.sleep(self._desk.key_s)
        if self.dead or "".join(screen[len(screen) - len(text) :]) != text:
            raise OutputError("Something else stands there.", reason=OutputReason.REFUSED, delivered=0)
        if fault is not None:
            del screen[len(screen) - min(fault, len(text)) :]
            raise OutputError("It broke off.", reason=OutputReason.TIMEOUT, delivered=None)
        del screen[len(screen) - len(text) :]
        return Delivery(self.name, Certainty.CONFIRMED, len(text))

    async def aclose(self) -> None:
        pass
