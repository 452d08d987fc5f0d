"""Types through the desktop's RemoteDesktop portal: the way that GNOME and KDE have for it.

Keys are named by what they type, so the layout does not matter. The user is asked once; where the portal can
remember the answer, its token is kept in the state directory.
"""

import asyncio
import contextlib
import os
import time
from pathlib import Path
from typing import Final

from v2m.domain.delivery import Certainty, Delivery, Destination, Session
from v2m.domain.ports import AtBest, Availability
from v2m.infrastructure._wayland.backlog import UNREAD_LIMIT_BYTES, Backlog
from v2m.infrastructure.output._keysyms import keysym
from v2m.infrastructure.output._portal_session import DeniedError, Portal, PortalError, SilentError, TokenError
from v2m.infrastructure.output.failures import (
    FOCUS_MOVED,
    FOCUS_UNKNOWN,
    MOVED_BEFORE,
    NOT_READING,
    broken,
    no_display,
    refused,
)
from v2m.infrastructure.output.wayland.virtual_keyboard import BATCH, STALLED_S, TOO_LONG, UNSEEN_LIMIT

TOKEN_FILE: Final = "portal-token"  # noqa: S105 - the name of the file
MAX_TOKEN_BYTES: Final = 200  # a UUID has 36
ASKED_S: Final = 0.7  # a permission that is remembered is given within; longer means that there was a dialog
FOCUS_BACK_S: Final = 0.5  # for the window below a dialog that has been answered

_ASKED: Final = "The desktop asked for your permission first, so another window may have had the focus."
_DENIED: Final = "You did not allow v2m to type through the portal; toakd asks again after a restart."


class PortalOutput:
    """Keys from the desktop itself; the session stays open for the next text."""

    name = "portal"
    at_best = AtBest(400)  # measured: 2 to 3 ms per character, so a longer one is better pasted

    def __init__(self, *, bus_address: str | None, state: Path) -> None:
        """`state`: the directory in which the permission's token is kept."""
        self._address = bus_address
        self._token_file = state / TOKEN_FILE
        self._portal: Portal | None = None
        self._denied = False

    async def probe(self, session: Session) -> Availability:
        """Say whether the desktop's portal lets programs type; never shows a dialog."""
        if not (session.wayland or session.x11):
            return Availability(usable=False, reason="There is no desktop session whose portal could type.")
        if self._denied:
            return Availability(usable=False, reason=_DENIED)
        try:
            portal = await self._connected()
            if not (portal.is_open or await portal.has_keyboard()):
                return Availability(usable=False, reason="No portal: this desktop's takes no keys.")
        except PortalError as error:
            return Availability(usable=False, reason=f"No portal: {error}.")
        if portal.is_open:
            return Availability(usable=True, reason="The desktop's portal types, as you have allowed.")
        asks = "asks you first" if not await asyncio.to_thread(self._read_token) else "types, as you have allowed"
        return Availability(usable=True, reason=f"The desktop's portal {asks}.")

    async def deliver(self, text: str, to: Destination) -> Delivery:
        """Type it; the first time the desktop asks the user, who has 45 s to answer."""
        if not (to.session.wayland or to.session.x11):
            raise no_display("there is none whose portal could type")
        if self._denied:
            raise refused(_DENIED)
        if any(0xD800 <= ord(character) <= 0xDFFF for character in text):
            raise refused("The text has characters that no key stands for.")
        try:
            portal = await self._connected()
        except PortalError as error:
            raise no_display(str(error)) from error
        try:
            asked = not portal.is_open and await self._open(portal)
        except DeniedError as error:
            self._denied = True
            raise refused(_DENIED) from error
        except PortalError as error:
            raise refused(f"The desktop's portal does not type: {error}.") from error
        typed, detail = await _Typing(portal, to).run(text)
        detail = detail or (_ASKED if asked else "") or (FOCUS_UNKNOWN if to.window is None else "")
        return Delivery(self.name, Certainty.UNCERTAIN if detail else Certainty.SENT, typed, detail=detail)

    async def aclose(self) -> None:
        """Give the session back."""
        portal, self._portal = self._portal, None
        if portal is not None:
            await portal.close()

    async def _connected(self) -> Portal:
        """Return the resident connection, a new one when the bus was restarted. Raises PortalError."""
        if self._portal is None or not self._portal.connected:
            await self.aclose()
            if self._address is None:
                raise PortalError("there is no session bus")
            self._portal = await Portal.connect(self._address)
        return self._portal

    async def _open(self, portal: Portal) -> bool:
        """Open a session; tell whether the user was asked. Raises PortalError."""
        token, begun = await asyncio.to_thread(self._read_token), time.monotonic()
        try:
            following = await portal.open(token)
        except TokenError:
            await asyncio.to_thread(self._keep_token, "")  # of another desktop, or damaged
            following = await portal.open("")
        asked = time.monotonic() - begun > ASKED_S
        await asyncio.to_thread(self._keep_token, following)  # a token is good once
        if asked:
            await asyncio.sleep(FOCUS_BACK_S)
        return asked

    def _read_token(self) -> str:
        try:
            fd = os.open(self._token_file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return ""
        try:
            token = os.read(fd, MAX_TOKEN_BYTES).decode("ascii", "replace").strip()
        except OSError:
            return ""
        finally:
            os.close(fd)
        return token if token.replace("-", "").isalnum() and token.isascii() else ""

    def _keep_token(self, token: str) -> None:
        """Replace the token, or forget it; where it cannot be kept the user is asked again."""
        with contextlib.suppress(OSError):
            self._token_file.unlink(missing_ok=True)
            if token:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                fd = os.open(self._token_file, flags, 0o600)
                try:
                    os.write(fd, token.encode())
                finally:
                    os.close(fd)


class _Typing:
    """One text on its way.

    The portal takes a key before the desktop behind it has it (measured: one that was taken was lost each time
    the session ended), so once it has taken one, how many arrived is unknown when it breaks off.
    """

    def __init__(self, portal: Portal, to: Destination) -> None:
        self._portal = portal
        self._to = to
        # An X server disconnects nobody who does not read.
        self._backlog = Backlog(to.session.wayland) if to.session.wayland else None
        self._taken = 0  # keys that the portal took

    async def run(self, text: str) -> tuple[int, str]:
        """Press key after key; return how many, and why it stopped or what is not sure, empty for neither.

        Raises:
            OutputError: with 0 delivered when the portal took none, else None.
        """
        try:
            if self._backlog and not self._backlog.available and len(text) > UNSEEN_LIMIT:
                raise refused(TOO_LONG)
            return await self._press(text)
        except PortalError as error:
            await self._portal.end()
            known = not self._taken and not isinstance(error, SilentError)
            raise broken(str(error), delivered=0 if known else None) from error
        except asyncio.CancelledError:  # a key that is down would repeat; the desktop lets go of a session's keys
            await asyncio.shield(self._portal.end())
            raise
        finally:
            if self._backlog is not None:
                self._backlog.close()

    async def _press(self, text: str) -> tuple[int, str]:
        for number, character in enumerate(text):
            if number % BATCH == 0:
                if not await self._stays():
                    break
                if not await self._reads():
                    return number, NOT_READING
            await self._tap(keysym(character))
        else:
            await self._portal.check()  # keys for a desktop part that is gone are taken all the same
            return len(text), "" if await self._stays() else FOCUS_MOVED
        if number == 0:
            raise refused(MOVED_BEFORE)
        return number, FOCUS_MOVED

    async def _tap(self, symbol: int) -> None:
        """Press and let go, also when this is cancelled in between. Raises PortalError."""
        try:
            await self._portal.press(symbol, pressed=True)
            self._taken += 1
        finally:
            await asyncio.shield(self._portal.press(symbol, pressed=False))

    async def _stays(self) -> bool:
        return self._to.stays is None or await self._to.stays()

    async def _reads(self) -> bool:
        """Wait until another batch can do no harm; False when the window has stopped reading."""
        return self._backlog is None or await self._backlog.below(UNREAD_LIMIT_BYTES, stalled_s=STALLED_S)
