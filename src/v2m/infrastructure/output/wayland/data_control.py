"""The clipboard without a window, through ext- or wlr-data-control; texts are served while the owner lives."""

import os
from dataclasses import dataclass
from typing import Final

from v2m.infrastructure._wayland.connection import Connection, WaylandError
from v2m.infrastructure._wayland.wire import Arguments, string, uints
from v2m.infrastructure.output.wayland.pipes import read_all, write_all

MANAGERS: Final = ("ext_data_control_manager_v1", "zwlr_data_control_manager_v1")  # same messages
TEXT_TYPES: Final = ("text/plain;charset=utf-8", "text/plain", "UTF8_STRING", "STRING", "TEXT")
SECRET_TYPE: Final = "x-kde-passwordManagerHint"  # noqa: S105 - a media type: clipboard managers skip such texts

CLIPBOARD: Final = 0  # opcode of set_selection
PRIMARY: Final = 2  # opcode of set_primary_selection


def offered(connection: Connection) -> str | None:
    """Return the manager this compositor has, None when it has none."""
    return next((manager for manager in MANAGERS if manager in connection.globals), None)


@dataclass(slots=True)
class Source:
    """A text we own on the clipboard or the primary selection."""

    text: str
    owned: bool = True
    reads: int = 0  # how often the text was taken
    handle: int = 0  # its object on the clipboard


@dataclass(frozen=True, slots=True)
class Offer:
    """What somebody else has put on the clipboard."""

    handle: int
    types: list[str]

    @property
    def is_text(self) -> bool:
        """Whether it can be read as text."""
        return any(kind in TEXT_TYPES for kind in self.types)

    @property
    def secret(self) -> bool:
        """Whether clipboard managers are asked to skip it."""
        return SECRET_TYPE in self.types


class DataControl:
    """The clipboard of one compositor."""

    def __init__(self, connection: Connection) -> None:
        """Raises WaylandError when the compositor lets nobody reach its clipboard."""
        self._connection = connection
        manager = offered(connection)
        if manager is None:
            raise WaylandError("this compositor lets no other program reach its clipboard")
        seat = connection.bind("wl_seat", 1)
        self._manager = connection.bind(manager, 2)
        self._version = min(connection.globals[manager][1], 2) if manager == MANAGERS[1] else 2
        self._device = connection.create(self._device_event)
        self._offers: dict[int, Offer] = {}
        self.current: Offer | None = None
        connection.request(self._manager, 1, uints(self._device, seat))

    def own(self, text: str, *, secret: bool, primary: bool = False) -> Source:
        """Put a text on the clipboard (and on the primary selection); sends without waiting."""
        source = Source(text)
        self._offer(source, CLIPBOARD, secret=secret)
        if primary and self._version >= 2:
            self._offer(source, PRIMARY, secret=secret)
        self._connection.flush()
        return source

    async def read(self) -> str | None:
        """Return the text somebody else has on the clipboard; None: nothing, no text, or no answer."""
        if self.current is None:
            return None
        kind = next((kind for kind in TEXT_TYPES if kind in self.current.types), None)
        if kind is None:
            return None
        reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._connection.request(self.current.handle, 0, string(kind), fd=writer)
        self._connection.flush()
        data = await read_all(reader)
        return None if data is None else data.decode("utf-8", "replace")

    def _offer(self, source: Source, selection: int, *, secret: bool) -> None:
        handle = self._connection.create()
        self._connection.adopt(handle, lambda opcode, body: self._source_event(source, handle, opcode, body))
        self._connection.request(self._manager, 0, uints(handle))
        for kind in (*TEXT_TYPES, *([SECRET_TYPE] if secret else [])):
            self._connection.request(handle, 0, string(kind))
        self._connection.request(self._device, selection, uints(handle))
        if selection == CLIPBOARD:
            source.handle = handle

    def _source_event(self, source: Source, handle: int, opcode: int, body: bytes) -> None:
        if opcode == 0:  # send: somebody wants the text
            kind = Arguments(body).string()
            secret = kind == SECRET_TYPE
            source.reads += not secret
            write_all(self._connection.take_fd(), b"secret" if secret else source.text.encode())
        elif opcode == 1:  # cancelled: somebody else owns it now
            if handle == source.handle:
                source.owned = False
            self._connection.request(handle, 1)
            self._connection.flush()

    def _device_event(self, opcode: int, body: bytes) -> None:
        if opcode == 2:  # finished: the seat is gone
            return
        handle = Arguments(body).uint()
        if opcode == 0:  # data_offer
            offer = Offer(handle, [])
            self._offers[handle] = offer
            self._connection.adopt(handle, lambda _, content: offer.types.append(Arguments(content).string()))
        elif opcode == 1:  # selection
            self.current = self._offers.get(handle)
            self._forget_others()
        else:  # primary_selection: of no interest
            self._forget_others()

    def _forget_others(self) -> None:
        kept = self.current.handle if self.current else 0
        for handle in [handle for handle in self._offers if handle != kept]:
            del self._offers[handle]
            self._connection.request(handle, 1)
            self._connection.release(handle)
        self._connection.flush()
