"""The microphone the daemon uses: several back ends, and a watchdog that keeps one of them recording."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Final

from v2m.domain.audio import CaptureReport, Device, SpoolFlag
from v2m.domain.errors import CaptureError, CaptureReason, V2mError
from v2m.domain.ports import Microphone, Recording, Spool
from v2m.infrastructure.capture._report import report

_START_S: Final = 0.95  # for all back ends together and the first sample; START promises an answer within 1 s
_STALL_S: Final = 0.5  # no new sample for so long is a fault; a change of the default takes 5 ms
_RUNG_S: Final = 0.5  # for the first sample after each step of the ladder
_RECOVERY_S: Final = 5.0  # a sound server restarted by systemd is back after 1 to 2
_BACKOFF_S: Final = 0.05
_PREFER_AGAIN_S: Final = 60.0  # how long a back end that had to stand in comes first
_HAS_PREROLL: Final = "pipewire"  # alone among the back ends it can listen before START


class MicrophoneChain:
    """Opens the first back end that works; a recording that falters is taken up again in the same spool.

    The ladder: a new stream, a new connection, the next back end; from the top again until 5 s are over.
    Links of our own have no rung: the native back end makes them as soon as PipeWire's session manager is known
    to be gone, and in each of its rungs when nobody else has linked the stream.
    It is climbed by `first_sample` and `ended` of the recording, so one of them must be awaited.
    """

    name = "chain"

    def __init__(self, microphones: Sequence[Microphone], *, wants_preroll: bool = False) -> None:
        """Take the back ends in order; `wants_preroll` has a recording say when there is no sound from before START."""
        if not microphones:
            raise ValueError("a chain needs a microphone")
        self.wants_preroll = wants_preroll
        self._microphones = tuple(microphones)
        self._first = 0
        self._prefer_again_at = 0.0

    async def warm(self) -> None:
        """Connect the back ends that keep a connection. Never raises."""
        for microphone in self._microphones:
            await microphone.warm()

    async def open(self, spool: Spool) -> "_ChainRecording":
        """Record into the spool from now on."""
        failure = CaptureError(
            "The sound server does not answer.",
            reason=CaptureReason.NO_SERVER,
            hint="systemctl --user status pipewire",
        )
        give_up_at = time.monotonic() + _START_S
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_START_S):
                for number, index in enumerate(self._order()):
                    try:
                        recording = await self._microphones[index].open(spool)
                    except CaptureError as error:
                        failure = error if number == 0 else failure
                        if error.reason is CaptureReason.NO_DEVICE:  # another way would only hear nothing
                            raise
                    else:
                        await self.remember(index)
                        return _ChainRecording(self, self._microphones, index, recording, spool, give_up_at=give_up_at)
        raise failure

    async def devices(self) -> Sequence[Device]:
        """List the microphones of the first back end that knows any."""
        failure: CaptureError | None = None
        for index in self._order():
            try:
                return await self._microphones[index].devices()
            except CaptureError as error:
                failure = failure or error
        assert failure is not None
        raise failure

    async def release(self) -> None:
        """Have every back end let go of what it keeps armed."""
        for microphone in self._microphones:
            await microphone.release()

    async def aclose(self) -> None:
        """Release everything; twice is fine."""
        for microphone in self._microphones:
            await microphone.aclose()

    async def remember(self, index: int) -> None:
        """Begin with this back end next time, for a while if it is not the preferred one; no other listens then."""
        if index != self._first:
            self._first = index
            self._prefer_again_at = time.monotonic() + _PREFER_AGAIN_S
            for other in self._microphones:
                if other is not self._microphones[index]:
                    await other.release()

    def _order(self) -> list[int]:
        if time.monotonic() >= self._prefer_again_at:
            self._first = 0
        indices = range(len(self._microphones))
        return [self._first, *(index for index in indices if index != self._first)]


class _ChainRecording:
    """What one back end after the other records into one spool."""

    def __init__(
        self,
        chain: MicrophoneChain,
        microphones: Sequence[Microphone],
        index: int,
        recording: Recording,
        spool: Spool,
        *,
        give_up_at: float,
    ) -> None:
        self._chain = chain
        self._microphones = microphones
        self._index = index
        self._recording: Recording | None = recording
        self._last = recording  # whom to ask for names while nobody records
        self._spool = spool
        self._give_up_at = give_up_at
        self._climbing = asyncio.Lock()
        self._gap = False
        self._unplugged = False  # no other back end can help
        self._lost: str | None = None
        self._report: CaptureReport | None = None

    @property
    def source(self) -> str:
        """Description of the device that is heard; empty until linked."""
        return self._last.source

    @property
    def backend(self) -> str:
        """Name of the back end that records now."""
        return self._last.backend

    @property
    def notice(self) -> str:
        """What is weaker than the user wants."""
        notices = [self._last.notice]
        if self._index and not self._last.notice:
            notices = [f"The microphone is reached through {self.backend}: {self._microphones[0].name} does not work."]
        if self._chain.wants_preroll and self.backend != _HAS_PREROLL:
            notices.append(f"What is said before START is lost: {self.backend} cannot do audio.preroll_ms.")
        return " ".join(filter(None, notices))

    async def first_sample(self) -> None:
        """Return once audio has arrived; climbs the ladder when it does not."""
        try:
            async with asyncio.timeout(min(_STALL_S, self._give_up_at - time.monotonic())):
                await self._last.first_sample()
        except TimeoutError:
            failure = CaptureError("The microphone sends nothing.", reason=CaptureReason.SILENT, hint="v2m devices")
        except CaptureError as error:
            failure = error
        else:
            return
        left_s = self._give_up_at - time.monotonic()
        if failure.reason is CaptureReason.NO_DEVICE or not await self._climb(self._recording, left_s):
            raise failure

    async def ended(self) -> str:
        """Return why no back end can record any more, or why the recording must end."""
        while self._report is None:
            watched = self._recording
            fault = await self._fault(watched)
            if self._spool.overrun:
                return "There is no room for more audio: the disk is full."
            if not await self._climb(watched, _RECOVERY_S):
                self._lost = fault
                return fault
        return "The recording was closed."

    async def close(self) -> CaptureReport:
        """Release the device and report on the whole. Twice is fine."""
        if self._report is None:
            whole = report(self._spool, source=self.source, backend=self.backend, lost=self._lost)
            self._report = whole  # a ladder that is being climbed stops here
            recording, self._recording = self._recording, None
            if recording is not None:
                whole = await recording.close()
            self._report = replace(whole, gap=whole.gap or self._gap, lost=self._lost or whole.lost)
        return self._report

    async def _fault(self, watched: Recording | None) -> str:
        """Wait until the back end gives up or its audio stands still; return why."""
        if watched is None:
            return "The microphone was lost."
        head = -1
        while self._spool.head != head:
            head = self._spool.head
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STALL_S):
                    return await watched.ended()
        return "The microphone sends nothing any more."

    async def _climb(self, fallen: Recording | None, seconds: float) -> bool:
        """Make somebody record again; tell whether that worked. One climbs at a time, the other profits."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0, seconds)), self._climbing:
                if self._is_closed():
                    return True
                if self._recording is not fallen:
                    return self._recording is not None
                if self._spool.head:
                    self._gap = True
                    self._spool.set_flags(SpoolFlag.GAP)
                await self._drop()
                async for index in self._rungs():
                    if self._is_closed() or await self._try(index):
                        return True
        return False

    async def _rungs(self) -> AsyncIterator[int]:
        """Yield the back end to try next, after what the rung asks for was done to it."""
        backoff_s = _BACKOFF_S
        while True:
            for index in range(self._index, len(self._microphones)):
                yield index  # a new stream
                if self._unplugged:
                    break
                await self._microphones[index].aclose()
                yield index  # a new connection
            self._index = 0
            await asyncio.sleep(backoff_s)
            backoff_s *= 2

    async def _try(self, index: int) -> bool:
        self._unplugged = False
        try:
            async with asyncio.timeout(_RUNG_S):
                self._recording = self._last = await self._microphones[index].open(self._spool)
                if not self._is_closed():
                    await self._recording.first_sample()
                    self._index = index
                    await self._chain.remember(index)
                    return True
        except TimeoutError:
            pass
        except CaptureError as error:
            self._unplugged = error.reason is CaptureReason.NO_DEVICE
        await self._drop()
        return False

    def _is_closed(self) -> bool:
        return self._report is not None

    async def _drop(self) -> None:
        recording, self._recording = self._recording, None
        if recording is not None:
            with contextlib.suppress(V2mError):
                await recording.close()
