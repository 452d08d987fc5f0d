"""Takes a text back through input-method-v2: only where the application shows it right before the cursor."""

import time
from typing import Final

from v2m.domain.delivery import Certainty, Delivery, Destination, Session
from v2m.domain.ports import Availability
from v2m.infrastructure._wayland.connection import Connection, WaylandError
from v2m.infrastructure._wayland.input_method import InputMethod, offered, place_of, seated
from v2m.infrastructure._wayland.toplevels import FocusWatch
from v2m.infrastructure.output.failures import NO_WAYLAND, broken, no_display, refused, secret_field, unseen

BLIND: Final = "The focused window does not show its text to input methods."
ANSWER_S: Final = 0.5  # measured: GTK answers within 5 ms, Qt 60, Firefox 90
NEWS_S: Final = 0.015  # between two looks at a window that answers nobody
_WINDOW_BYTES: Final = 1000  # an application that shows so much may have cut the rest off (the protocol allows 4,000)


class InputMethodEraser:
    """Removes what it sees, and sees that it is gone."""

    name = "input-method"
    looks = True

    async def probe(self, session: Session) -> Availability:
        """Say whether the compositor offers input methods; what the application shows is seen at `erase`."""
        if session.wayland is None:
            return NO_WAYLAND
        reason = await offered(session.wayland)
        return Availability(usable=not reason, reason=reason or "The compositor lets an input method see the field.")

    async def erase(self, text: str, to: Destination) -> Delivery:
        """Remove it where the field ends with it at the cursor; CONFIRMED, SENT where nothing is left to be shown."""
        if to.session.wayland is None:
            raise no_display("there is no Wayland compositor")
        try:
            connection = await Connection.open(to.session.wayland)
        except WaylandError as error:
            raise no_display(str(error)) from error
        try:
            async with seated(connection) as method:
                erasure = _Erasure(connection, method, text)
                try:
                    return await erasure.run(self.name, to)
                except WaylandError as error:
                    raise broken(str(error), delivered=None if erasure.begun else 0) from error
        except WaylandError as error:
            raise no_display(str(error)) from error
        finally:
            connection.close()

    async def aclose(self) -> None:
        """Nothing stays open: the user's own input method may need the place."""


class _Erasure:
    """One text being removed from one field."""

    def __init__(self, connection: Connection, method: InputMethod, text: str) -> None:
        self._connection = connection
        self._text = text
        self._focus = FocusWatch(connection)
        self._method = method
        self._certainty = Certainty.CONFIRMED
        self.begun = False

    async def run(self, name: str, to: Destination) -> Delivery:
        """Look, then remove. Raises OutputError as `Eraser.erase` does, WaylandError."""
        await self._focus.start(to)
        before = await self._look()
        if self._focus.moved:
            raise refused("Another window has the focus.")
        await self._remove(before)
        return Delivery(name, self._certainty, len(self._text), self._focus.app)

    async def _look(self) -> str:
        """Return what stands before the cursor, the text at its end. Raises OutputError, with nothing removed."""
        if not await self._method.wait_active():
            if self._method.unavailable:
                raise unseen("Another input method (fcitx5, ibus …) holds this session's only place for one.")
            raise unseen(BLIND)
        field = self._method.field
        if field.secret:
            raise secret_field()
        if field.before is None:
            raise unseen(BLIND)
        if field.selected:
            raise refused("Text is selected in the window, so the cursor is no longer behind the dictation.")
        if field.before.endswith(self._text):
            return field.before
        cut = "\n" in self._text or len(field.before.encode()) >= _WINDOW_BYTES
        if cut and self._text.endswith(field.before.lstrip("\ufffd")):
            raise unseen("The focused window shows only a part of the dictation.")
        raise refused("Something else stands before the cursor than what was dictated.")

    async def _remove(self, before: str) -> None:
        """Remove it; a window that counts in characters instead of bytes is found out with the end of it."""
        kept, rest, in_bytes = before[: -len(self._text)], self._text, True
        if probe := _last_beyond_ascii(rest):
            size = len(probe.encode())
            if size > len(rest):
                raise unseen("The text is too short to find out how the window counts its characters.")
            ends = (before[: -len(probe)], before[:-size])  # by bytes, by characters
            in_bytes = await self._delete(size, ends) == 0
            rest = rest[: -len(probe) if in_bytes else -size]
        if rest:
            await self._delete(len(rest.encode()) if in_bytes else len(rest), (kept,))

    async def _delete(self, size: int, ends: tuple[str, ...]) -> int:
        """Have so much removed; return which of these ends stands before the cursor then."""
        shown = self._method.field
        if not shown.active or self._focus.moved:
            raise broken("another window got the focus", delivered=None if self.begun else 0)
        self.begun = True
        await self._method.delete(size, 0)
        until = time.monotonic() + ANSWER_S
        while time.monotonic() < until:
            field = self._method.field
            if field.active and field.before != shown.before:
                for number, end in enumerate(ends):
                    if _ends_alike(field.before or "", end):
                        self._certainty = Certainty.SENT if field.before is None else self._certainty
                        return number
            await self._look_again()
        raise broken("the window does not show that the text is gone", delivered=None)

    async def _look_again(self) -> None:
        """Wait for news, then be a new input method: Qt and Firefox tell only a new one what they hold."""
        groups = self._method.groups
        if not await self._connection.until(lambda: self._method.groups != groups, NEWS_S):
            await self._method.leave()
            self._method = place_of(self._connection.path).renew(self._connection)
            await self._method.wait_active()


def _last_beyond_ascii(text: str) -> str:
    """Return the end of the text from its last character that takes several bytes; empty when all are ASCII."""
    at = max((index for index, character in enumerate(text) if not character.isascii()), default=len(text))
    return text[at:]


def _ends_alike(left: str, wanted: str) -> bool:
    """Tell whether the field now ends as wanted; it may show more of what stands further ahead than before."""
    return left.endswith(wanted) if wanted else not left
