"""Which window is active, told by the compositor on the same connection that types (wlr-foreign-toplevel)."""

from dataclasses import dataclass
from typing import Final

from v2m.infrastructure._wayland.connection import Connection
from v2m.infrastructure._wayland.wire import Arguments, uints

MANAGER: Final = "zwlr_foreign_toplevel_manager_v1"
_ACTIVATED: Final = 2
_STOP: Final = 0  # of the manager
_DESTROY: Final = 7  # of a handle


@dataclass(slots=True)
class _Toplevel:
    app: str = ""
    active: bool = False


class FocusWatch:
    """The active window from `start` on; between batches `moved` tells whether it is another one.

    Because events and answers come in order on one connection, a roundtrip after typing shows every
    change that the compositor saw before. Ended after each delivery: title changes would wake the daemon.
    """

    def __init__(self, connection: Connection) -> None:
        self.available = MANAGER in connection.globals
        self.moved = False
        self.app = ""  # the active application's id; empty when unknown
        self._connection = connection
        self._toplevels: dict[int, _Toplevel] = {}
        self._target: int | None = None
        self._started = False
        self._stopped = False
        if self.available:
            self._manager = connection.bind(MANAGER, 1, self._manager_event)

    async def start(self) -> None:
        """Learn the active window. Raises WaylandError."""
        await self._connection.roundtrip()
        self._target = self._active()
        if self._target is not None:
            self.app = self._toplevels[self._target].app
        self._started = True

    @property
    def nothing_active(self) -> bool:
        """Whether the compositor says that no window would take keys."""
        return self.available and self._target is None

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
        if opcode == 1:
            toplevel.app = Arguments(body).string()
        elif opcode == 4:
            states = Arguments(body).data()
            toplevel.active = uints(_ACTIVATED) in (states[at : at + 4] for at in range(0, len(states), 4))
        elif opcode == 6:
            toplevel.active = False
        if opcode in (5, 6) and self._started and self._active() != self._target:
            self.moved = True
