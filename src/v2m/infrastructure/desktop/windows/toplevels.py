"""Windows of compositors without an IPC of their own here, by wlr-foreign-toplevel: labwc, river, Wayfire, niri.

Their ids are handles of one connection. It stays open as long as somebody holds an id that it gave, that is for
one dictation: a connection that is always there would wake the daemon with every change of a title.
"""

import asyncio
import re
import weakref
from contextlib import suppress
from typing import Final

from v2m.domain.delivery import Session, Window
from v2m.infrastructure._wayland.connection import Connection, WaylandError
from v2m.infrastructure._wayland.toplevels import FocusWatch

ANSWER_S: Final = 0.1

_ID: Final = re.compile(r"toplevel:(\d+):([0-9a-f]{1,8})")


class _HeldId(str):
    """An id that tells when nobody holds it any more."""

    __slots__ = ("__weakref__",)


class ToplevelWindows:
    """`Windows` of wlroots-like compositors; where the protocol is missing, as in GNOME and KDE, none is told."""

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._watch: FocusWatch | None = None
        self._number = 0  # of the connection, so that its handles cannot be taken for another one's
        self._held = 0
        self._turn = asyncio.Lock()

    async def focused(self, session: Session) -> Window | None:
        """Return the active window; its id keeps the connection open."""
        try:
            async with asyncio.timeout(ANSWER_S), self._turn:
                return await self._focused(session)
        except (WaylandError, TimeoutError):
            self._close()
            return None

    async def activate(self, session: Session, window: Window) -> bool:
        """Focus it, and wait until the compositor says so."""
        known = _ID.fullmatch(window.id)
        if known is None:
            return False
        try:
            async with asyncio.timeout(ANSWER_S), self._turn:
                connection, watch = await self._watching(session)
                handle = int(known[2], 16)
                if int(known[1]) != self._number or not watch.activate(handle, connection.bind("wl_seat", 1)):
                    return False
                return await connection.until(lambda: (watch.active_window() or (0,))[0] == handle, ANSWER_S)
        except (WaylandError, TimeoutError):
            return False

    async def aclose(self) -> None:
        """Disconnect; twice is fine."""
        self._close()

    async def _focused(self, session: Session) -> Window | None:
        connection, watch = await self._watching(session)
        await connection.roundtrip(ANSWER_S)
        active = watch.active_window()
        if active is None:
            self._close_if_unused()
            return None
        handle, app, title = active
        return Window(self._hold(f"toplevel:{self._number}:{handle:x}"), app, title)

    async def _watching(self, session: Session) -> tuple[Connection, FocusWatch]:
        """Return a live connection to this compositor. Raises WaylandError."""
        if self._connection is not None and self._watch is not None:
            if self._connection.alive and self._connection.path == session.wayland:
                return self._connection, self._watch
            self._close()
        self._connection = await Connection.open(session.wayland or "", timeout_s=ANSWER_S)
        self._watch = FocusWatch(self._connection)
        self._number += 1
        await self._watch.start()
        return self._connection, self._watch

    def _hold(self, window_id: str) -> str:
        held, loop, number = _HeldId(window_id), asyncio.get_running_loop(), self._number

        def let_go() -> None:  # perhaps in another thread, perhaps after the loop
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._let_go, number)

        self._held += 1
        weakref.finalize(held, let_go).atexit = False
        return held

    def _let_go(self, number: int) -> None:
        if number == self._number:
            self._held -= 1
            self._close_if_unused()

    def _close_if_unused(self) -> None:
        if self._held == 0:
            self._close()

    def _close(self) -> None:
        """Disconnect; ids that are still held mean nothing any more."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._watch = None
        self._held = 0
        self._number += 1
