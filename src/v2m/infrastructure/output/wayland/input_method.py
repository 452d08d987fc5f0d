"""Commits whole texts through input-method-v2, as an input method for Chinese would.

Bound for one delivery only, because a seat has room for one input method and the user may have an own.
"""

from dataclasses import dataclass
from typing import Final

from v2m.domain.dictation import Certainty, Delivery
from v2m.domain.ports import Availability, Session
from v2m.infrastructure.output.failures import FOCUS_MOVED, NO_WAYLAND, broken, no_display, refused, secret_field
from v2m.infrastructure.output.wayland.connection import Connection, WaylandError
from v2m.infrastructure.output.wayland.toplevels import FocusWatch
from v2m.infrastructure.output.wayland.wire import Arguments, string, uints

MANAGER: Final = "zwp_input_method_manager_v2"
ACTIVE_WAIT_S: Final = 0.050  # applications that support it are announced within two roundtrips
RECEIPT_WAIT_S: Final = 0.100  # measured: GTK shows a committed text within 1…21 ms
# Measured: foot answers a commit with its new cursor place within 1 ms, and drops a text whose serial
# crosses such an answer: the next part, or the next dictation, has to wait for it.
SETTLE_S: Final = 0.020
QUIET_ROUNDTRIPS: Final = 10
COMMIT_BYTES: Final = 3900  # probed: 4,080 bytes of text pass, 4,096 end our connection
SECRET_PURPOSES: Final = {8, 9}  # password, PIN
CROSSED: Final = "The window was redrawn while the text arrived; some applications drop it then."


@dataclass(frozen=True, slots=True)
class FieldState:
    """What the application said about the focused field in one group of events."""

    active: bool = False
    before: str | None = None  # text before the cursor; None: the application shows none
    purpose: int = 0


class InputMethod:
    """One input method object; events take effect at `done`, whose count is the serial of a commit."""

    def __init__(self, connection: Connection) -> None:
        """Raises WaylandError when the compositor has no input methods."""
        self._connection = connection
        self.field = FieldState()
        self.unavailable = False
        self.left = False  # the field was left after it had been active
        self.crossed = False  # the application spoke while a commit was on its way
        self.groups = 0
        self._active = False
        self._before: str | None = None
        self._purpose = 0
        seat = connection.bind("wl_seat", 1)
        manager = connection.bind(MANAGER, 1)
        self._method = connection.create(self._event)
        connection.request(manager, 0, uints(seat, self._method))

    async def commit(self, text: str) -> None:
        """Commit at most `COMMIT_BYTES`; returns when the application has answered, or rather never will.

        Raises:
            WaylandError: the compositor did not take it.
        """
        groups = self.groups
        self._connection.request(self._method, 0, string(text))
        self._connection.request(self._method, 3, uints(groups))
        await self._connection.roundtrip()
        self.crossed = self.crossed or self.groups != groups
        await self._connection.until(lambda: self.groups != groups, SETTLE_S)

    async def wait_active(self) -> bool:
        """Return whether the focused field takes text, once the application is quiet. Raises WaylandError."""
        await self._connection.until(lambda: self.field.active or self.unavailable, ACTIVE_WAIT_S)
        for _ in range(QUIET_ROUNDTRIPS):
            groups = self.groups
            await self._connection.roundtrip()
            if groups == self.groups:
                break
        return self.field.active

    async def shows(self, text: str, earlier: FieldState) -> bool:
        """Return whether the application shows `text` before the cursor, and did not already do so."""
        return await self._connection.until(
            lambda: self.field != earlier and _ends_with(self.field.before, text), RECEIPT_WAIT_S
        )

    def _event(self, opcode: int, body: bytes) -> None:
        arguments = Arguments(body)
        match opcode:
            case 0:  # activate
                self._active, self._before, self._purpose = True, None, 0
            case 1:  # deactivate
                self._active = False
                self.left = self.left or self.field.active
            case 2:  # surrounding_text: text, cursor and anchor in bytes
                text = arguments.data()[:-1]
                self._before = text[: arguments.uint()].decode("utf-8", "replace")
            case 4:  # content_type: hint, purpose
                arguments.uint()
                self._purpose = arguments.uint()
            case 5:  # done
                self.groups += 1
                self.field = FieldState(self._active, self._before, self._purpose)
            case 6:
                self.unavailable = True
            case _:
                pass


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

    async def deliver(self, text: str, session: Session) -> Delivery:
        """Commit it in parts of 3,900 bytes, as long as the same field has the focus."""
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


def _ends_with(before: str | None, text: str) -> bool:
    """Tell whether the shown text ends with ours; applications show about 4,000 bytes, perhaps less."""
    if not before:
        return False
    return before.endswith(text) or (_ENOUGH <= len(before) < len(text) and text.endswith(before))


_ENOUGH: Final = 200  # so many characters of the end cannot stand there by chance
