"""Reading all that somebody else has on an X11 selection, also large data that comes piece by piece."""

import time
from collections.abc import Callable
from typing import Any, Final

from v2m.infrastructure.output.pasting import MAX_TYPES, SAVE_BYTES, SAVE_S
from v2m.infrastructure.output.x11.selection_owner import OWN_TARGETS, SelectionOwner, Value

_WORDS: Final = 1 << 14  # of four bytes: what one answer carries
_PLACES: Final = 8  # an owner that was given up may still write to an older one
# Not data: these make the owner do something, or name things that end with it.
_NO_DATA: Final = (
    *OWN_TARGETS, "SAVE_TARGETS", "DELETE", "INSERT_SELECTION", "INSERT_PROPERTY", "PIXMAP", "BITMAP", "DRAWABLE",
    "COLORMAP", "FOREGROUND", "BACKGROUND", "FONT", "WINDOW", "CLIENT_WINDOW", "PROCESS", "TASK",
)  # fmt: skip


class _UnansweredError(Exception):
    """The owner does not answer, or has too much."""


class SelectionReader:
    """Reads selections with the window of a `SelectionOwner`. Blocks: it belongs to the thread of that one."""

    def __init__(self, owner: SelectionOwner, pump: Callable[[Callable[[], bool], float], bool]) -> None:
        self._owner = owner
        self._window: Any = owner.window
        self._pump = pump
        self._places = [owner.atom(f"_V2M_SAVED_{number}") for number in range(_PLACES)]
        self._incr = owner.atom("INCR")
        self._no_data = {owner.atom(name) for name in _NO_DATA}
        self._place = 0
        self._asked = (0, 0)  # target and time
        self._answers: list[int] = []  # the property of the answer
        self._pieces = 0  # that came and were not read yet
        self._deadline = 0.0
        self._left_bytes = 0

    def begin(self) -> None:
        """Start the deadline and the allowance that several selections share."""
        self._deadline, self._left_bytes = time.monotonic() + SAVE_S, SAVE_BYTES

    def read(self, selection: int) -> dict[int, Value] | None:
        """Return it in every form; None: not all of it came in time or fits. Raises X11Error."""
        if not self._owner.display.get_selection_owner(selection):
            return {}
        self._place = self._places[0]
        self._places.append(self._places.pop(0))
        at = self._owner.now()
        try:
            listed = self._convert(selection, self._owner.atom("TARGETS"), at)
            if listed is None or listed.format != 32:
                return None
            words = memoryview(listed.data).cast("I")
            targets = [target for target in dict.fromkeys(words) if target not in self._no_data]
            if len(targets) > MAX_TYPES:
                return None
            # One after the other: owners keep one transfer for each requestor.
            found = {target: self._convert(selection, target, at) for target in targets}
        except _UnansweredError:
            return None
        return {target: value for target, value in found.items() if value is not None}

    def handle(self, event: Any) -> None:  # noqa: ANN401 - python-xlib has no types
        """Take an event of the owner's window."""
        from Xlib import X

        if event.type == X.SelectionNotify:
            if (event.target, event.time) == self._asked:
                self._answers.append(event.property)
                self._pieces = 0
        elif event.type == X.PropertyNotify and event.window.id == self._window.id and event.atom == self._place:
            self._pieces += event.state == X.PropertyNewValue

    def _convert(self, selection: int, target: int, at: int) -> Value | None:
        """Return one form, None when the owner has no such form. Raises _UnansweredError."""
        self._asked = target, at
        self._answers.clear()
        self._window.delete_property(self._place)
        self._window.convert_selection(selection, target, self._place, at)
        self._wait(lambda: bool(self._answers))
        if not self._answers[0]:
            return None
        value = self._take()
        return self._gather() if value is not None and value.kind == self._incr else value

    def _gather(self) -> Value | None:
        """Return what comes piece by piece; the last piece is empty."""
        pieces: list[Value] = []
        while not pieces or pieces[-1].data:
            self._wait(lambda: self._pieces > 0)
            self._pieces -= 1
            piece = self._take()
            if piece is not None:
                pieces.append(piece)
        first = pieces[0]
        return Value(first.kind, first.format, b"".join(piece.data for piece in pieces))

    def _take(self) -> Value | None:
        """Read the property and delete it."""
        from Xlib import X

        parts: list[bytes] = []
        while True:
            answer = self._window.get_property(self._place, X.AnyPropertyType, len(parts) * _WORDS, _WORDS, delete=True)
            if answer is None:
                return None
            data = answer.value
            parts.append(data.tobytes() if hasattr(data, "typecode") else bytes(data))
            if answer.property_type != self._incr:
                self._left_bytes -= len(parts[-1])
            if self._left_bytes < 0:
                raise _UnansweredError
            if not answer.bytes_after:
                return Value(answer.property_type, answer.format, b"".join(parts))

    def _wait(self, condition: Callable[[], bool]) -> None:
        if not self._pump(condition, self._deadline - time.monotonic()):
            raise _UnansweredError
