"""Whether the user did anything, as the compositor's idle notifications tell: they know no keys, only "something".

A notification says `idled` once nothing was touched for `QUIET_MS`, and `resumed` with the next touch, so that
nothing wakes the daemon while nothing happens. Keys of our own virtual keyboard are "something", too, and cannot be
told apart; so it watches from `settled` on.
"""

import time
from typing import Final

from v2m.domain.delivery import Session
from v2m.infrastructure._wayland.connection import Connection, WaylandError
from v2m.infrastructure._wayland.wire import uints
from v2m.infrastructure.desktop.input_watch.touches import Touches

EXT: Final = "ext_idle_notifier_v1"
KDE: Final = "org_kde_kwin_idle"  # what sway had before 1.8; its events have the same numbers
QUIET_MS: Final = 20  # the press and the release of a key, and two keys of a chord, are further apart than that
# How late a compositor's timer may be. A key pressed so soon after the beginning shows by its release: nobody
# taps a key in 15 ms.
SLACK_S: Final = 0.015
MOST: Final = 4  # a hotkey of two keys: two presses, two releases
_IDLED: Final = 0
_RESUMED: Final = 1


class WaylandInputWatch:
    """Touches of any device since `settled`, releases and movements of the mouse included."""

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._notification = 0
        self._touches = Touches(MOST)
        self._begun_at = 0.0
        self._quiet = False  # it has said `idled`: from then on nothing escapes it
        self._over = False

    async def begin(self, session: Session) -> bool:
        """Get ready to watch; tell whether this compositor lets us."""
        await self.aclose()
        try:
            connection = await Connection.open(session.wayland or "")
        except WaylandError:
            return False
        self._connection = connection
        self._touches, self._quiet, self._over = Touches(MOST), False, False
        if "wl_seat" in connection.globals and (EXT in connection.globals or KDE in connection.globals):
            return True
        await self.aclose()
        return False

    async def settled(self) -> None:
        """Watch from now on."""
        connection = self._connection
        if connection is None or self._notification or self._over:
            return
        try:
            self._ask(connection)
            await connection.roundtrip()
            self._begun_at = time.monotonic()
        except WaylandError:
            await self.aclose()

    def touched(self, within_s: float) -> bool | None:
        """Return False when there was no more than one chord in the last `within_s`; else None.

        What was touched may have been a key, or the mouse that was moved: that is never told.
        """
        known = self._connection is not None and self._connection.alive and self._quiet
        return False if known and not self._touches.beyond_a_chord(within_s) else None

    async def aclose(self) -> None:
        """Stop, disconnect and forget; twice is fine."""
        if self._connection is not None:
            self._connection.close()
        self._connection, self._notification, self._touches = None, 0, Touches(MOST)

    def _ask(self, connection: Connection) -> None:
        seat = connection.bind("wl_seat", 1)
        if EXT in connection.globals:
            # Version 2 also speaks up while a video keeps the screen from going dark.
            version = min(connection.globals[EXT][1], 2)
            manager, opcode = connection.bind(EXT, version), version
        else:
            manager, opcode = connection.bind(KDE, 1), 0
        self._notification = connection.create(self._event)
        self._begun_at = time.monotonic()
        wanted = (QUIET_MS, seat) if opcode else (seat, QUIET_MS)
        connection.request(manager, opcode, uints(self._notification, *wanted))

    def _event(self, opcode: int, _body: bytes) -> None:
        if opcode == _IDLED:
            if not self._quiet and time.monotonic() > self._begun_at + QUIET_MS / 1000 + SLACK_S:
                self._touches.note()  # it took longer: something was touched before
            self._quiet = True
        elif opcode == _RESUMED:
            self._touches.note()
        if self._touches.certain:
            self.stop()

    def stop(self) -> None:
        """Hear no more; sends without waiting."""
        if self._over or self._connection is None:
            return
        self._over = True
        if self._notification and self._connection.alive:
            self._connection.request(self._notification, 0)  # destroy: nothing needs to wake us any more
            self._connection.flush()
