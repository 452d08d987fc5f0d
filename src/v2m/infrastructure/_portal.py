"""One conversation with a portal of the desktop: requests that are answered by signals, a session, and its end.

https://flatpak.github.io/xdg-desktop-portal/docs/requests.html and …/sessions.html
"""

import asyncio
import contextlib
import os
from collections.abc import Mapping
from typing import Any, Final, Self

from dbus_fast import Message, Variant

from v2m.infrastructure._confine_memory import open_memory_for_portals
from v2m.infrastructure._dbus import BUS, CALL_S, Bus, BusError, BusSilentError, plain

PORTAL: Final = "org.freedesktop.portal.Desktop"
PATH: Final = "/org/freedesktop/portal/desktop"
_BACKENDS: Final = "org.freedesktop.impl.portal.desktop"  # the desktops' own parts, by which the portal acts
_REQUEST: Final = "org.freedesktop.portal.Request"
_SESSION: Final = "org.freedesktop.portal.Session"
_GRANTED, _DENIED = 0, 1  # responses; anything else: it ended otherwise


class PortalError(Exception):
    """The portal is missing, refuses, hangs or is gone; `str()` says what as the rest of a sentence."""


class DeniedError(PortalError):
    """The user said no."""


class UnansweredError(PortalError):
    """Nobody answered the question that it put to the user."""


class SilentError(PortalError):
    """It did not answer, so what was asked may have happened."""


class Portal:
    """A connection to the session bus on which at most one session is open; it lives until the bus or `close`.

    `interface` is the portal that is meant; a subclass knows its methods.
    """

    interface: str

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._answers: dict[str, asyncio.Future[tuple[int, Mapping[str, Any]]]] = {}  # path of a request → response
        self._session = ""
        self._tokens = 0

    @classmethod
    async def connect(cls, address: str) -> Self:
        """Connect to the session bus. Raises PortalError."""
        try:
            portal = cls(await Bus.connect(address))
        except BusError as error:
            raise PortalError("the session bus does not answer") from error
        try:
            await portal._bus.listen(
                portal._heard,
                f"interface='{_REQUEST}',member='Response'",
                f"interface='{_SESSION}',member='Closed'",
                f"sender='{PORTAL}',interface='{cls.interface}'",
                f"sender='{BUS}',member='NameOwnerChanged',arg0='{PORTAL}'",
                f"sender='{BUS}',member='NameOwnerChanged',arg0namespace='{_BACKENDS}'",
            )
        except BusError as error:
            await portal.close()
            raise SilentError("the desktop's portal does not answer") from error
        except BaseException:
            await portal.close()
            raise
        return portal

    @property
    def connected(self) -> bool:
        """Whether the bus is still there."""
        return self._bus.connected

    @property
    def is_open(self) -> bool:
        """Whether there is a session."""
        return bool(self._session) and self.connected

    async def end(self) -> None:
        """End the session; never raises."""
        if self.connected and self._session:
            await self._end(self._session)

    async def close(self) -> None:
        """End the session and the connection; never raises."""
        if self.connected:
            await self.end()
            await self._bus.close()
        self._session = ""

    # --- for subclasses ---

    async def _end(self, session: str) -> None:
        self._session = ""
        with contextlib.suppress(PortalError):
            await self._ask(PORTAL, session, _SESSION, "Close", "", [])

    async def _property(self, name: str) -> int:
        arguments = [self.interface, name]
        answer = await self._ask(PORTAL, PATH, "org.freedesktop.DBus.Properties", "Get", "ss", arguments)
        return int(plain(answer[0]))

    async def _request(
        self, member: str, signature: str, arguments: list[Any], options: Mapping[str, Variant], timeout_s: float
    ) -> Mapping[str, Any]:
        """Ask for what is answered by a signal of a request's own, and wait for that."""
        open_memory_for_portals()
        token = self._token()
        sender = self._bus.name.removeprefix(":").replace(".", "_")
        path = f"{PATH}/request/{sender}/{token}"
        answer: asyncio.Future[tuple[int, Mapping[str, Any]]] = asyncio.get_running_loop().create_future()
        self._answers[path] = answer  # before the call: it may come before the reply
        try:
            body = [*arguments, {"handle_token": Variant("s", token), **options}]
            await self._ask(PORTAL, PATH, self.interface, member, signature, body)
            async with asyncio.timeout(timeout_s):
                code, results = await answer
        except BaseException as error:  # nobody waits any more: takes a dialog away
            with contextlib.suppress(PortalError):
                await self._ask(PORTAL, path, _REQUEST, "Close", "", [])
            if isinstance(error, TimeoutError):
                raise UnansweredError("nobody answered its question in time") from error
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
        try:
            answer = await self._bus.call(to, path, interface, member, signature, arguments, timeout_s=CALL_S)
        except BusSilentError as error:
            raise SilentError("the desktop's portal does not answer") from error
        except BusError as error:
            raise PortalError("the desktop's portal refuses") from error
        return list(answer.body)

    def _token(self) -> str:
        self._tokens += 1
        return f"v2m{os.getpid()}_{self._tokens}"

    def _heard(self, message: Message) -> None:
        if message.member == "Response" and (answer := self._answers.get(message.path or "")):
            if not answer.done():
                answer.set_result((message.body[0], message.body[1]))
        elif message.member == "Closed" and message.path == self._session:
            self._lost()
        elif message.member == "NameOwnerChanged" and message.body[1]:
            self._gone()

    def _lost(self) -> None:
        """Take note that there is no session any more."""
        self._session = ""

    def _gone(self) -> None:
        """The portal, or what is behind it, has ended: nothing that was asked of it will be answered."""
        self._lost()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_result((_DENIED + 1, {}))
