"""Which window is active, told by the compositor on the same connection that types (wlr-foreign-toplevel)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from v2m.domain.delivery import Destination, Window
from v2m.infrastructure._wayland.connection import Connection
from v2m.infrastructure._wayland.wire import Arguments, uints

MANAGER: Final = "zwlr_foreign_toplevel_manager_v1"
_ACTIVATED: Final = 2
_STOP: Final = 0  # of the manager
_ACTIVATE: Final = 4  # of a handle
_DESTROY: Final = 7


@dataclass(slots=True)
class _Toplevel:
    app: str = ""
    title: str = ""
    active: bool = False


class FocusWatch:
    """The active window from `start` on; `moved` tells whether it is another than the wanted one, or became another.

    Because events and answers come in order on one connection, a roundtrip after typing shows every
    change that the compositor saw before. Ended after each delivery: title changes would wake the daemon.
    """

    def __init__(self, connection: Connection) -> None:
        self.available = MANAGER in connection.globals
        self.moved = False
        self.on_moved: Callable[[], None] | None = None  # called when the focus goes elsewhere
        self.app = ""  # the active application's id; empty when unknown
        self._connection = connection
        self._toplevels: dict[int, _Toplevel] = {}
        self._target: int | None = None
        self._started = False
        self._stopped = False
        if self.available:
            self._manager = connection.bind(MANAGER, 1, self._manager_event)

    async def start(self, to: Destination | None = None) -> None:
        """Learn the active window, which has to be the one a text is meant for. Raises WaylandError.

        That one is asked for after the watch has begun, so that no change of focus falls between the two.
        """
        wanted = to.window if to else None
        await self._connection.roundtrip()
        self._target = self._active()
        if self._target is not None:
            self.app = self._toplevels[self._target].app
            self.moved = wanted is not None and not self._may_be(wanted)
        self._started = True
        if self.available and to is not None and to.stays is not None and not await to.stays():
            self.moved = True

    @property
    def nothing_active(self) -> bool:
        """Whether the compositor says that no window would take keys."""
        return self.available and self._target is None

    def active_window(self) -> tuple[int, str, str] | None:
        """Return handle, application and title of the active window; the handle means it on this connection only."""
        handle = self._active()
        return None if handle is None else (handle, self._toplevels[handle].app, self._toplevels[handle].title)

    def activate(self, handle: int, seat: int) -> bool:
        """Queue the request to focus a window; False: it is closed."""
        if handle not in self._toplevels:
            return False
        self._connection.request(handle, _ACTIVATE, uints(seat))
        return True

    def stop(self) -> None:
        """End the events; sends without waiting."""
        if not self.available or not self._connection.alive:
            return
        self._stopped = True
        self._connection.request(self._manager, _STOP)
        for handle in self._toplevels:
            self._connection.request(handle, _DESTROY)
            self._connection.release(handle)
        self._toplevels.clear()
        self._connection.flush()

    def _may_be(self, wanted: Window) -> bool:
        """Tell whether the active window can be this one: same application; same title while any of its windows has it.

        The protocol shares no id with the servers that know the window, and titles may change at any time.
        """
        active = next(toplevel for toplevel in self._toplevels.values() if toplevel.active)
        if not wanted.app or not active.app:
            return True
        if active.app.lower() != wanted.app.lower():
            return False
        titles = {toplevel.title for toplevel in self._toplevels.values() if toplevel.app == active.app}
        return active.title == wanted.title or wanted.title not in titles

    def _active(self) -> int | None:
        return next((handle for handle, toplevel in self._toplevels.items() if toplevel.active), None)

    def _manager_event(self, opcode: int, body: bytes) -> None:
        if opcode == 0:
            handle = Arguments(body).uint()
            if self._stopped:  # it crossed our `stop`
                self._connection.request(handle, _DESTROY)
                self._connection.flush()
                return
            self._toplevels[handle] = _Toplevel()
            self._connection.adopt(handle, lambda code, content: self._event(handle, code, content))

    def _event(self, handle: int, opcode: int, body: bytes) -> None:
        toplevel = self._toplevels.get(handle)
        if toplevel is None:
            return
        if opcode == 0:
            toplevel.title = Arguments(body).string()
        elif opcode == 1:
            toplevel.app = Arguments(body).string()
        elif opcode == 4:
            states = Arguments(body).data()
            toplevel.active = uints(_ACTIVATED) in (states[at : at + 4] for at in range(0, len(states), 4))
        elif opcode == 6:
            toplevel.active = False
        if opcode in (5, 6) and self._started and self._active() != self._target:
            self.moved = True
            if self.on_moved is not None:
                self.on_moved()
