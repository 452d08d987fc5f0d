"""What the back ends share whose audio passes through Python."""

import asyncio
from abc import ABC, abstractmethod
from typing import Final

from v2m.domain.audio import CaptureReport
from v2m.domain.errors import CaptureError, CaptureReason
from v2m.domain.ports import Spool
from v2m.infrastructure.capture._report import report

_FIRST_SAMPLE_S: Final = 0.9


class Arrival(ABC):
    """The first sample, the end and the account of a recording; `_release` is the back end's own."""

    def __init__(self, spool: Spool, *, backend: str, source: str, notice: str = "") -> None:
        self.backend = backend
        self.source = source
        self.notice = notice
        self._spool = spool
        self._loop = asyncio.get_running_loop()
        self._first = asyncio.Event()
        self._end: asyncio.Future[str] = self._loop.create_future()
        self._report: CaptureReport | None = None

    def append(self, pcm: bytes | memoryview) -> None:
        """Store audio; may be called from any one thread."""
        if self._spool.append(pcm) and not self._first.is_set():
            self._loop.call_soon_threadsafe(self._first.set)

    def end(self, reason: str) -> None:
        """Note that the source has ended by itself; may be called from any thread."""
        self._loop.call_soon_threadsafe(self._note_end, reason)

    async def first_sample(self) -> None:
        """Return once audio has arrived."""
        try:
            async with asyncio.timeout(_FIRST_SAMPLE_S):
                await self._first.wait()
        except TimeoutError as error:
            raise CaptureError(
                self._end.result() if self._end.done() else "The microphone sends nothing.",
                reason=CaptureReason.LOST if self._end.done() else CaptureReason.SILENT,
                hint="v2m devices",
            ) from error

    async def ended(self) -> str:
        """Return why the source ended."""
        return await asyncio.shield(self._end)

    async def close(self) -> CaptureReport:
        """Release the device and report. Twice is fine."""
        if self._report is None:
            lost = self._end.result() if self._end.done() else None
            await self._release()
            self._report = report(self._spool, source=self.source, backend=self.backend, lost=lost)
        return self._report

    @abstractmethod
    async def _release(self) -> None:
        """Stop the source; nothing is appended once this has returned. Twice is fine."""

    def _note_end(self, reason: str) -> None:
        if not self._end.done():
            self._end.set_result(reason)
