"""One conversation with the desktop's RemoteDesktop portal: permission, and keys.

https://flatpak.github.io/xdg-desktop-portal/docs/doc-org.freedesktop.portal.RemoteDesktop.html
"""

from collections.abc import Mapping
from typing import Final

from dbus_fast import Variant

from v2m.infrastructure import _portal
from v2m.infrastructure._dbus import BUS, CALL_S, plain
from v2m.infrastructure._portal import PATH, PORTAL, DeniedError, PortalError, SilentError

__all__ = ["DeniedError", "Portal", "PortalError", "SilentError", "TokenError"]

CONSENT_S: Final = 45.0  # for the user to read and answer a dialog
KEYBOARD: Final = 1  # bit of device types
_TOKENS_SINCE: Final = 2  # version of the portal that can remember a permission
_UNTIL_REVOKED: Final = 2  # persist_mode


class TokenError(PortalError):
    """The token of an earlier permission is not taken."""


class Portal(_portal.Portal):
    """A portal whose session takes keys."""

    interface = "org.freedesktop.portal.RemoteDesktop"

    async def has_keyboard(self) -> bool:
        """Tell whether this desktop's portal lets programs type; shows no dialog. Raises PortalError."""
        return bool(await self._property("AvailableDeviceTypes") & KEYBOARD)

    async def open(self, restore_token: str) -> str:
        """Open a session, which asks the user unless the token is good; return the next token, empty for none.

        Raises:
            DeniedError: the user said no.
            TokenError: the token is no good; nobody was asked.
            PortalError: there is no portal, it refuses, or nobody answered within CONSENT_S.
        """
        remembers = await self._property("version") >= _TOKENS_SINCE
        named = {"session_handle_token": Variant("s", self._token())}
        created = await self._request("CreateSession", "a{sv}", [], named, CALL_S)
        session = str(plain(created.get("session_handle", "")))
        wanted = {"types": Variant("u", KEYBOARD)}
        if remembers:
            wanted["persist_mode"] = Variant("u", _UNTIL_REVOKED)
            if restore_token:
                wanted["restore_token"] = Variant("s", restore_token)
        self._session = session  # from here on `Closed` is about it
        try:
            await self._select(session, wanted)
            started = await self._request("Start", "osa{sv}", [session, ""], {}, CONSENT_S)
            if not int(plain(started.get("devices", KEYBOARD))) & KEYBOARD:
                raise DeniedError("it gave no keyboard")
            if self._session != session:
                raise PortalError("it was closed at once")
        except BaseException:
            await self._end(session)
            raise
        return str(plain(started.get("restore_token", "")))

    async def press(self, symbol: int, *, pressed: bool) -> None:
        """Press or let go of a key. Raises PortalError: it was not taken; SilentError: it may have been."""
        if not self.is_open:
            raise PortalError("the desktop ended the session")
        arguments = [self._session, {}, symbol, int(pressed)]
        await self._ask(PORTAL, PATH, self.interface, "NotifyKeyboardKeysym", "oa{sv}iu", arguments)

    async def check(self) -> None:
        """Return when everything that the bus knew by now has been heard. Raises PortalError: the session has ended."""
        await self._ask(BUS, "/org/freedesktop/DBus", BUS, "GetId", "", [])
        if not self.is_open:
            raise PortalError("the desktop ended the session")

    async def _select(self, session: str, wanted: Mapping[str, Variant]) -> None:
        try:
            await self._request("SelectDevices", "oa{sv}", [session], wanted, CALL_S)
        except PortalError as error:
            if "restore_token" in wanted:
                raise TokenError(str(error)) from error
            raise
