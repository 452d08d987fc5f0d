"""Windows of an X server, asked in a thread over one connection that stays open: connecting takes 30 times as long."""

import asyncio
import re
import socket
import time
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeVar

from v2m.domain.delivery import Session, Window
from v2m.infrastructure._x11.display import (
    X11Error,
    aim_of,
    close_display,
    close_unused,
    connect,
    cut,
    focus_of,
    foreign_errors,
    in_thread,
    property_word,
)

if TYPE_CHECKING:
    from Xlib.display import Display
    from Xlib.xobject.drawable import Window as Drawable

ANSWER_S: Final = 0.1
# Until the window manager has obeyed, then until the server has; openbox takes 1…3 ms.
ACTIVATE_S: Final = 0.06
FOCUS_S: Final = 0.02
POLL_S: Final = 0.002

_ID: Final = re.compile(r"x11:(0x[0-9a-f]{1,8})")
_FROM_PAGER: Final = 2  # source indication: the user's own wish (Extended Window Manager Hints, _NET_ACTIVE_WINDOW)

T = TypeVar("T")


class X11Windows:
    """`Windows` of an X server. The focused window is the application's one around the input focus."""

    def __init__(self) -> None:
        self._opening: asyncio.Future[Display] | None = None  # the connection; one that comes late serves the next call
        self._of: tuple[str | None, ...] = ()  # which display that is
        self._turn = asyncio.Lock()

    async def focused(self, session: Session) -> Window | None:
        """Return the application's window that keys go to."""
        return await self._ask(session, _focused)

    async def activate(self, session: Session, window: Window) -> bool:
        """Ask the window manager, which may have to change the desktop; without one set the input focus."""
        known = _ID.fullmatch(window.id)
        if known is None:
            return False
        return bool(await self._ask(session, lambda display: _activate(display, int(known[1], 16))))

    async def aclose(self) -> None:
        """Disconnect; twice is fine."""
        async with self._turn:
            await self._hang_up()

    async def _ask(self, session: Session, work: Callable[["Display"], T]) -> T | None:
        """Return what the server answers in time; a connection that turns out to be dead is made anew once."""
        await asyncio.to_thread(_load)
        try:
            async with asyncio.timeout(ANSWER_S), self._turn:
                was_open = self._opening is not None and self._opening.done()
                try:
                    return await self._try(session, work)
                except X11Error:
                    return await self._try(session, work) if was_open else None
        except (X11Error, TimeoutError):
            return None

    async def _try(self, session: Session, work: Callable[["Display"], T]) -> T:
        display = await self._connected(session)

        def guarded() -> T:
            with foreign_errors(display):
                return work(display)

        try:
            return await in_thread(guarded, give_up=lambda: cut(display), stop=lambda: cut(display))
        except (X11Error, asyncio.CancelledError):
            await self._hang_up()
            raise

    async def _connected(self, session: Session) -> "Display":
        wanted = (session.x11, session.variables.get("XAUTHORITY"))
        if self._of != wanted:
            await self._hang_up()
        if self._opening is None:
            self._opening, self._of = asyncio.get_running_loop().run_in_executor(None, connect, session), wanted
        try:
            return await asyncio.shield(self._opening)
        except X11Error:
            self._opening = None
            raise

    async def _hang_up(self) -> None:
        """Disconnect at once: nothing is on its way that anybody waits for."""
        opening, self._opening = self._opening, None
        if opening is None:
            return
        if not opening.done():  # its thread goes on until its own deadline
            opening.add_done_callback(close_unused)
        elif opening.exception() is None:
            cut(opening.result())
            await close_display(opening.result())


@cache
def _load() -> None:
    """Import what `connect` needs: 60 ms of our own once, for which no server has to be given up."""
    import_module("Xlib.display")
    for _, module in import_module("Xlib.ext").__extensions__:
        import_module(f"Xlib.ext.{module}")


def _focused(display: "Display") -> Window | None:
    client = aim_of(display).client
    return _described(display, client) if client else None


def _described(display: "Display", client: int) -> Window:
    window: Any = display.create_resource_object("window", client)
    name = window.get_wm_class()
    machine = window.get_wm_client_machine()
    local = machine is None or machine == socket.gethostname()
    return Window(
        id=f"x11:{client:#x}",
        app=str(name[1]) if name else "",
        title=_title(display, window),
        pid=property_word(window, display.intern_atom("_NET_WM_PID")) if local else 0,
    )


def _title(display: "Display", window: "Drawable") -> str:
    utf8 = window.get_full_text_property(display.intern_atom("_NET_WM_NAME"), display.intern_atom("UTF8_STRING"))
    return str(utf8 or window.get_wm_name() or "")


def _activate(display: "Display", client: int) -> bool:
    from Xlib import X, error
    from Xlib.protocol import event

    window: Any = display.create_resource_object("window", client)
    window.get_attributes()  # a window that is gone ends here
    root = display.screen().root
    supported = root.get_full_property(display.intern_atom("_NET_SUPPORTED"), 0)
    wish = display.intern_atom("_NET_ACTIVE_WINDOW")
    if supported is not None and wish in supported.value:
        data = (32, [_FROM_PAGER, X.CurrentTime, 0, 0, 0])
        message = event.ClientMessage(window=window, client_type=wish, data=data)
        root.send_event(message, event_mask=X.SubstructureRedirectMask | X.SubstructureNotifyMask)
        if _has_focus(display, client, ACTIVATE_S):
            return True
    window.set_input_focus(X.RevertToParent, X.CurrentTime, onerror=error.CatchError(error.BadMatch))
    return _has_focus(display, client, FOCUS_S)


def _has_focus(display: "Display", client: int, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while focus_of(display).client != client:
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True
