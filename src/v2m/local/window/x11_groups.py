"""The X keyboard extension as far as python-xlib lacks it: groups in the state of key events, and map changes."""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from Xlib.display import Display

_CORE_KEYBOARD: Final = 0x0100  # XkbUseCoreKbd
_CHANGES: Final = 0b11  # XkbNewKeyboardNotifyMask, XkbMapNotifyMask
_ALL_PARTS: Final = 0xFF  # XkbAllMapComponentsMask


def use_groups(display: "Display") -> int | None:
    """Become a client that knows of groups: to others the server shows them as modifiers.

    Returns the type of the events that then stand for `MappingNotify`; None: the server has no such extension.
    """
    found = display.query_extension("XKEYBOARD")
    if found is None:
        return None
    use_extension, select_events = _requests()
    use_extension(display=display.display, extension=found.major_opcode, major=1, minor=0)
    select_events(
        display=display.display,
        extension=found.major_opcode,
        device=_CORE_KEYBOARD,
        affected=_CHANGES,
        cleared=0,
        selected=_CHANGES,
        affected_map=_ALL_PARTS,
        map=_ALL_PARTS,
    )
    return int(found.first_event)


def _requests() -> tuple[Any, Any]:
    """Return the requests for using the extension and for selecting its events."""
    from Xlib.protocol import rq

    class UseExtension(rq.ReplyRequest):  # type: ignore[misc]  # python-xlib has no types
        _request = rq.Struct(
            rq.Card8("extension"), rq.Opcode(0), rq.RequestLength(), rq.Card16("major"), rq.Card16("minor")
        )
        _reply = rq.Struct(
            rq.ReplyCode(),
            rq.Bool("supported"),
            rq.Card16("sequence_number"),
            rq.ReplyLength(),
            rq.Card16("server_major"),
            rq.Card16("server_minor"),
            rq.Pad(20),
        )

    class SelectEvents(rq.Request):  # type: ignore[misc]
        _request = rq.Struct(
            rq.Card8("extension"),
            rq.Opcode(1),
            rq.RequestLength(),
            rq.Card16("device"),
            rq.Card16("affected"),
            rq.Card16("cleared"),
            rq.Card16("selected"),
            rq.Card16("affected_map"),
            rq.Card16("map"),
        )

    return UseExtension, SelectEvents
