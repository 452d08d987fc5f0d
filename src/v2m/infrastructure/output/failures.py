"""The failures that several outputs share, in the user's terms."""

from v2m.domain.errors import OutputError, OutputReason
from v2m.domain.ports import Availability

NO_WAYLAND = Availability(usable=False, reason="There is no Wayland compositor in this session.", foreign=True)
NO_X11 = Availability(usable=False, reason="There is no X11 display in this session.", foreign=True)
FOCUS_MOVED = "Another window got the focus while the text was typed."
NOT_READING = "The window does not read what is typed into it; it may have stopped."
MOVED_BEFORE = "The window that had the focus lost it before anything was typed."
FOCUS_UNKNOWN = "This compositor does not tell which window has the focus."


def no_display(reason: str) -> OutputError:
    """Return the error for a desktop that is not there; nothing was typed."""
    return OutputError(
        f"No desktop to type into: {reason}.",
        reason=OutputReason.NO_DISPLAY,
        hint="Dictate from a desktop session; v2m status shows where words would go.",
    )


def broken(reason: str, *, delivered: int | None) -> OutputError:
    """Return the error for a desktop that went away or hung while it was typed into."""
    return OutputError(
        f"Typing was interrupted: {reason}.",
        reason=OutputReason.TIMEOUT,
        delivered=delivered,
        hint="v2m last shows the text; v2m again types it once more.",
    )


def refused(message: str) -> OutputError:
    """Return the error for a window that does not take text this way; nothing was typed."""
    return OutputError(message, reason=OutputReason.REFUSED)


def unseen(message: str) -> OutputError:
    """Return the error for a window that does not show what stands before its cursor; nothing was removed."""
    return OutputError(message, reason=OutputReason.UNSEEN)


def secret_field(*, delivered: int = 0) -> OutputError:
    """Return the error for a field that asks for a password; nothing more may be typed, there or elsewhere."""
    message = "The focused field is a password field; nothing is typed there."
    if delivered:
        message = "The focused field proved to be a password field; what was typed there is kept nowhere."
    return OutputError(message, reason=OutputReason.SECRET_FIELD, delivered=delivered)
