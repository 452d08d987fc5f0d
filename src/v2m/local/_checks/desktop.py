"""The desktop: its session, the ways of typing, clipboard, notifications."""

import asyncio
from typing import Any, Final

from v2m.core.di.adapters import make_clipboard, make_outputs
from v2m.domain.delivery import Session
from v2m.domain.ports import TextOutput
from v2m.infrastructure._wayland.connection import Connection, WaylandError
from v2m.local._checks.cures import set_to
from v2m.local._checks.facts import Facts
from v2m.local._checks.finding import Finding, fail, ok, skip, warn
from v2m.utils.paths import session_bus_address

IMPORT: Final = "systemctl --user import-environment WAYLAND_DISPLAY DISPLAY XAUTHORITY SWAYSOCK XDG_CURRENT_DESKTOP"
PROBE_S: Final = 2.0
BUS_S: Final = 1.5
PROTOCOLS: Final = {  # interface → what it is good for
    "zwp_input_method_manager_v2": "whole texts with a receipt",
    "zwp_virtual_keyboard_manager_v1": "keys without a child process",
    "zwlr_data_control_manager_v1": "clipboard and pasting",
    "zwlr_foreign_toplevel_manager_v1": "knowing the focused window",
}
_SAME: Final = {"zwlr_data_control_manager_v1": "ext_data_control_manager_v1"}
_NOTIFICATIONS: Final = "org.freedesktop.Notifications"


def display(facts: Facts) -> Finding:
    """There is a desktop to type into."""
    session = facts.session
    if session.wayland or session.x11:
        return ok(f"{session.wayland or session.x11}, found by the {session.origin}.")
    return warn("No desktop answers: texts are kept and can be printed (v2m stop --none).", IMPORT)


async def outputs(facts: Facts) -> Finding:
    """At least one way of typing works."""
    if facts.daemon.answers:
        told = [(way["name"], way["usable"], way["reason"]) for way in facts.daemon.status.get("outputs") or []]
    else:
        told = await _probe(facts)
    usable = [name for name, is_usable, _ in told if is_usable and name not in _last_resort(facts)]
    if usable:
        return ok(f"{usable[0]} is used{', then ' + ', '.join(usable[1:]) if usable[1:] else ''}.")
    if not (facts.session.wayland or facts.session.x11) and not facts.daemon.status.get("session", {}).get("variables"):
        return skip("There is no desktop.")
    reasons = " ".join(f"{name}: {reason}" for name, _, reason in told) or "All ways of typing are excluded."
    return fail(f"Nothing can be typed here. {reasons}", _cure(facts))


def _last_resort(facts: Facts) -> set[str]:
    """Return what comes last by itself, and types nothing: it counts where it was chosen only."""
    method = facts.settings.output.method
    return set() if method != "auto" and "clipboard" in method else {"clipboard"}


def _cure(facts: Facts) -> str:
    output = facts.settings.output
    if output.method != "auto":
        return set_to(facts.settings, "output.method", "auto")
    if output.exclude:
        return set_to(facts.settings, "output.exclude", "[]")
    return "apt install wtype" if facts.session.wayland else "apt install xdotool"


async def _probe(facts: Facts) -> list[tuple[str, bool, str]]:
    """Ask each way of typing; they type nothing."""
    async with asyncio.TaskGroup() as group:
        asked = [
            group.create_task(_ask(output, facts.session)) for output in make_outputs(facts.settings, lambda: False)
        ]
    return [each.result() for each in asked]


async def _ask(output: TextOutput, session: Session) -> tuple[str, bool, str]:
    try:
        async with asyncio.timeout(PROBE_S):
            found = await output.probe(session)
            return output.name, found.usable, found.reason
    except TimeoutError:
        return output.name, False, "It does not answer."
    finally:
        await output.aclose()


async def compositor(facts: Facts) -> Finding:
    """The compositor lets programs type and know the focus."""
    if facts.session.wayland is None:
        return skip("There is no Wayland compositor.")
    try:
        connection = await Connection.open(facts.session.wayland)
    except WaylandError as error:
        return fail(f"{error}.", IMPORT)
    offered = set(connection.globals)
    connection.close()
    lacking = [name for name in PROTOCOLS if name not in offered and _SAME.get(name) not in offered]
    if lacking:
        return warn("It lacks " + ", ".join(f"{name} ({PROTOCOLS[name]})" for name in lacking) + ".", "v2m outputs")
    return ok("It offers all protocols that v2m uses.")


async def clipboard(facts: Facts) -> Finding:
    """What cannot be typed can be put on the clipboard."""
    if not (facts.session.wayland or facts.session.x11):
        return skip("There is no desktop.")
    last = make_clipboard()
    try:
        found = await last.probe(facts.session)
    finally:
        await last.aclose()
    return ok(found.reason) if found.usable else warn(found.reason, "v2m last")


async def notifications(facts: Facts) -> Finding:
    """Somebody shows notifications."""
    if not facts.settings.notifications.enabled:
        return skip("Notifications are off.")
    address = session_bus_address()
    if address is None:
        return warn("There is no session bus: no notification is shown.", "systemctl --user start dbus.socket")
    try:
        async with asyncio.timeout(BUS_S):
            names = await _bus_names(address)
    except (OSError, EOFError, TimeoutError, ValueError):
        return warn("The session bus does not answer: no notification is shown.", "systemctl --user start dbus.socket")
    if _NOTIFICATIONS in names:
        return ok("A notification service is there.")
    return warn("Nobody shows notifications.", "apt install mako-notifier && mako &")


async def _bus_names(address: str) -> set[str]:
    """Return the names that are owned, or would be started. Raises OSError, EOFError."""
    from dbus_fast import AuthError, DBusError, InvalidAddressError, Message
    from dbus_fast.aio import MessageBus

    def question(member: str) -> Message:
        place = "org.freedesktop.DBus"
        return Message(destination=place, path="/org/freedesktop/DBus", interface=place, member=member)

    try:
        bus = await MessageBus(bus_address=address).connect()
    except (AuthError, DBusError, InvalidAddressError) as error:
        raise OSError(str(error)) from error
    try:
        answers: list[Any] = [await bus.call(question(member)) for member in ("ListNames", "ListActivatableNames")]
        return {name for answer in answers if answer and answer.body for name in answer.body[0]}
    finally:
        bus.disconnect()
