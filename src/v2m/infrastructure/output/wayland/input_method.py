"""Commits whole texts through input-method-v2, as an input method for Chinese would.

Bound for one delivery only, because a seat has room for one input method and the user may have an own.
"""

from typing import Final

from v2m.domain.delivery import Certainty, Delivery, Destination, Session
from v2m.domain.ports import AtBest, Availability
from v2m.infrastructure._wayland.backlog import UNREAD_LIMIT_BYTES, Backlog
from v2m.infrastructure._wayland.connection import Connection, WaylandError
from v2m.infrastructure._wayland.input_method import COMMIT_BYTES, InputMethod, offered, seated
from v2m.infrastructure._wayland.toplevels import FocusWatch
from v2m.infrastructure.output.failures import (
    FOCUS_MOVED,
    MOVED_BEFORE,
    NO_WAYLAND,
    NOT_READING,
    broken,
    no_display,
    refused,
    secret_field,
)

# Measured: foot redraws while it prints the first part, and drops a part that crosses its word about that: of texts of
# 20,000 characters one in four had a hole, and nothing told it.
TOO_LONG_FOR_A_TERMINAL: Final = "A terminal does not show its text, so that so long a one cannot be checked."
CROSSED: Final = "The window was redrawn while the text arrived; some applications drop it then."
STALLED_S: Final = 1.0  # an application that reads nothing for so long hangs


class InputMethodOutput:
    """Whole texts into applications that take input methods; confirmed where they show their text."""

    name = "input-method"
    at_best = AtBest()

    async def probe(self, session: Session) -> Availability:
        """Say whether the compositor offers input methods; whether the field takes one shows at delivery."""
        if session.wayland is None:
            return NO_WAYLAND
        reason = await offered(session.wayland)
        return Availability(usable=not reason, reason=reason or "The compositor takes text from an input method.")

    async def deliver(self, text: str, to: Destination) -> Delivery:
        """Commit it in parts of 3,900 bytes, as long as the same field has the focus and the application reads."""
        session = to.session
        if session.wayland is None:
            raise no_display("there is no Wayland compositor")
        try:
            connection = await Connection.open(session.wayland)
        except WaylandError as error:
            raise no_display(str(error)) from error
        try:
            return await _Committing(connection, text).run(to)
        finally:
            connection.close()

    async def aclose(self) -> None:
        """Nothing stays open: the user's own input method may need the place."""


class _Committing:
    """One text on its way through one connection."""

    def __init__(self, connection: Connection, text: str) -> None:
        self._connection = connection
        self._parts = parts(text)
        self._sent = 0  # characters
        self._shown = True  # the application showed every part that went

    async def run(self, to: Destination) -> Delivery:
        backlog = Backlog(self._connection.path) if len(self._parts) > 1 else None
        try:
            async with seated(self._connection) as method:
                focus = FocusWatch(self._connection)
                await focus.start(to)
                await _wait_for_field(method)
                detail = await self._commit(focus, method, backlog)
        except WaylandError as error:
            raise broken(str(error), delivered=None if self._sent else 0) from error
        finally:
            if backlog is not None:
                backlog.close()
        if self._sent == 0:
            raise refused(MOVED_BEFORE)
        certainty = Certainty.SENT
        if self._shown and not detail:
            certainty = Certainty.CONFIRMED
        elif detail or _lost(method, focus) or method.crossed:
            certainty = Certainty.UNCERTAIN
            detail = detail or (FOCUS_MOVED if _lost(method, focus) else CROSSED)
        return Delivery(InputMethodOutput.name, certainty, self._sent, focus.app, detail)

    async def _commit(self, focus: FocusWatch, method: InputMethod, backlog: Backlog | None) -> str:
        """Commit part by part; return why it stopped before the end, empty when it did not."""
        if len(self._parts) > 1 and method.field.terminal and method.field.before is None:
            raise refused(TOO_LONG_FOR_A_TERMINAL)
        for part in self._parts:
            if _lost(method, focus) or (self._sent and method.field.secret):
                return FOCUS_MOVED
            if method.field.secret:
                raise secret_field()
            if backlog is not None and not await backlog.below(UNREAD_LIMIT_BYTES, stalled_s=STALLED_S):
                return NOT_READING
            earlier = method.field
            self._sent += len(part)
            await method.commit(part)
            shown = self._shown and earlier.before is not None and await method.shows(part, earlier)
            if method.field.masked(earlier) and set(part) - set(method.field.before or ""):
                raise secret_field(delivered=self._sent)
            self._shown = shown
        return ""


def _lost(method: InputMethod, focus: FocusWatch) -> bool:
    """Tell whether the text would go elsewhere now; without a focus watch any change of the field counts."""
    return focus.moved or not method.field.active or (method.left and not focus.available)


async def _wait_for_field(method: InputMethod) -> None:
    active = await method.wait_active()
    if active and not method.field.secret:
        await method.wait_in_step()
    if not active:
        if method.unavailable:
            raise refused("Another input method (fcitx5, ibus …) holds this session's only place for one.")
        raise refused("The focused window takes no text from input methods.")


def parts(text: str) -> list[str]:
    """Cut a text between code points so that each part has at most `COMMIT_BYTES` bytes."""
    cut: list[str] = []
    rest = text.encode()
    while rest:
        part = rest[:COMMIT_BYTES].decode("utf-8", "ignore")
        cut.append(part)
        rest = rest[len(part.encode()) :]
    return cut
