"""Hotkeys by the desktop's GlobalShortcuts portal: GNOME 48 and newer, KDE Plasma, Hyprland.

https://flatpak.github.io/xdg-desktop-portal/docs/doc-org.freedesktop.portal.GlobalShortcuts.html
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from dbus_fast import Message, Variant

from v2m.domain.delivery import Session
from v2m.domain.hotkeys import PORTAL as NAMES
from v2m.domain.hotkeys import Shortcut
from v2m.infrastructure import _portal
from v2m.infrastructure._confine_memory import open_memory_for_portals
from v2m.infrastructure._dbus import CALL_S, Bus, plain
from v2m.infrastructure._portal import PATH, PORTAL, DeniedError, PortalError, UnansweredError
from v2m.infrastructure.desktop.hotkeys.refusal import RefusedError, UnreachableError

log = logging.getLogger(__name__)

_REGISTRY: Final = "org.freedesktop.host.portal.Registry"
CONSENT_S: Final = 120.0  # for the user to read and answer the desktop's dialog
ADVICE: Final = "v2m hotkey print tells what to bind by hand"


class PortalHotkeys:
    """A back end of `LiveHotkeys`; the user chooses the keys in the desktop's own dialog."""

    name = "portal"

    def __init__(
        self,
        shortcuts: Sequence[Shortcut],
        *,
        bus_address: Callable[[], str | None],
        entry: Path,
        program: str,
        consent_s: float = CONSENT_S,
    ) -> None:
        """`bus_address` is asked each time: a session bus may come later than the daemon.

        Portals since 1.21 know a program by its entry in the menu: it is made at `entry`, and starts `program`.
        """
        self._shortcuts = tuple(shortcuts)
        self._bus_address = bus_address
        self._entry = entry
        self._program = program
        self._consent_s = consent_s

    def fits(self, session: Session) -> bool:
        """Tell whether there is a desktop at all; which portals it has is known when it is asked."""
        return bool(session.variables) and self._bus_address() is not None

    async def serve(
        self, session: Session, press: Callable[[str, int], None], bound: Callable[[Mapping[str, str]], None]
    ) -> None:
        """Bind and listen until the session ends; cancelling ends it. Raises RefusedError, UnreachableError."""
        del session
        self._write_entry()
        try:
            portal = await GlobalShortcuts.connect(self._bus_address() or "")
        except PortalError as error:
            raise UnreachableError(f"No hotkeys: {error} ({ADVICE}).") from error
        try:
            await portal.bind(self._entry.stem, self._shortcuts, press, bound, self._consent_s)
            await portal.ended()
        except DeniedError as error:
            raise RefusedError(f"The desktop was told not to give v2m its hotkeys ({ADVICE}).") from error
        except UnansweredError as error:  # asked over and over it would be a nuisance
            unanswered = "Nobody answered the desktop's question about hotkeys: v2m daemon restart asks again"
            raise RefusedError(f"{unanswered} ({ADVICE}).") from error
        except PortalError as error:
            raise UnreachableError(f"No hotkeys: {error} ({ADVICE}).") from error
        finally:
            await portal.close()

    def _write_entry(self) -> None:
        """Have an entry that no menu shows: the desktop takes our name from it."""
        entry = (
            "[Desktop Entry]\nType=Application\nName=v2m dictation\nIcon=audio-input-microphone\n"
            f"Exec={_exec(self._program)}\nNoDisplay=true\n"
        )
        try:
            if not self._entry.exists() or self._entry.read_text() != entry:
                self._entry.parent.mkdir(parents=True, exist_ok=True)
                self._entry.write_text(entry)
        except OSError as error:  # older portals ask for none
            log.debug("no menu entry: %s", error)


def _exec(program: str) -> str:
    """Return a program as the Desktop Entry Specification writes it: quoted, `%` doubled."""
    quoted = "".join(f"\\{each}" if each in '"`$\\' else each for each in program)
    return '"' + quoted.replace("\\", "\\\\").replace("%", "%%") + '"'


class GlobalShortcuts(_portal.Portal):
    """A portal whose session tells of keys."""

    interface = "org.freedesktop.portal.GlobalShortcuts"

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus)
        self._actions: Mapping[tuple[str, str], str] = {}  # signal and shortcut → what is to be done
        self._press: Callable[[str, int], None] = lambda _action, _at_ns: None
        self._bound: Callable[[Mapping[str, str]], None] = lambda _triggers: None
        self._over = asyncio.Event()

    async def is_there(self) -> bool:
        """Tell whether this desktop has the portal; shows no dialog."""
        try:
            return await self._property("version") > 0
        except PortalError:
            return False

    async def bind(
        self,
        app_id: str,
        shortcuts: Sequence[Shortcut],
        press: Callable[[str, int], None],
        bound: Callable[[Mapping[str, str]], None],
        consent_s: float,
    ) -> None:
        """Ask for these shortcuts, which may ask the user; from then on tell of their presses and releases.

        Raises:
            DeniedError: the user, or the desktop, gives none.
            UnansweredError: nobody answered within `consent_s`.
            PortalError: there is no such portal, or it does not work.
        """
        self._actions = {
            **{("Activated", shortcut.name): shortcut.pressed for shortcut in shortcuts},
            **{("Deactivated", shortcut.name): shortcut.released for shortcut in shortcuts if shortcut.released},
        }
        self._press, self._bound = press, bound
        await self._register(app_id)
        named = {"session_handle_token": Variant("s", self._token())}
        try:
            created = await self._request("CreateSession", "a{sv}", [], named, CALL_S)
        except UnansweredError as error:  # this asks nobody
            raise PortalError("the desktop's portal does not answer") from error
        self._session = str(plain(created.get("session_handle", "")))
        asked = [[shortcut.name, _wish(shortcut)] for shortcut in shortcuts]
        body = [self._session, asked, ""]
        answer = await self._request("BindShortcuts", "oa(sa{sv})sa{sv}", body, {}, consent_s)
        triggers = _triggers(plain(answer.get("shortcuts", [])))
        if not triggers:
            raise DeniedError("it gave none")
        bound(triggers)

    async def _register(self, app_id: str) -> None:
        """Say who we are, before anything else is asked; portals before 1.20 do not want to know."""
        open_memory_for_portals()  # they look at the caller
        with contextlib.suppress(PortalError):
            await self._ask(PORTAL, PATH, _REGISTRY, "Register", "sa{sv}", [app_id, {}])

    async def ended(self) -> None:
        """Return when the session or the bus is gone."""
        async with asyncio.TaskGroup() as group:
            waits = [group.create_task(self._over.wait()), group.create_task(self._bus.ended())]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()

    def _heard(self, message: Message) -> None:
        heard_ns = time.monotonic_ns()
        if message.interface != self.interface:
            super()._heard(message)
        elif not self._session or message.body[0] != self._session:
            return
        elif message.member == "ShortcutsChanged":
            self._bound(_triggers(message.body[1]))
        elif action := self._actions.get((message.member or "", message.body[1])):
            self._press(action, heard_ns)

    def _lost(self) -> None:
        super()._lost()
        self._over.set()


def _wish(shortcut: Shortcut) -> Mapping[str, Variant]:
    return {
        "description": Variant("s", shortcut.description),
        "preferred_trigger": Variant("s", shortcut.keys.written(NAMES)),
    }


def _triggers(shortcuts: Sequence[Any]) -> Mapping[str, str]:
    """Return what the desktop calls the keys of each shortcut; it may be others than were wished for."""
    return {str(name): str(plain(about.get("trigger_description", ""))) for name, about in shortcuts}
