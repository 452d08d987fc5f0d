"""Commits whole texts through input-method-v2, as an input method for Chinese would.

Bound for one delivery only, because a seat has room for one input method and the user may have an own.
"""

from typing import Final

from v2m.domain.delivery import Certainty, Delivery, Destination, Session
from v2m.domain.ports import Availability
from v2m.infrastructure._wayland.connection import Connection, WaylandError
from v2m.infrastructure._wayland.input_method import COMMIT_BYTES, MANAGER, SECRET_PURPOSES, InputMethod
from v2m.infrastructure._wayland.toplevels import FocusWatch
from v2m.infrastructure.output.failures import FOCUS_MOVED, NO_WAYLAND, broken, no_display, refused, secret_field

CROSSED: Final = "The window was redrawn while the text arrived; some applications drop it then."


class InputMethodOutput:
    """Whole texts into applications that take input methods; confirmed where they show their text."""

    name = "input-method"
    burst_limit: int | None = None

    async def probe(self, session: Session) -> Availability:
        """Say whether the compositor offers input methods; whether the field takes one shows at delivery."""
        if session.wayland is None:
            return NO_WAYLAND
        try:
            connection = await Connection.open(session.wayland)
        except WaylandError as error:
            return Availability(usable=False, reason=f"No input method: {error}.")
        offered = MANAGER in connection.globals
        connection.close()
        if not offered:
            return Availability(usable=False, reason=f"This compositor does not offer {MANAGER}.")
        return Availability(usable=True, reason="The compositor takes text from an input method.")

    async def deliver(self, text: str, to: Destination) -> Delivery:
        """Commit it in parts of 3,900 bytes, as long as the same field has the focus."""
        session = to.session
        if session.wayland is None:
            raise no_display("there is no Wayland compositor")
        try:
            connection = await Connection.open(session.wayland)
        except WaylandError as error:
            raise no_display(str(error)) from error
        try:
            return await self._deliver(text, connection)
        finally:
            connection.close()

    async def aclose(self) -> None:
        """Nothing stays open: the user's own input method may need the place."""

    async def _deliver(self, text: str, connection: Connection) -> Delivery:
        sent = 0
        try:
            focus, method = FocusWatch(connection), InputMethod(connection)
            await focus.start()
            await _wait_for_field(method)
            earlier = method.field
            for part in parts(text):
                if _lost(method, focus):
                    break
                sent += len(part)
                await method.commit(part)
            if sent == 0:
                raise refused("The window that had the focus lost it before anything was typed.")
            if sent == len(text) and earlier.before is not None and await method.shows(text, earlier):
                return Delivery(self.name, Certainty.CONFIRMED, sent, focus.app)
        except WaylandError as error:
            raise broken(str(error), delivered=None if sent else 0) from error
        if _lost(method, focus):
            return Delivery(self.name, Certainty.UNCERTAIN, sent, focus.app, FOCUS_MOVED)
        if method.crossed:
            return Delivery(self.name, Certainty.UNCERTAIN, sent, focus.app, CROSSED)
        return Delivery(self.name, Certainty.SENT, sent, focus.app)


def _lost(method: InputMethod, focus: FocusWatch) -> bool:
    """Tell whether the text would go elsewhere now; without a focus watch any change of the field counts."""
    return focus.moved or not method.field.active or (method.left and not focus.available)


async def _wait_for_field(method: InputMethod) -> None:
    if not await method.wait_active():
        if method.unavailable:
            raise refused("Another input method (fcitx5, ibus …) holds this session's only place for one.")
        raise refused("The focused window takes no text from input methods.")
    if method.field.purpose in SECRET_PURPOSES:
        raise secret_field()


def parts(text: str) -> list[str]:
    """Cut a text between code points so that each part has at most `COMMIT_BYTES` bytes."""
    cut: list[str] = []
    rest = text.encode()
    while rest:
        part = rest[:COMMIT_BYTES].decode("utf-8", "ignore")
        cut.append(part)
        rest = rest[len(part.encode()) :]
    return cut
