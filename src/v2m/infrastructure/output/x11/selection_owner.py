"""Owning X11 selections as the ICCCM wants it: what is offered, since when, and large data piece by piece."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from v2m.infrastructure._x11.display import X11Error

if TYPE_CHECKING:
    from Xlib.display import Display

TRANSFER_S: Final = 5.0  # a requestor that does not go on for so long hangs
PIECE_BYTES: Final = 1 << 17  # a request has at most 256 KiB
_MOST_TRANSFERS: Final = 64
_MOST_PAIRS: Final = 256  # of one MULTIPLE request
_STAMP_S: Final = 1.0

OWN_TARGETS: Final = ("TARGETS", "TIMESTAMP", "MULTIPLE")


@dataclass(frozen=True, slots=True)
class Value:
    """A selection in one form."""

    kind: int  # atom of its type
    format: int  # 8, 16 or 32 bits
    data: bytes


Contents = Mapping[int, Value]  # by the target's atom


@dataclass(slots=True)
class _Held:
    contents: Contents
    since: int  # server time


@dataclass(slots=True)
class _Transfer:
    """Data on its way to a requestor that takes one piece after the other."""

    requestor: Any
    place: int
    value: Value
    finished: Callable[[], None]
    deadline: float
    sent_bytes: int = 0


class SelectionOwner:
    """The selections that one window of ours owns. Blocks: it belongs to the thread that reads the events."""

    def __init__(self, display: "Display", pump: Callable[[Callable[[], bool], float], bool]) -> None:
        """`pump(until, timeout_s)` handles events until a condition holds."""
        from Xlib import X

        self.display = display
        self.window: Any = display.screen().root.create_window(
            0, 0, 1, 1, 0, 0, window_class=X.InputOnly, event_mask=X.PropertyChangeMask
        )
        self.on_taken: Callable[[int, int], None] = lambda _requestor, _target: None  # who has got which target
        self._pump = pump
        self._held: dict[int, _Held] = {}
        self._transfers: dict[tuple[int, int], _Transfer] = {}
        self._stamp = self.atom("_V2M_STAMP")
        self._stamps: list[int] = []  # answers to `now`
        self._incr = self.atom("INCR")
        self._targets, self._timestamp, self._multiple = map(self.atom, OWN_TARGETS)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is owned any more and nothing is on its way."""
        return not self._held and not self._transfers

    def atom(self, name: str) -> int:
        """Return the server's number for a name."""
        return int(self.display.intern_atom(name))

    def contents(self, selection: int) -> Contents | None:
        """Return what we have on a selection, None when it is not ours."""
        held = self._held.get(selection)
        return held.contents if held else None

    def now(self) -> int:
        """Return the server's time; every event up to then has been handled. Raises X11Error."""
        from Xlib import X, Xatom

        self._stamps.clear()
        self.window.change_property(self._stamp, Xatom.STRING, 8, b"", X.PropModeAppend)
        if not self._pump(lambda: bool(self._stamps), _STAMP_S):
            raise X11Error("the X display does not answer")
        return self._stamps[-1]

    def own(self, selection: int, contents: Contents) -> None:
        """Put this on a selection, whoever has it. Raises X11Error."""
        at = self.now()
        self.window.set_selection_owner(selection, at)
        owner = self.display.get_selection_owner(selection)
        if getattr(owner, "id", owner) != self.window.id:
            raise X11Error("the X server did not give us the clipboard")
        self._held[selection] = _Held(contents, at)

    def replace(self, selection: int, contents: Contents) -> None:
        """Put this on a selection, or empty it, if it is still ours.

        The server ignores a claim that is older than the present owner's: whoever copies meanwhile wins.
        """
        at = self.now()
        if selection not in self._held:
            return
        if contents:
            self.window.set_selection_owner(selection, at)
            self._held[selection] = _Held(contents, at)
        else:
            self._disown(selection, at)

    def handle(self, event: Any) -> None:  # noqa: ANN401 - python-xlib has no types
        """Take an event, of this window or of a requestor."""
        from Xlib import X

        if event.type == X.SelectionRequest:
            self._answer(event)
        elif event.type == X.SelectionClear:
            self._held.pop(event.atom, None)
        elif event.type == X.DestroyNotify:
            for key in [key for key in self._transfers if key[0] == event.window.id]:
                del self._transfers[key]
        elif event.type == X.PropertyNotify:
            if event.window.id == self.window.id and event.atom == self._stamp:
                self._stamps.append(event.time)
            elif event.state == X.PropertyDelete:
                self._go_on((event.window.id, event.atom))

    def expire(self) -> float | None:
        """Give up requestors that hang; return the seconds until the next one would be."""
        now = time.monotonic()
        for key in [key for key, transfer in self._transfers.items() if transfer.deadline <= now]:
            self._end(key)
        return min((transfer.deadline - now for transfer in self._transfers.values()), default=None)

    def _disown(self, selection: int, at: int) -> None:
        from Xlib import X
        from Xlib.protocol import request

        request.SetSelectionOwner(display=self.display.display, window=X.NONE, selection=selection, time=at)
        self._held.pop(selection, None)
        self.display.sync()

    def _answer(self, request: Any) -> None:  # noqa: ANN401 - python-xlib has no types
        from Xlib import X
        from Xlib.protocol import event

        place = request.property or request.target  # requestors of old name no property
        held = self._held.get(request.selection)
        current = held is not None and (request.time == X.CurrentTime or not _earlier(request.time, held.since))
        if held is None or not current:
            done = False
        elif request.target == self._multiple:
            done = bool(request.property) and self._put_multiple(request.requestor, place, held)
        else:
            done = self._put(request.requestor, place, request.target, held)
        notice = event.SelectionNotify(
            time=request.time,
            requestor=request.requestor,
            selection=request.selection,
            target=request.target,
            property=place if done else X.NONE,
        )
        request.requestor.send_event(notice, onerror=_gone)
        self.display.flush()

    def _put_multiple(self, requestor: Any, place: int, held: _Held) -> bool:  # noqa: ANN401 - python-xlib has no types
        from Xlib import X, error

        try:
            asked = requestor.get_property(place, X.AnyPropertyType, 0, 2 * _MOST_PAIRS)
        except error.XError:  # it has gone meanwhile
            return False
        if asked is None or asked.format != 32 or asked.bytes_after:
            return False
        pairs = list(asked.value)
        for at in range(0, len(pairs) - 1, 2):
            target, property_ = pairs[at : at + 2]
            if target == self._multiple or not self._put(requestor, property_, target, held):
                pairs[at + 1] = X.NONE
        requestor.change_property(place, self.atom("ATOM_PAIR"), 32, pairs, onerror=_gone)
        return True

    def _put(self, requestor: Any, place: int, target: int, held: _Held) -> bool:  # noqa: ANN401 - python-xlib has no types
        """Write one target to the requestor's property, or begin to; False when there is no such target."""
        from Xlib import Xatom

        if target == self._targets:
            names = [self._targets, self._timestamp, self._multiple, *held.contents]
            requestor.change_property(place, Xatom.ATOM, 32, names, onerror=_gone)
        elif target == self._timestamp:
            requestor.change_property(place, Xatom.INTEGER, 32, [held.since], onerror=_gone)
        elif target not in held.contents:
            return False
        else:
            value = held.contents[target]
            if len(value.data) > PIECE_BYTES:
                return self._begin(requestor, place, target, value)
            requestor.change_property(place, value.kind, value.format, value.data, onerror=_gone)
            self.on_taken(requestor.id, target)
        return True

    def _begin(self, requestor: Any, place: int, target: int, value: Value) -> bool:  # noqa: ANN401 - python-xlib has no types
        from Xlib import X

        if len(self._transfers) >= _MOST_TRANSFERS:
            return False
        requestor.change_attributes(event_mask=X.PropertyChangeMask | X.StructureNotifyMask, onerror=_gone)
        requestor.change_property(place, self._incr, 32, [len(value.data)], onerror=_gone)
        self._transfers[requestor.id, place] = _Transfer(
            requestor, place, value, lambda: self.on_taken(requestor.id, target), time.monotonic() + TRANSFER_S
        )
        return True

    def _go_on(self, key: tuple[int, int]) -> None:
        """The requestor has taken a piece: write the next; the last is empty."""
        transfer = self._transfers.get(key)
        if transfer is None:
            return
        value, start = transfer.value, transfer.sent_bytes
        piece = value.data[start : start + PIECE_BYTES]
        transfer.requestor.change_property(transfer.place, value.kind, value.format, piece, onerror=_gone)
        transfer.sent_bytes += len(piece)
        transfer.deadline = time.monotonic() + TRANSFER_S
        self.display.flush()
        if not piece:
            transfer.finished()
            self._end(key)

    def _end(self, key: tuple[int, int]) -> None:
        requestor = self._transfers.pop(key).requestor
        if not any(window == requestor.id for window, _ in self._transfers):
            requestor.change_attributes(event_mask=0, onerror=_gone)
            self.display.flush()


def _earlier(time_a: int, time_b: int) -> bool:
    """Compare two server times, which begin anew every 49 days."""
    return 0 < (time_b - time_a) % (1 << 32) < 1 << 31


def _gone(_error: object, _request: object) -> int:
    """Take the server's error: the requestor has gone meanwhile."""
    return 1
