"""The last resort: the text on the clipboard, where the user can paste it; served while the daemon lives."""

import asyncio

from v2m.domain.delivery import Certainty, Delivery, Destination, Session
from v2m.domain.ports import AtBest, Availability
from v2m.infrastructure._wayland.connection import Connection, WaylandError
from v2m.infrastructure._x11.display import X11Error, close_display, open_display
from v2m.infrastructure.output.failures import no_display
from v2m.infrastructure.output.wayland.data_control import CLIPBOARD, DataControl, offered, text_contents
from v2m.infrastructure.output.x11.selection import X11Selection


class ClipboardOutput:
    """The clipboard of the compositor, else that of the X display. Types nothing."""

    name = "clipboard"
    at_best = AtBest()

    def __init__(self) -> None:
        self._wayland: Connection | None = None
        self._x11: X11Selection | None = None

    async def probe(self, session: Session) -> Availability:
        """Say whether a clipboard can be reached; connects, changes nothing."""
        reasons: list[str] = []
        if session.wayland is not None:
            try:
                connection = await Connection.open(session.wayland)
            except WaylandError as error:
                reasons.append(str(error))
            else:
                found = offered(connection)
                connection.close()
                if found:
                    return Availability(usable=True, reason="The compositor takes texts for the clipboard.")
                reasons.append("this compositor lets no other program reach its clipboard")
        if session.x11 is not None:
            try:
                await close_display(await open_display(session))
            except X11Error as error:
                reasons.append(str(error))
            else:
                return Availability(usable=True, reason="The X server takes texts for the clipboard.")
        reasons = reasons or ["there is neither a Wayland compositor nor an X display"]
        return Availability(usable=False, reason=f"No clipboard: {', and '.join(reasons)}.")

    async def deliver(self, text: str, to: Destination) -> Delivery:
        """Put it on the clipboard, marked so that clipboard managers do not record it; 0 characters are typed."""
        session = to.session
        reason = "there is neither a Wayland compositor nor an X display"
        if session.wayland is not None:
            try:
                await self._copy_wayland(text, session.wayland)
            except WaylandError as error:
                reason = str(error)
            else:
                return Delivery(self.name, Certainty.HELD, 0, copied=True)
        if session.x11 is not None:
            try:
                await self._copy_x11(text, session)
            except X11Error as error:
                reason = str(error)
            else:
                return Delivery(self.name, Certainty.HELD, 0, copied=True)
        raise no_display(reason)

    async def aclose(self) -> None:
        """Give the clipboard up."""
        if self._wayland is not None:
            self._wayland.close()
        if self._x11 is not None:
            await asyncio.to_thread(self._x11.close)
        self._wayland = self._x11 = None

    async def _copy_wayland(self, text: str, path: str) -> None:
        connection = await Connection.open(path)
        try:
            DataControl(connection).own(CLIPBOARD, text_contents(text, secret=True))
            await connection.roundtrip()
        except BaseException:
            connection.close()
            raise
        await self.aclose()
        self._wayland = connection

    async def _copy_x11(self, text: str, session: Session) -> None:
        selection = await asyncio.to_thread(X11Selection.open, session, text)
        await self.aclose()
        self._x11 = selection
