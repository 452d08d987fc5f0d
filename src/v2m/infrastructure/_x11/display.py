"""A connection to an X server through python-xlib: cookie from the session, focus, and an end to every wait.

python-xlib blocks, so whoever uses it runs it in a thread; `cut` makes a thread that waits for a hung
server come back.
"""

import asyncio
import re
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from v2m.domain.delivery import Session

if TYPE_CHECKING:
    from Xlib.display import Display
    from Xlib.xobject.drawable import Window as Drawable

_connecting: Final = threading.Lock()
X11_DIR: Final = Path("/tmp/.X11-unix")  # noqa: S108 - where X servers have to put their sockets
POINTER_ROOT: Final = 1
_LOCAL_DISPLAY: Final = re.compile(r"(?:unix)?:(\d+)(?:\.\d+)?")
ANSWER_S: Final = 2.0  # an X server answers within a millisecond; one that needs this long hangs
MAX_COOKIES_BYTES: Final = 1 << 20  # a display's cookie takes about 50 bytes

T = TypeVar("T")


class X11Error(Exception):
    """The X server refused us, hangs, or is gone."""


@dataclass(frozen=True, slots=True)
class Focus:
    """Where keys go."""

    window: int  # 0: nowhere; `POINTER_ROOT`: the window under the pointer
    client: int = 0  # the application's window around it
    app: str = ""  # its class, empty when it is no application's window
    handed_on: bool = False  # the focus is in no application's window: the server or the window manager passes keys on


def connect(session: Session) -> "Display":
    """Connect to the session's display; blocks for at most `ANSWER_S`. Raises X11Error."""
    from Xlib import display, error
    from Xlib.protocol import display as protocol
    from Xlib.protocol import event

    name = session.x11 or ""
    match = _LOCAL_DISPLAY.fullmatch(name)
    if match is None:
        raise X11Error(f"{name!r} is no display of this machine")
    _check_listening(int(match[1]))
    with _connecting, _setup(session.variables.get("XAUTHORITY")):
        # python-xlib keeps the codes of extension events for all servers in one table; another server has other codes.
        protocol.Display.event_classes = event.event_class.copy()
        try:
            return display.Display(f"unix/:{match[1]}")  # without "unix/" python-xlib would try TCP as well
        except (OSError, error.XError, error.DisplayError, error.ConnectionClosedError) as failure:
            raise X11Error(f"the X display {name} does not let us in") from failure


def _check_listening(number: int) -> None:
    """Raise X11Error when nobody listens; python-xlib would leave a socket open."""
    path = X11_DIR / f"X{number}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(ANSWER_S)
        try:
            probe.connect(str(path) if path.exists() else f"\0{path}")
        except OSError as failure:
            raise X11Error(f"nobody serves the X display :{number}") from failure


@contextmanager
def _setup(cookie_file: str | None) -> Iterator[None]:
    """Give python-xlib the session's cookie and a deadline while it connects.

    By itself it reads the variable of this process only, waits for a hung server without end, and
    leaves its socket open when it is refused.
    """
    from Xlib.support import unix_connect

    original = unix_connect.get_auth
    sockets: list[socket.socket] = []

    def get_auth(connected: socket.socket, _name: str, _protocol: str, _host: str, number: int) -> tuple[bytes, bytes]:
        sockets.append(connected)
        deadline.start()
        return _cookie(cookie_file, number)

    def give_up() -> None:
        for connected in sockets:
            connected.shutdown(socket.SHUT_RDWR)

    deadline = threading.Timer(ANSWER_S, give_up)
    unix_connect.get_auth = get_auth
    try:
        yield
    except X11Error:
        for connected in sockets:
            connected.close()
        raise
    finally:
        unix_connect.get_auth = original
        deadline.cancel()


def _cookie(path: str | None, number: int) -> tuple[bytes, bytes]:
    """Return the best cookie for a display; one of an earlier host name still opens the local display."""
    from Xlib import error, xauth

    if path is not None and not _is_small_file(path):
        return b"", b""
    try:
        known = xauth.Xauthority(path)
        name, data = known.get_best_auth(xauth.FamilyLocal, socket.gethostname().encode(), number)
    except error.XauthError:
        return b"", b""
    except error.XNoAuthError:
        of_display = (b"", str(number).encode())
        matching = ((name, data) for _, _, num, name, data in known.entries if num in of_display)
        name, data = next(matching, (b"", b""))
    return bytes(name), bytes(data)


def _is_small_file(path: str) -> bool:
    """Tell a file of cookies from what would never end, such as a pipe."""
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size <= MAX_COOKIES_BYTES


@contextmanager
def foreign_errors(display: "Display") -> Iterator[None]:
    """Turn what python-xlib raises into X11Error."""
    from Xlib import error

    try:
        yield
    except (OSError, error.XError, error.ConnectionClosedError) as failure:
        raise X11Error("the X display is gone or does not answer") from failure
    except (TypeError, AttributeError) as failure:
        if display.display.request_queue is not None:
            raise
        # python-xlib stumbles over the members that it sets to None when it is cut off.
        raise X11Error("the X display is gone or does not answer") from failure


async def in_thread(
    work: Callable[[], T], *, give_up: Callable[[], None], stop: Callable[[], None], timeout_s: float = ANSWER_S
) -> T:
    """Run blocking X work. At the deadline `give_up` must make it come back; on cancelling, `stop`.

    Raises:
        X11Error: the server did not answer in time.
    """
    future = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        async with asyncio.timeout(timeout_s):
            return await asyncio.shield(future)
    except TimeoutError as error:
        give_up()
        await _end(future)
        raise X11Error("the X display does not answer") from error
    except asyncio.CancelledError:
        stop()
        await _end(future)
        raise


async def _end(future: "asyncio.Future[T]") -> None:
    await asyncio.wait({future}, timeout=ANSWER_S)
    if future.done():
        future.exception()


def cut(display: "Display") -> None:
    """Break the connection, so that a thread waiting on it comes back with an error."""
    connected: socket.socket = display.display.socket
    with suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)


def focus_window(display: "Display") -> int:
    """Return the window that keys go to, as in `Focus`; one roundtrip."""
    focus: Any = display.get_input_focus().focus
    return int(getattr(focus, "id", focus))


def focus_of(display: "Display") -> Focus:
    """Return window and application that keys go to."""
    window = focus_window(display)
    if window <= POINTER_ROOT:
        return Focus(window)
    root = display.screen().root.id
    around: Any = display.create_resource_object("window", window)
    while around and around.id != root:
        name = around.get_wm_class()
        if name:
            return Focus(window, around.id, str(name[1]))
        around = around.query_tree().parent
    return Focus(window)


def aim_of(display: "Display") -> Focus:
    """Return where keys go, with the application's window that gets them although another has the focus.

    Without a window manager that is the one under the pointer; some window managers hold the focus for it.
    """
    focus = focus_of(display)
    if focus.client or not focus.window:
        return focus
    root = display.screen().root
    if focus.window == POINTER_ROOT:
        client = _under_pointer(root)
    else:
        client = property_word(root, display.intern_atom("_NET_ACTIVE_WINDOW"))
    if not client:
        return focus
    name = display.create_resource_object("window", client).get_wm_class()
    return Focus(focus.window, client, str(name[1]) if name else "", handed_on=True)


def still_in(display: "Display", target: Focus, window: int) -> bool:
    """Tell whether the focus, seen in `window` now, is where `aim_of` saw it, or in another part of that client."""
    if window == target.window and not target.handed_on:
        return True
    return target.client != 0 and aim_of(display).client == target.client


def property_word(window: "Drawable", atom: int) -> int:
    """Return the first word of a property, 0 when it is not there."""
    found = window.get_full_property(atom, 0)
    return int(found.value[0]) if found is not None and found.format == 32 and len(found.value) else 0


def _under_pointer(root: "Drawable") -> int:
    """Return the application's window under the pointer, 0 when there is none."""
    window: Any = root
    while window := window.query_pointer().child:
        if window.get_wm_class():
            return int(window.id)
    return 0


async def open_display(session: Session) -> "Display":
    """Connect without blocking the loop; cancelled, it leaves nothing open. Raises X11Error."""
    opening = asyncio.get_running_loop().run_in_executor(None, connect, session)
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(close_unused)
        raise


def close_unused(opening: "asyncio.Future[Display]") -> None:
    """Let go of a connection that came too late."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().display.socket.close()


async def close_display(display: "Display") -> None:
    """Disconnect without blocking the loop, also from a server that hangs."""
    with suppress(X11Error):
        await ask(display, display.close)


async def peek(session: Session) -> Focus:
    """Return which window has the focus, over a connection of its own. Raises X11Error."""
    display = await open_display(session)
    try:
        return await ask(display, lambda: focus_of(display))
    finally:
        await close_display(display)


async def ask(display: "Display", work: Callable[[], T]) -> T:
    """Do blocking X work in a thread. Raises X11Error."""

    def guarded() -> T:
        with foreign_errors(display):
            return work()

    return await in_thread(guarded, give_up=lambda: cut(display), stop=lambda: None)
