"""Media players of the session, over MPRIS (https://specifications.freedesktop.org/mpris-spec/latest/)."""

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, TypeVar

from dbus_fast import Variant

from v2m.infrastructure._dbus import BUS, PROPERTIES, Bus, BusError

log = logging.getLogger(__name__)
T = TypeVar("T")

CALL_S: Final = 0.5  # a player that is stuck; the others are not waited for one after the other
DUCKED: Final = 0.5  # of the volume that there was
_PREFIX: Final = "org.mpris.MediaPlayer2."
_PATH: Final = "/org/mpris/MediaPlayer2"
_PLAYER: Final = "org.mpris.MediaPlayer2.Player"
_SAME: Final = 0.011  # players round volumes to hundredths


@dataclass(frozen=True, slots=True)
class _Lowered:
    """A player whose volume we lowered; players are numbered anew with each start of the bus, so by name."""

    player: str
    volume: float
    lowered: float


class MprisPlayers:
    """`MediaPlayers`: those that play are paused, or made half as loud.

    Volumes are noted in a file of mode 0600 until they are restored, so that a start after a crash restores
    them; a player that was paused when we crashed stays paused.
    """

    def __init__(self, *, bus_address: Callable[[], str | None], pauses: bool, state: Path) -> None:
        """`bus_address` is asked each time; `pauses`: else they are lowered; `state` is the folder of the note."""
        self._bus_address = bus_address
        self._pauses = pauses
        self._note = state / "lowered-players.json"
        self._paused: list[str] = []
        self._lowered: list[_Lowered] = self._read_note()

    async def hush(self) -> None:
        """Pause, or lower, every player that plays."""
        await self._with_bus(self._hush)

    async def restore(self) -> None:
        """Let play again what we paused and is still paused; restore volumes that are still ours."""
        if self._paused or self._lowered:
            await self._with_bus(self._restore)

    async def _with_bus(self, work: Callable[[Bus], Awaitable[None]]) -> None:
        address = self._bus_address()
        if address is None:
            return
        try:
            bus = await Bus.connect(address)
        except BusError as error:
            log.debug("no players: %s", error)
            return
        try:
            await work(bus)
        except BusError as error:
            log.debug("players were not reached: %s", error)
        finally:
            await bus.close()

    async def _hush(self, bus: Bus) -> None:
        listed = await bus.call(BUS, "/org/freedesktop/DBus", BUS, "ListNames")
        players = [name for name in listed.body[0] if name.startswith(_PREFIX)]
        await _each(players, lambda player: self._hush_one(bus, player))
        self._write_note()

    async def _hush_one(self, bus: Bus, player: str) -> None:
        if await _get(bus, player, "PlaybackStatus") != "Playing":
            return
        if self._pauses:
            await _tell(bus, player, "Pause")
            self._paused.append(player)
            return
        volume = await _volume(bus, player)
        lowered = _Lowered(player, volume, volume * DUCKED)
        if not volume or any(one.player == player for one in self._lowered):
            return
        self._lowered.append(lowered)
        self._write_note()  # before: a crash right after must find it
        await _set_volume(bus, player, lowered.lowered)

    async def _restore(self, bus: Bus) -> None:
        paused, self._paused = self._paused, []
        lowered, self._lowered = self._lowered, []
        await _each(paused, lambda player: self._resume(bus, player))
        await _each(lowered, lambda one: self._raise_again(bus, one))
        self._write_note()

    async def _resume(self, bus: Bus, player: str) -> None:
        if await _get(bus, player, "PlaybackStatus") == "Paused":
            await _tell(bus, player, "Play")

    async def _raise_again(self, bus: Bus, one: _Lowered) -> None:
        now = await _volume(bus, one.player)
        if abs(now - one.lowered) < _SAME:  # else the user has changed it since
            await _set_volume(bus, one.player, one.volume)

    def _read_note(self) -> list[_Lowered]:
        try:
            return [_Lowered(**one) for one in json.loads(self._note.read_text())]
        except (OSError, ValueError, TypeError):
            return []

    def _write_note(self) -> None:
        with contextlib.suppress(OSError):  # then a crash leaves the players as they are
            if not self._lowered:
                self._note.unlink(missing_ok=True)
                return
            content = json.dumps([asdict(one) for one in self._lowered])
            note = os.open(self._note, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(note, "w") as file:
                file.write(content)


async def _each(items: Sequence[T], work: Callable[[T], Awaitable[None]]) -> None:
    """Do the work for all at once; a player that does not answer, or not as it should, is left out."""

    async def one(item: T) -> None:
        try:
            await work(item)
        except BusError as error:
            log.debug("a player was left as it is: %s", error)

    async with asyncio.TaskGroup() as group:
        for item in items:
            group.create_task(one(item))


async def _get(bus: Bus, player: str, name: str) -> object:
    return await bus.get(player, _PATH, _PLAYER, name, timeout_s=CALL_S)


async def _volume(bus: Bus, player: str) -> float:
    volume = await _get(bus, player, "Volume")
    if not isinstance(volume, float | int):
        raise BusError("no volume")
    return float(volume)


async def _tell(bus: Bus, player: str, member: str) -> None:
    await bus.call(player, _PATH, _PLAYER, member, timeout_s=CALL_S, starts=False)


async def _set_volume(bus: Bus, player: str, volume: float) -> None:
    arguments = [_PLAYER, "Volume", Variant("d", volume)]
    await bus.call(player, _PATH, PROPERTIES, "Set", "ssv", arguments, timeout_s=CALL_S, starts=False)
