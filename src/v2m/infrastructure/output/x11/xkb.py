"""The locks of the keyboard, Caps Lock and layout, through the XKEYBOARD extension, which python-xlib lacks."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from v2m.infrastructure._x11.display import X11Error

if TYPE_CHECKING:
    from Xlib.display import Display

CAPS_LOCK: Final = 0x02  # LockMask
_CORE_KEYBOARD: Final = 0x100  # XkbUseCoreKbd
_USE_EXTENSION: Final = 0
_GET_STATE: Final = 4
_LATCH_LOCK_STATE: Final = 5


class KeyboardLocks:
    """Caps Lock, and which of the user's layouts is active. Blocks: one roundtrip for each question."""

    def __init__(self, display: "Display") -> None:
        """Raises X11Error when the server has no XKEYBOARD extension of version 1."""
        extension = display.query_extension("XKEYBOARD")
        if extension is None:
            raise X11Error("the X server has no XKEYBOARD extension")
        self._display = display
        self._opcode = extension.major_opcode
        use, self._get_state, self._latch_lock = _requests()
        use(display=display.display, opcode=self._opcode, major=1, minor=0)

    def state(self) -> tuple[int, int]:
        """Return the locked modifiers (a mask) and the locked group (0 … 3)."""
        reply = self._get_state(display=self._display.display, opcode=self._opcode, device=_CORE_KEYBOARD)
        return reply.locked_mods, reply.locked_group

    @contextmanager
    def plain(self) -> Iterator[None]:
        """Have Caps Lock off and the first layout active, and everything as it was afterwards."""
        modifiers, group = self.state()
        caps = modifiers & CAPS_LOCK
        if caps or group:
            self._lock(caps, 0, group=0)
        try:
            yield
        finally:
            if caps or group:
                self._lock(caps, caps, group=group)
                self._display.sync()

    def _lock(self, affected: int, modifiers: int, *, group: int) -> None:
        self._latch_lock(
            display=self._display.display,
            opcode=self._opcode,
            device=_CORE_KEYBOARD,
            affected_locks=affected,
            locks=modifiers,
            lock_group=1,
            group_lock=group,
        )


def _requests() -> tuple[Any, Any, Any]:
    """Return the requests UseExtension, GetState and LatchLockState, as the XKB protocol lays them out."""
    from Xlib.protocol import rq

    def head(minor: int) -> tuple[Any, ...]:
        return rq.Card8("opcode"), rq.Opcode(minor), rq.RequestLength()

    class UseExtension(rq.ReplyRequest):  # type: ignore[misc]  # python-xlib has no types
        _request = rq.Struct(*head(_USE_EXTENSION), rq.Card16("major"), rq.Card16("minor"))
        _reply = rq.Struct(
            rq.ReplyCode(), rq.Card8("supported"), rq.Card16("sequence_number"), rq.ReplyLength(), rq.Pad(24)
        )

    class GetState(rq.ReplyRequest):  # type: ignore[misc]  # python-xlib has no types
        _request = rq.Struct(*head(_GET_STATE), rq.Card16("device"), rq.Pad(2))
        _reply = rq.Struct(
            rq.ReplyCode(),
            rq.Card8("device_id"),
            rq.Card16("sequence_number"),
            rq.ReplyLength(),
            rq.Card8("mods"),
            rq.Card8("base_mods"),
            rq.Card8("latched_mods"),
            rq.Card8("locked_mods"),
            rq.Card8("group"),
            rq.Card8("locked_group"),
            rq.Pad(18),
        )

    class LatchLockState(rq.Request):  # type: ignore[misc]  # python-xlib has no types
        _request = rq.Struct(
            *head(_LATCH_LOCK_STATE),
            rq.Card16("device"),
            rq.Card8("affected_locks"),
            rq.Card8("locks"),
            rq.Card8("lock_group"),
            rq.Card8("group_lock"),
            rq.Pad(6),  # latches: none is affected
        )

    return UseExtension, GetState, LatchLockState
