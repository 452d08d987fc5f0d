"""Owns the X11 clipboard from a thread of its own, until somebody else takes it."""

import threading
from typing import TYPE_CHECKING, Any, Final

from v2m.domain.delivery import Session
from v2m.infrastructure._x11.display import X11Error, connect, cut, foreign_errors

if TYPE_CHECKING:
    from Xlib.display import Display

_CHUNK_BYTES: Final = 1 << 16  # a request has at most 256 KiB; longer texts are appended piece by piece
_TEXT_TARGETS: Final = ("UTF8_STRING", "text/plain;charset=utf-8", "text/plain", "STRING", "TEXT")


class X11Selection:
    """A text on the CLIPBOARD selection, served while this object is open."""

    def __init__(self, display: "Display", text: str) -> None:
        self._display = display
        self._data = text.encode()
        self._atoms = {name: display.intern_atom(name) for name in ("CLIPBOARD", "TARGETS", *_TEXT_TARGETS)}
        self._window: Any = display.screen().root.create_window(0, 0, 1, 1, 0, 0)
        self._window.set_selection_owner(self._atoms["CLIPBOARD"], 0)
        if display.get_selection_owner(self._atoms["CLIPBOARD"]) != self._window:
            raise X11Error("the X server did not give us the clipboard")
        self._thread = threading.Thread(target=self._serve, name="x11-clipboard", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, session: Session, text: str) -> "X11Selection":
        """Put a text on the clipboard of the session's display; blocks. Raises X11Error."""
        display = connect(session)
        try:
            with foreign_errors(display):
                return cls(display, text)
        except X11Error:
            cut(display)
            raise

    def close(self) -> None:
        """Give the clipboard up; blocks until the thread has ended."""
        cut(self._display)
        self._thread.join()

    def _serve(self) -> None:
        from Xlib import X

        try:
            with foreign_errors(self._display):
                while True:
                    event = self._display.next_event()
                    if event.type == X.SelectionRequest:
                        self._answer(event)
                    elif event.type == X.SelectionClear:
                        self._display.close()
                        return
        except X11Error:
            return

    def _answer(self, request: Any) -> None:  # noqa: ANN401 - python-xlib has no types
        from Xlib import X, Xatom
        from Xlib.protocol import event

        kind = request.target
        place = request.property or kind
        texts = [self._atoms[name] for name in _TEXT_TARGETS]
        if kind == self._atoms["TARGETS"]:
            request.requestor.change_property(place, Xatom.ATOM, 32, [self._atoms["TARGETS"], *texts])
        elif kind in texts:
            request.requestor.change_property(place, kind, 8, b"")
            for start in range(0, len(self._data), _CHUNK_BYTES):
                piece = self._data[start : start + _CHUNK_BYTES]
                request.requestor.change_property(place, kind, 8, piece, mode=X.PropModeAppend)
        else:
            place = X.NONE
        request.requestor.send_event(
            event.SelectionNotify(
                time=request.time,
                requestor=request.requestor,
                selection=request.selection,
                target=kind,
                property=place,
            )
        )
        self._display.flush()
