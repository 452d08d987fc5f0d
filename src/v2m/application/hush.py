"""Other sound is quietened while the microphone is open; nothing of a recording waits for that."""

import asyncio

from v2m.domain.ports import MediaPlayers


class Hush:
    """Follows the microphone, one change after the other."""

    def __init__(self, players: MediaPlayers) -> None:
        self._players = players
        self._recording = False
        self._changed = asyncio.Event()

    def recording(self, is_open: bool) -> None:  # noqa: FBT001 - the one thing it says
        """Take note of whether the microphone is open; returns at once."""
        self._recording = is_open
        self._changed.set()

    async def run(self) -> None:
        """Quieten and restore until cancelled; then everything is restored."""
        try:
            await self._players.restore()  # what a crash left
            hushed = False
            while True:
                await self._changed.wait()
                self._changed.clear()
                if self._recording != hushed:
                    hushed = self._recording
                    await (self._players.hush() if hushed else self._players.restore())
        finally:
            await self._players.restore()
