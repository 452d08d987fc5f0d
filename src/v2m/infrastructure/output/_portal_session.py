"""One conversation with the desktop's RemoteDesktop portal: permission, keys, and how it ends.

https://flatpak.github.io/xdg-desktop-portal/docs/doc-org.freedesktop.portal.RemoteDesktop.html
"""

import asyncio
import contextlib
import os
from collections.abc import Mapping
from typing import Any, Final, Self

from dbus_fast import AuthError, DBusError, InvalidAddressError, Message, MessageFlag, MessageType, Variant
from dbus_fast.aio import MessageBus

CONNECT_S: Final = 0.5
CALL_S: Final = 2.0  # the bus may have to start the portal first
CONSENT_S: Final = 45.0  # for the user to read and answer a dialog

KEYBOARD: Final = 1  # bit of device types
_PORTAL: Final = "org.freedesktop.portal.Desktop"
_BACKENDS: Final = "org.freedesktop.impl.portal.desktop"  # the desktops' own parts, by which the portal acts
_PATH: Final = "/org/freedesktop/portal/desktop"
_REMOTE: Final = "org.freedesktop.portal.RemoteDesktop"
_REQUEST: Final = "org.freedesktop.portal.Request"
_SESSION: Final = "org.freedesktop.portal.Session"
_BUS: Final = "org.freedesktop.DBus"
_TOKENS_SINCE: Final = 2  # version of the portal that can remember a permission
_UNTIL_REVOKED: Final = 2  # persist_mode
_GRANTED, _DENIED = 0, 1  # responses; anything else: it ended otherwise
_TROUBLE: Final = (OSError, EOFError, TimeoutError, DBusError, AuthError, InvalidAddressError)


class PortalError(Exception):
    """The portal is missing, refuses, hangs or is gone; `str()` says what as the rest of a sentence."""


class DeniedError(PortalError):
    """The user said no."""


class TokenError(PortalError):
    """The token of an earlier permission is not taken."""


class SilentError(PortalError):
    """It did not answer, so what was asked may have happened."""


class Portal:
    """A connection to the session bus on which at most one session is open; it lives until the bus or `close`."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus
        self._answers: dict[str, asyncio.Future[tuple[int, Mapping[str, Any]]]] = {}  # path of a request → response
        self._session = ""
        self._tokens = 0

    @classmethod
    async def connect(cls, address: str) -> Self:
        """Connect to the session bus. Raises PortalError."""
        try:
            bus = MessageBus(bus_address=address)
            async with asyncio.timeout(CONNECT_S):
                await bus.connect()
        except _TROUBLE as error:
            await asyncio.sleep(0)  # the loop forgets an abandoned descriptor one turn later
            raise PortalError("the session bus does not answer") from error
        portal = cls(bus)
        bus.add_message_handler(portal._message)
        try:
            for rule in (
                f"type='signal',interface='{_REQUEST}',member='Response'",
                f"type='signal',interface='{_SESSION}',member='Closed'",
                f"type='signal',sender='{_BUS}',member='NameOwnerChanged',arg0='{_PORTAL}'",
                f"type='signal',sender='{_BUS}',member='NameOwnerChanged',arg0namespace='{_BACKENDS}'",
            ):
                await portal._ask(_BUS, "/org/freedesktop/DBus", _BUS, "AddMatch", "s", [rule])
        except BaseException:
            await portal.close()
            raise
        return portal

    @property
    def connected(self) -> bool:
        """Whether the bus is still there."""
        return bool(self._bus.connected)

    @property
    def is_open(self) -> bool:
        """Whether there is a session that takes keys."""
        return bool(self._session) and self.connected

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
        session = str(_plain(created.get("session_handle", "")))
        wanted = {"types": Variant("u", KEYBOARD)}
        if remembers:
            wanted["persist_mode"] = Variant("u", _UNTIL_REVOKED)
            if restore_token:
                wanted["restore_token"] = Variant("s", restore_token)
        self._session = session  # from here on `Closed` is about it
        try:
            await self._select(session, wanted)
            started = await self._request("Start", "osa{sv}", [session, ""], {}, CONSENT_S)
            if not int(_plain(started.get("devices", KEYBOARD))) & KEYBOARD:
                raise DeniedError("it gave no keyboard")
            if self._session != session:
                raise PortalError("it was closed at once")
        except BaseException:
            await self._end(session)
            raise
        return str(_plain(started.get("restore_token", "")))

    async def press(self, symbol: int, *, pressed: bool) -> None:
        """Press or let go of a key. Raises PortalError: it was not taken; SilentError: it may have been."""
        if not self.is_open:
            raise PortalError("the desktop ended the session")
        arguments = [self._session, {}, symbol, int(pressed)]
        await self._ask(_PORTAL, _PATH, _REMOTE, "NotifyKeyboardKeysym", "oa{sv}iu", arguments)

    async def check(self) -> None:
        """Return when everything that the bus knew by now has been heard. Raises PortalError: the session has ended."""
        await self._ask(_BUS, "/org/freedesktop/DBus", _BUS, "GetId", "", [])
        if not self.is_open:
            raise PortalError("the desktop ended the session")

    async def end(self) -> None:
        """End the session: the desktop lets go of every key that is down; never raises."""
        if self.connected and self._session:
            await self._end(self._session)

    async def close(self) -> None:
        """End the session and the connection; never raises."""
        if self.connected:
            await self.end()
            self._bus.disconnect()
            with contextlib.suppress(*_TROUBLE):
                async with asyncio.timeout(CONNECT_S):
                    await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
        self._session = ""

    # --- the wire ---

    async def _select(self, session: str, wanted: Mapping[str, Variant]) -> None:
        try:
            await self._request("SelectDevices", "oa{sv}", [session], wanted, CALL_S)
        except PortalError as error:
            if "restore_token" in wanted:
                raise TokenError(str(error)) from error
            raise

    async def _end(self, session: str) -> None:
        self._session = ""
        with contextlib.suppress(PortalError):
            await self._ask(_PORTAL, session, _SESSION, "Close", "", [])

    async def _property(self, name: str) -> int:
        arguments = [_REMOTE, name]
        answer = await self._ask(_PORTAL, _PATH, "org.freedesktop.DBus.Properties", "Get", "ss", arguments)
        return int(_plain(answer[0]))

    async def _request(
        self, member: str, signature: str, arguments: list[Any], options: Mapping[str, Variant], timeout_s: float
    ) -> Mapping[str, Any]:
        """Ask for what is answered by a signal of a request's own, and wait for that."""
        token = self._token()
        sender = str(self._bus.unique_name).removeprefix(":").replace(".", "_")
        path = f"{_PATH}/request/{sender}/{token}"
        answer: asyncio.Future[tuple[int, Mapping[str, Any]]] = asyncio.get_running_loop().create_future()
        self._answers[path] = answer  # before the call: it may come before the reply
        try:
            body = [*arguments, {"handle_token": Variant("s", token), **options}]
            await self._ask(_PORTAL, _PATH, _REMOTE, member, signature, body)
            async with asyncio.timeout(timeout_s):
                code, results = await answer
        except BaseException as error:  # nobody waits any more: takes a dialog away
            with contextlib.suppress(PortalError):
                await self._ask(_PORTAL, path, _REQUEST, "Close", "", [])
            if isinstance(error, TimeoutError):
                raise PortalError("nobody answered its question in time") from error
            raise
        finally:
            del self._answers[path]
        if code == _DENIED:
            raise DeniedError("it was refused")
        if code != _GRANTED:
            raise PortalError("the desktop ended the request")
        return results

    async def _ask(
        self, to: str, path: str, interface: str, member: str, signature: str, arguments: list[Any]
    ) -> list[Any]:
        """Call a method and return what it answers. Raises PortalError."""
        message = Message(
            destination=to,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=arguments,
            flags=MessageFlag.NONE,
        )
        try:
            async with asyncio.timeout(CALL_S):
                answer = await self._bus.call(message)
        except _TROUBLE as error:
            raise SilentError("the desktop's portal does not answer") from error
        if answer is None:
            raise SilentError("the session bus is gone")
        if answer.message_type is MessageType.ERROR:
            raise PortalError("the desktop's portal refuses")
        return list(answer.body)

    def _token(self) -> str:
        self._tokens += 1
        return f"v2m{os.getpid()}_{self._tokens}"

    def _message(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL:
            return
        if message.member == "Response" and (answer := self._answers.get(message.path or "")):
            if not answer.done():
                answer.set_result((message.body[0], message.body[1]))
        elif message.member == "Closed" and message.path == self._session:
            self._session = ""
        elif message.member == "NameOwnerChanged" and message.body[1]:
            self._gone()

    def _gone(self) -> None:
        """The portal, or what is behind it, has ended: nothing that was asked of it will be answered."""
        self._session = ""
        for answer in self._answers.values():
            if not answer.done():
                answer.set_result((_DENIED + 1, {}))


def _plain(value: object) -> Any:  # noqa: ANN401 - D-Bus
    return value.value if isinstance(value, Variant) else value
