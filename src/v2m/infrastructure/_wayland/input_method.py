"""An input method object of one connection: what the focused field says about itself, and texts committed into it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final
from weakref import WeakKeyDictionary

from v2m.infrastructure._wayland.connection import Connection, WaylandError
from v2m.infrastructure._wayland.wire import Arguments, string, uints

MANAGER: Final = "zwp_input_method_manager_v2"
ACTIVE_WAIT_S: Final = 0.050  # applications that support it are announced within two roundtrips
RECEIPT_WAIT_S: Final = 0.250  # measured: GTK shows a committed text within 1…21 ms, a busy Firefox within 120
ASK_S: Final = 0.002  # measured: Firefox has changed its field 1…5 ms after its answer
# Measured: foot answers a commit with its new cursor place within 1 ms, and drops a text whose serial
# crosses such an answer: the next part, or the next dictation, has to wait for it.
SETTLE_S: Final = 0.020
QUIET_ROUNDTRIPS: Final = 10
PLACE_S: Final = 1.0  # a look at a field takes 25 ms, a preview gives way before anything is typed
COMMIT_BYTES: Final = 3900  # probed: 4,080 bytes of text pass, 4,096 end our connection
_SECRET_PURPOSES: Final = {8, 9}  # password, PIN
_TERMINAL_PURPOSE: Final = 13
_SECRET_HINTS: Final = 0x40 | 0x80  # hidden text, sensitive data
_DOTS: Final = {"●", "•"}  # what password fields show; those of Firefox do not say what they are
_LEAST_DOTS: Final = 4  # a list may begin with one
# Applications show at most 4,000 bytes around the cursor; GTK then takes half of them from before it. What is
# shorter than that and is not all we expect has been changed by the application.
_LEAST_WINDOW_BYTES: Final = 1900


@dataclass(frozen=True, slots=True)
class FieldState:
    """What the application said about the focused field in one group of events."""

    active: bool = False
    before: str | None = None  # text before the cursor or the selection; None: the application shows none
    selected: str = ""  # what a commit replaces
    after: str = ""
    purpose: int = 0
    hint: int = 0

    @property
    def secret(self) -> bool:
        """Whether the field asks for something that may be kept nowhere."""
        shown = (self.before or "") + self.selected + self.after
        dotted = len(shown) >= _LEAST_DOTS and set(shown) <= _DOTS
        return self.purpose in _SECRET_PURPOSES or bool(self.hint & _SECRET_HINTS) or dotted

    @property
    def terminal(self) -> bool:
        """Whether it is a terminal's."""
        return self.purpose == _TERMINAL_PURPOSE

    def masked(self, earlier: "FieldState") -> bool:
        """Return whether the field shows dots for what was committed since: a password field that does not say so."""
        shown = (self.before or "") + self.after
        return self != earlier and bool(shown) and set(shown) <= _DOTS and not set(earlier.before or "") - _DOTS

    def lags(self, earlier: "FieldState") -> bool:
        """Return whether all that it shows before the cursor was there earlier, perhaps at another place."""
        return (self.before or "") in (earlier.before or "") + earlier.selected + earlier.after

    def shows(self, text: str, earlier: "FieldState") -> bool:
        """Return whether the field now has exactly `text` where the cursor was `earlier`, as far as it shows itself."""
        if self.before is None or earlier.before is None or self.selected or self == earlier:
            return False
        expected = earlier.before + text
        if self.before == expected:
            return True
        shown = self.before.lstrip("\ufffd")  # the window may begin inside a character
        cut = len(shown.encode()) >= _LEAST_WINDOW_BYTES and len(text) <= len(shown) < len(expected)
        return cut and expected.endswith(shown)


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
        self._surrounding: tuple[str | None, str, str] = (None, "", "")
        self._content = (0, 0)
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
        await self._apply(groups)
        self.crossed = self.crossed or self.groups != groups
        await self.spoke(groups)

    async def delete(self, before_bytes: int, after_bytes: int) -> None:
        """Remove so many UTF-8 bytes around the cursor; returns as `commit` does. Raises WaylandError."""
        groups = self.groups
        self._connection.request(self._method, 2, uints(before_bytes, after_bytes))
        await self._apply(groups)
        await self.spoke(groups)

    async def preedit(self, text: str) -> None:
        """Show at most `COMMIT_BYTES` as not yet committed, or nothing when empty. Raises WaylandError."""
        end = len(text.encode())
        self._connection.request(self._method, 1, string(text) + uints(end, end))
        await self._apply(self.groups)

    async def spoke(self, groups: int) -> bool:
        """Return whether the application says more than these groups before it is quiet. Raises WaylandError."""
        return await self._connection.until(lambda: self.groups != groups, SETTLE_S)

    async def leave(self) -> None:
        """Give the seat's place back; returns when the compositor has done it. Raises WaylandError."""
        self._connection.request(self._method, 6)
        await self._connection.roundtrip()

    async def wait_told(self, timeout_s: float) -> None:
        """Return once it is known whether a field is there, or in time. Raises WaylandError."""
        await self._connection.until(lambda: self.field.active or self.unavailable, timeout_s)

    async def wait_active(self) -> bool:
        """Return whether the focused field takes text, once the application is quiet. Raises WaylandError."""
        await self.wait_told(ACTIVE_WAIT_S)
        for _ in range(QUIET_ROUNDTRIPS):
            groups = self.groups
            await self._connection.roundtrip()
            if groups == self.groups:
                break
        return self.field.active

    async def shows(self, text: str, earlier: FieldState) -> bool:
        """Return whether the application comes to show `text` where the cursor was. Raises WaylandError.

        Firefox answers a commit with what stood there before it, and shows the change only when it is asked again;
        committing nothing asks.
        """
        loop = asyncio.get_running_loop()
        deadline, pause_s = loop.time() + RECEIPT_WAIT_S, ASK_S
        while not await self._connection.until(lambda: self.field.shows(text, earlier), pause_s):
            if loop.time() > deadline:
                return False
            if self.field.masked(earlier):
                return False
            if self.field.lags(earlier):
                await self._ask()
                pause_s *= 2
        return True

    async def wait_in_step(self) -> None:
        """Return once an application that shows its text has answered, so that a commit does not cross its words.

        Asked at the end of a line only: in overwrite mode GTK removes the next character even for an empty text.
        """
        if self.field.before is not None and not self.field.after:
            groups = self.groups
            await self._ask()
            await self._connection.until(lambda: self.groups != groups, SETTLE_S)

    async def _ask(self) -> None:
        self._connection.request(self._method, 0, string(""))
        await self._apply(self.groups)

    async def _apply(self, serial: int) -> None:
        self._connection.request(self._method, 3, uints(serial))
        await self._connection.roundtrip()

    def _event(self, opcode: int, body: bytes) -> None:
        arguments = Arguments(body)
        match opcode:
            case 0:  # activate
                self._active, self._content = True, (0, 0)
                self._surrounding = (None, "", "")
            case 1:  # deactivate
                self._active = False
                self.left = self.left or self.field.active
            case 2:  # surrounding_text: text, cursor and anchor in bytes
                text = arguments.data()[:-1]
                first, last = sorted((arguments.uint(), arguments.uint()))
                before, selected, after = (
                    part.decode("utf-8", "replace") for part in (text[:first], text[first:last], text[last:])
                )
                self._surrounding = (before, selected, after)
            case 4:  # content_type: hint, purpose
                self._content = (arguments.uint(), arguments.uint())
            case 5:  # done
                self.groups += 1
                hint, purpose = self._content
                self.field = FieldState(self._active, *self._surrounding, purpose, hint)
            case 6:
                self.unavailable = True
            case _:
                pass


class Place:
    """A seat's only place for an input method, among the parts of this process: who takes a held one gets none."""

    def __init__(self) -> None:
        self.method: InputMethod | None = None  # who has it now; also the others may look through it
        self._lock = asyncio.Lock()

    async def take(self, connection: Connection, *, timeout_s: float = PLACE_S) -> InputMethod:
        """Become the input method, once nobody else of this process is; whoever takes it has to `drop` it.

        Raises:
            WaylandError: another part keeps it, or the compositor has no input methods.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._lock.acquire()
        except TimeoutError as error:
            raise WaylandError("the place for an input method is in use") from error
        try:
            return self.renew(connection)
        except BaseException:
            self.drop()
            raise

    def renew(self, connection: Connection) -> InputMethod:
        """Be a new input method, for the holder that has left with its old one. Raises WaylandError."""
        self.method = InputMethod(connection)
        return self.method

    async def leave(self) -> None:
        """Give the place back; returns when the compositor has done it, or is gone. For the holder only."""
        method, self.method = self.method, None
        try:
            if method is not None:
                with suppress(WaylandError):
                    await method.leave()
        finally:
            self.drop()

    def drop(self) -> None:
        """Let go of it without telling the compositor, which hears it when the connection ends."""
        self.method = None
        self._lock.release()


_places: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Place]] = WeakKeyDictionary()


def place_of(path: str) -> Place:
    """Return the place of the compositor at this socket; the same for everybody on this loop."""
    return _places.setdefault(asyncio.get_running_loop(), {}).setdefault(path, Place())


@asynccontextmanager
async def seated(connection: Connection, *, timeout_s: float = PLACE_S) -> AsyncIterator[InputMethod]:
    """Be the input method of this connection's compositor meanwhile. Raises WaylandError as `Place.take`."""
    place = place_of(connection.path)
    method = await place.take(connection, timeout_s=timeout_s)
    try:
        yield method
    finally:
        await place.leave()


async def offered(path: str) -> str:
    """Return why no input method can be had from this compositor, as a sentence; empty when one can."""
    try:
        connection = await Connection.open(path)
    except WaylandError as error:
        return f"No input method: {error}."
    connection.close()
    return "" if MANAGER in connection.globals else f"This compositor does not offer {MANAGER}."
