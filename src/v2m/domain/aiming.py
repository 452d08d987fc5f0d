"""Where a text may go when the focus is not where it was when its recording started. Pure: no I/O."""

from enum import StrEnum
from typing import Literal

from v2m.domain.delivery import Window

WhenMoved = Literal["hold", "follow", "return"]


class Move(StrEnum):
    """What is to be done with a text."""

    GO = "go"  # to the window that has the focus now
    HOLD = "hold"
    RETURN = "return"  # the window of the recording gets the focus back first


def same_window(one: Window, other: Window) -> bool:
    """Tell whether two answers of the desktop mean one window; the id of another process was given anew."""
    return one.id == other.id and (0 in (one.pid, other.pid) or one.pid == other.pid)


def has_moved(start: Window | None, now: Window | None) -> bool:
    """Tell whether another window is known to have the focus than at START."""
    return start is not None and now is not None and not same_window(start, now)


def choose(start: Window | None, now: Window | None, when_moved: WhenMoved) -> Move:
    """Return what is to be done; a window that the desktop did not tell, then or now, holds nothing up."""
    if not has_moved(start, now) or when_moved == "follow":
        return Move.GO
    return Move.RETURN if when_moved == "return" else Move.HOLD


def whereabouts(start: Window, now: Window | None) -> str:
    """Say where the focus is and where it was, without titles: they may hold what is nobody's business."""
    was = start.app or "one window"
    if now is None:
        return f"The recording started in {was}, which has the focus no more."
    if now.app == start.app:
        return f"The recording started in another window{f' of {start.app}' if start.app else ''}."
    return f"The recording started in {was}; the focus is in {now.app or 'another window'} now."
