"""What left the machine, on its way into the history: told by engines that wait for nobody."""

import asyncio
import logging
from contextlib import suppress
from typing import Final

from v2m.application.ledger import Ledger
from v2m.domain.dictation import Sent

AGAIN_S: Final = 5.0  # until what the history refused is written once more
PARTING_S: Final = 1.0  # what the history may take for what is left at the end

log = logging.getLogger(__name__)


class Receipts:
    """Writes them in the order in which they are told; `run` must be running."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._told: asyncio.Queue[tuple[int, Sent]] = asyncio.Queue()

    def note(self, dictation: int, sent: Sent) -> None:
        """Take one down; a file has no row (its dictation is 0) and stands in the log."""
        if dictation:
            self._told.put_nowait((dictation, sent))
        else:
            log.info("of a file, %d bytes (%d requests) went to %s", sent.size_bytes, sent.requests, sent.host)

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            dictation, sent = await self._told.get()
            written = await self._ledger.add_sent(dictation, sent)
            while not written:
                await asyncio.sleep(AGAIN_S)
                written = await self._ledger.add_sent(dictation, sent)
            self._told.task_done()

    async def settle(self) -> None:
        """Return when everything that was told is written, or the history refuses."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PARTING_S):
                await self._told.join()
