"""The watch that the live session offers: the compositor's, or the X server's where there is no compositor."""

import asyncio

from v2m.domain.delivery import LONGEST_UNDO_S, Session
from v2m.infrastructure.desktop.input_watch.wayland import WaylandInputWatch
from v2m.infrastructure.desktop.input_watch.x11 import X11InputWatch


class LiveInputWatch:
    """`InputWatch` of whatever desktop is live."""

    def __init__(self) -> None:
        self._watch: WaylandInputWatch | X11InputWatch | None = None
        self._end: asyncio.TimerHandle | None = None
        self._expired = False

    async def begin(self, session: Session) -> None:
        """Watch from now on, at most ten minutes; what was watched before is forgotten.

        On X11 keys from programs count from `settled` on, on Wayland everything does.
        """
        await self.aclose()
        watch = WaylandInputWatch() if session.wayland else X11InputWatch() if session.x11 else None
        if watch is None:
            return
        self._watch = watch
        if not await watch.begin(session):
            self._watch = None
            return
        self._end = asyncio.get_running_loop().call_later(LONGEST_UNDO_S, self._expire)

    async def settled(self) -> None:
        """Our own keys are out: from now on every key is the user's."""
        if self._watch is not None and not self._expired:
            await self._watch.settled()

    async def touched(self, *, within_s: float) -> bool | None:
        """Tell whether anything but one chord in the last `within_s` was touched; None: this desktop does not tell."""
        return None if self._watch is None or self._expired else self._watch.touched(within_s)

    async def aclose(self) -> None:
        """Stop watching; twice is fine."""
        if self._end is not None:
            self._end.cancel()
        watch, self._watch, self._end, self._expired = self._watch, None, None, False
        if watch is not None:
            await watch.aclose()

    def _expire(self) -> None:
        self._expired = True
        if self._watch is not None:
            self._watch.stop()
