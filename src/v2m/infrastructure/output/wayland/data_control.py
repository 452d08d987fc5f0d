"""The clipboard without a window, through ext- or wlr-data-control; it is served while its owner lives."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from v2m.infrastructure._wayland.connection import Connection, WaylandError
from v2m.infrastructure._wayland.wire import Arguments, string, uints
from v2m.infrastructure.output.pasting import MAX_TYPES, SAVE_BYTES, SAVE_S, SECRET, SECRET_TYPE, TEXT_TYPES
from v2m.infrastructure.output.wayland.pipes import read_pipes, write_all

MANAGERS: Final = ("ext_data_control_manager_v1", "zwlr_data_control_manager_v1")  # same messages

CLIPBOARD: Final = 0  # opcode of set_selection
PRIMARY: Final = 2  # opcode of set_primary_selection
_SELECTED: Final = {1: CLIPBOARD, 3: PRIMARY}  # event → which selection it is about

Contents = Mapping[str, bytes]  # media type → data
# Gets the type and our end of the pipe before data goes; returns what is told whether all of it went.
Reader = Callable[[str, int], Callable[[bool], None] | None]


def offered(connection: Connection) -> str | None:
    """Return the manager this compositor has, None when it has none."""
    return next((manager for manager in MANAGERS if manager in connection.globals), None)


def text_contents(text: str, *, secret: bool) -> Contents:
    """Return a text as every type that readers ask for; `secret` asks clipboard managers to skip it."""
    marker = {SECRET_TYPE: SECRET} if secret else {}
    return dict.fromkeys(TEXT_TYPES, text.encode()) | marker


@dataclass(slots=True)
class Source:
    """What we own on one selection."""

    contents: Contents
    on_read: Reader | None = None
    owned: bool = True


@dataclass(slots=True)
class Allowance:
    """What may still be saved: one for all that belongs together."""

    deadline: float  # CLOCK_MONOTONIC
    left_bytes: int

    @classmethod
    def full(cls) -> "Allowance":
        """Return a fresh one."""
        return cls(time.monotonic() + SAVE_S, SAVE_BYTES)


@dataclass(frozen=True, slots=True)
class Offer:
    """What somebody has put on a selection."""

    handle: int
    types: list[str]


class DataControl:
    """The selections of one compositor."""

    def __init__(self, connection: Connection) -> None:
        """Raises WaylandError when the compositor lets nobody reach its clipboard."""
        self._connection = connection
        manager = offered(connection)
        if manager is None:
            raise WaylandError("this compositor lets no other program reach its clipboard")
        seat = connection.bind("wl_seat", 1)
        self._manager = connection.bind(manager, 2)
        self.has_primary = manager != MANAGERS[1] or connection.globals[manager][1] >= 2
        self._device = connection.create(self._device_event)
        self._offers: dict[int, Offer] = {}
        self._current: dict[int, Offer] = {}
        connection.request(self._manager, 1, uints(self._device, seat))

    def own(self, selection: int, contents: Contents) -> Source | None:
        """Put this on a selection, or empty it; sends without waiting."""
        if not contents:
            self._connection.request(self._device, selection, uints(0))
            self._connection.flush()
            return None
        source = Source(contents)
        handle = self._connection.create()
        self._connection.adopt(handle, lambda opcode, body: self._source_event(source, handle, opcode, body))
        self._connection.request(self._manager, 0, uints(handle))
        for kind in contents:
            self._connection.request(handle, 0, string(kind))
        self._connection.request(self._device, selection, uints(handle))
        self._connection.flush()
        return source

    async def save(self, selection: int, allowance: Allowance) -> Contents | None:
        """Return all that somebody else has on a selection.

        None: not everything of it came in time or fits, or something else was put there meanwhile.

        Raises:
            WaylandError: the compositor is gone.
        """
        offer = self._current.get(selection)
        types = list(dict.fromkeys(offer.types)) if offer else []
        if offer is None or len(types) > MAX_TYPES:
            return None if types else {}
        pipes = self._receive(offer.handle, types)
        if pipes is None:
            return None
        left_s = allowance.deadline - time.monotonic()
        saved = await read_pipes(pipes, limit_bytes=allowance.left_bytes, timeout_s=left_s)
        await self._connection.roundtrip()  # what was put there until now is known then
        if saved is None or self._current.get(selection) is not offer:
            return None
        allowance.left_bytes -= sum(map(len, saved.values()))
        return saved

    def _receive(self, handle: int, types: list[str]) -> dict[str, int] | None:
        """Ask for all of these; return the pipes they come through, None when there are no more pipes to have."""
        pipes: dict[str, int] = {}
        for kind in types:
            try:
                pipes[kind], writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            except OSError:
                for fd in pipes.values():
                    os.close(fd)
                return None
            os.set_blocking(writer, True)  # owners do not expect a pipe that is full
            self._connection.request(handle, 0, string(kind), fd=writer)
            self._connection.flush()  # one by one: a message carries few descriptors
        return pipes

    def _source_event(self, source: Source, handle: int, opcode: int, body: bytes) -> None:
        if opcode == 0:  # send: somebody wants the data
            kind, fd = Arguments(body).string(), self._connection.take_fd()
            ended = source.on_read(kind, fd) if source.on_read is not None else None
            write_all(fd, source.contents.get(kind, b""), ended)
        elif opcode == 1:  # cancelled: something else is there now
            source.owned = False
            self._connection.request(handle, 1)
            self._connection.flush()

    def _device_event(self, opcode: int, body: bytes) -> None:
        if opcode not in (0, *_SELECTED):  # finished: the seat is gone
            return
        handle = Arguments(body).uint()
        if opcode == 0:  # data_offer
            offer = Offer(handle, [])
            self._offers[handle] = offer
            self._connection.adopt(handle, lambda _, content: offer.types.append(Arguments(content).string()))
            return
        selection = _SELECTED[opcode]
        self._current.pop(selection, None)
        if handle in self._offers:
            self._current[selection] = self._offers[handle]
        self._forget_others()

    def _forget_others(self) -> None:
        kept = {offer.handle for offer in self._current.values()}
        for handle in [handle for handle in self._offers if handle not in kept]:
            del self._offers[handle]
            self._connection.request(handle, 1)
            self._connection.release(handle)
        self._connection.flush()
