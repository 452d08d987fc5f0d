"""A window of our own in the live session, of which we know what really arrived in it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final, Literal

from v2m.domain.delivery import Session
from v2m.domain.errors import OutputError, OutputReason
from v2m.infrastructure._wayland.connection import WaylandError
from v2m.infrastructure._x11.display import X11Error
from v2m.local.window.page import Page
from v2m.local.window.wayland import open_wayland
from v2m.local.window.x11 import open_x11
from v2m.utils.paths import set_variables

Kind = Literal["wayland", "x11"]

FOCUS_S: Final = 10.0  # time to click on the window where the desktop does not focus new ones


def window_kinds(session: Session) -> tuple[Kind, ...]:
    """Return which kinds of windows this session has room for, the native one first."""
    kinds: list[Kind] = []
    if session.wayland:
        kinds.append("wayland")
    if session.x11:
        kinds.append("x11")
    return tuple(kinds)


@asynccontextmanager
async def own_window(session: Session, kind: Kind | None = None) -> AsyncIterator[Page]:
    """Show a window and yield the page that it writes on; it asks for the focus, `Page.focused` waits for that.

    Raises:
        OutputError: NO_DISPLAY where no window can be shown, TOOL_MISSING without libxkbcommon.
    """
    kinds = window_kinds(session)
    chosen = kind or next(iter(kinds), None)
    if chosen is None or chosen not in kinds:
        raise no_window("there is neither a Wayland compositor nor an X display")
    page, locale = Page(), _locale()
    with _translated():
        if chosen == "wayland":
            async with open_wayland(session.wayland or "", page, locale):
                yield page
        else:
            async with open_x11(session, page, locale):
                yield page


def no_window(reason: str) -> OutputError:
    """Return the error for a session in which no window can be shown."""
    return OutputError(
        f"No window can be shown: {reason}.",
        reason=OutputReason.NO_DISPLAY,
        hint="Run it in a terminal of your desktop; v2m status shows where words would go.",
    )


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (WaylandError, X11Error) as error:
        raise no_window(str(error)) from error


def _locale() -> str:
    """Return the locale whose Compose sequences hold."""
    found = set_variables(("LC_ALL", "LC_CTYPE", "LANG"))
    return next((found[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if name in found), "C")
