"""The hotkeys of whatever desktop is live: bound when it comes up, and again when it was restarted."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol

from v2m.domain.delivery import Session
from v2m.domain.hotkeys import HotkeyState
from v2m.infrastructure.desktop.hotkeys.refusal import RefusedError, UnreachableError

FIRST_PAUSE_S: Final = 0.1
LAST_PAUSE_S: Final = 5.0  # an absent desktop is looked for this often: the idle bar is a wake-up in five seconds
LONGEST_PAUSE_S: Final = 320.0  # one that is there and has no hotkeys for us is asked less and less often

Press = Callable[[str, int], None]
Bound = Callable[[Mapping[str, str]], None]  # name of a hotkey → what the desktop calls its keys


class Backend(Protocol):
    """One way of being told about keys."""

    name: str

    def fits(self, session: Session) -> bool:
        """Tell whether this desktop may have it."""

    async def serve(self, session: Session, press: Press, bound: Bound) -> None:
        """Bind and listen until the desktop ends; cancelling unbinds.

        Raises:
            RefusedError: it will not be bound, however often it is asked.
            UnreachableError: it is not there, or not yet.
        """


class LiveHotkeys:
    """`Hotkeys` by the first back end that fits the desktop; one that refused is not asked again there."""

    def __init__(self, backends: Sequence[Backend], *, locate: Callable[[], Awaitable[Session]]) -> None:
        """Take the back ends in order of preference, and what finds the live desktop."""
        self._backends = tuple(backends)
        self._locate = locate
        self._state = HotkeyState()
        self._told: Callable[[str], None] = lambda _: None
        self._trouble = ""  # as it was told last
        self._asked_in: Session | None = None
        self._ask_at = 0.0  # not before that is it asked again, on the loop's clock
        self._wait_s = FIRST_PAUSE_S  # after the next failure
        self._pause_s = FIRST_PAUSE_S

    @property
    def state(self) -> HotkeyState:
        """What is bound now."""
        return self._state

    async def run(self, press: Press, told: Callable[[str], None]) -> None:
        """Bind and listen until cancelled."""
        self._told = told
        while True:
            session = await self._locate()
            if session != self._asked_in:
                self._asked_in, self._ask_at, self._wait_s = session, 0.0, FIRST_PAUSE_S
            backend = next((each for each in self._backends if each.fits(session)), None)
            if backend is not None and asyncio.get_running_loop().time() >= self._ask_at:
                await self._serve(backend, session, press)
            await asyncio.sleep(self._pause_s)
            self._pause_s = min(2 * self._pause_s, LAST_PAUSE_S)

    async def _serve(self, backend: Backend, session: Session, press: Press) -> None:
        def bound(triggers: Mapping[str, str]) -> None:
            self._state = HotkeyState(backend.name, dict(triggers))
            self._pause_s = self._wait_s = FIRST_PAUSE_S
            self._tell("")

        try:
            await backend.serve(session, press, bound)
        except RefusedError as error:
            self._ask_at = math.inf
            self._tell(str(error))
        except UnreachableError as error:
            if str(error):
                self._tell(str(error))
                self._ask_at = asyncio.get_running_loop().time() + self._wait_s
                self._wait_s = min(2 * self._wait_s, LONGEST_PAUSE_S)
        finally:
            self._state = HotkeyState()

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            self._told(trouble)
