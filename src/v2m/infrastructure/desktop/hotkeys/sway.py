"""Hotkeys by sway's IPC: `nop` bindings made at run time, and the event that each of them sends (sway-ipc(7)).

No program is started for a press, so it is heard of in 0.4 ms instead of 8. The user's configuration is
not touched; a reload forgets what was bound at run time, so that is done again.
"""

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from v2m.domain.delivery import Session
from v2m.domain.hotkeys import SWAY, Shortcut
from v2m.infrastructure.desktop._sway import TROUBLE, ask, message, read_message
from v2m.infrastructure.desktop.hotkeys.refusal import RefusedError, UnreachableError

ANSWER_S: Final = 1.0  # sway answers within a millisecond; a reload of a large configuration takes longer

_COMMAND, _SUBSCRIBE = 0, 2
_WORKSPACE, _BINDING = 0x80000000, 0x80000005  # a reload is told as a change of workspaces
_OURS: Final = re.compile(r"nop v2m (start|stop|toggle|abort)")
_TROUBLE: Final = (*TROUBLE, EOFError, LookupError, TypeError, AttributeError)  # the latter: an event of another form


class SwayHotkeys:
    """A back end of `LiveHotkeys`. A binding of the user's own on the same keys is replaced until the next reload."""

    name = "sway"

    def __init__(self, shortcuts: Sequence[Shortcut]) -> None:
        self._shortcuts = tuple(shortcuts)

    def fits(self, session: Session) -> bool:
        """Tell whether the compositor is sway."""
        return bool(session.variables.get("SWAYSOCK"))

    async def serve(
        self, session: Session, press: Callable[[str, int], None], bound: Callable[[Mapping[str, str]], None]
    ) -> None:
        """Bind and listen until sway ends; cancelling unbinds. Raises RefusedError, UnreachableError."""
        try:
            reader, writer = await asyncio.open_unix_connection(session.variables["SWAYSOCK"])
        except OSError as error:
            raise UnreachableError from error
        try:
            writer.write(message(_SUBSCRIBE, b'["binding","workspace"]'))
            async with asyncio.timeout(ANSWER_S):
                await read_message(reader)
            await self._bind(session)
            bound({shortcut.name: shortcut.keys.written(SWAY) for shortcut in self._shortcuts})
            while True:
                await self._take(await read_message(reader), session, press)
        except _TROUBLE as error:  # TimeoutError is an OSError
            raise UnreachableError from error
        finally:
            writer.close()
            await self._unbind(session)

    async def _take(self, event: tuple[int, Any], session: Session, press: Callable[[str, int], None]) -> None:
        heard_ns = time.monotonic_ns()
        kind, content = event
        if kind == _BINDING and (ours := _OURS.fullmatch(str(content["binding"]["command"]))):
            press(ours[1], heard_ns)
        elif kind == _WORKSPACE and content["change"] == "reload":
            await self._bind(session)

    def _bindings(self) -> list[tuple[str, str]]:
        """Return flags and keys of each binding with the action that it stands for."""
        found = []
        for shortcut in self._shortcuts:
            keys = shortcut.keys.written(SWAY)
            found.append((f"--no-repeat {keys}", shortcut.pressed))
            if shortcut.released:
                found.append((f"--release {keys}", shortcut.released))
        return found

    async def _bind(self, session: Session) -> None:
        for keys, action in self._bindings():
            async with asyncio.timeout(ANSWER_S):
                answer = await ask(session, _COMMAND, f"bindsym {keys} nop v2m {action}".encode())
            if not answer[0]["success"]:
                why = str(answer[0].get("error") or json.dumps(answer[0]))
                raise RefusedError(f"Sway refuses {keys.split()[-1]}: {why}")

    async def _unbind(self, session: Session) -> None:
        with contextlib.suppress(*_TROUBLE):
            for keys, _ in self._bindings():
                async with asyncio.timeout(ANSWER_S):
                    await ask(session, _COMMAND, f"unbindsym {keys}".encode())
