"""An input method object of one connection: what the focused field says about itself, and texts committed into it."""

from dataclasses import dataclass
from typing import Final

from v2m.infrastructure._wayland.connection import Connection
from v2m.infrastructure._wayland.wire import Arguments, string, uints

MANAGER: Final = "zwp_input_method_manager_v2"
ACTIVE_WAIT_S: Final = 0.050  # applications that support it are announced within two roundtrips
RECEIPT_WAIT_S: Final = 0.100  # measured: GTK shows a committed text within 1…21 ms
# Measured: foot answers a commit with its new cursor place within 1 ms, and drops a text whose serial
# crosses such an answer: the next part, or the next dictation, has to wait for it.
SETTLE_S: Final = 0.020
QUIET_ROUNDTRIPS: Final = 10
COMMIT_BYTES: Final = 3900  # probed: 4,080 bytes of text pass, 4,096 end our connection
SECRET_PURPOSES: Final = {8, 9}  # password, PIN
_ENOUGH: Final = 200  # so many characters of the end cannot stand there by chance


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


def _ends_with(before: str | None, text: str) -> bool:
    """Tell whether the shown text ends with ours; applications show about 4,000 bytes, perhaps less."""
    if not before:
        return False
    return before.endswith(text) or (_ENOUGH <= len(before) < len(text) and text.endswith(before))
