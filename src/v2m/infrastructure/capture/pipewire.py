"""Records through libpipewire: one warm connection, a stream for each recording, the callback in C."""

import asyncio
import contextlib
import os
from collections.abc import Sequence
from typing import Final, Literal

from v2m.domain.audio import SAMPLE_RATE_HZ, CaptureReport, Device
from v2m.domain.errors import CaptureError, CaptureReason
from v2m.domain.ports import Spool
from v2m.infrastructure.capture._linking import Linking
from v2m.infrastructure.capture._pwcapture import (
    NO_MICROPHONE,
    STREAM_ERROR,
    STREAM_PAUSED,
    STREAM_STREAMING,
    STREAM_UNCONNECTED,
    Connection,
    Status,
)
from v2m.infrastructure.capture._report import report

_PATIENCE_S: Final = 0.5  # for the server's answer, a matter of milliseconds; START promises an error within 1 s
_DRAIN_S: Final = 0.008  # for the block in flight: a graph quantum of 256/48000 and half of one more
_FIRST_SAMPLE_S: Final = 0.5
_SURVEY_S: Final = 0.2
_PAUSED_S: Final = 0.3  # a change of the default microphone pauses for 5 ms, a dead session manager for ever
_RESTART: Final = "systemctl --user restart wireplumber"
_RETRY_FIRST_S: Final = 0.05
_RETRY_LAST_S: Final = 30.0


class PipewireMicrophone:
    """The default source, or the one whose node.name is `device`.

    Policy "released": nothing of ours is in the graph between recordings. "armed": an inactive stream
    stays there, which starts 5 ms sooner and keeps the desktop's microphone sign on. With `preroll_ms` that
    stream listens all the time, and a recording begins with the last sound before START, which is in memory only.
    `resample_quality` is PipeWire's, 0…14; each step up costs start time when released.
    """

    name = "pipewire"

    def __init__(
        self,
        *,
        device: str = "",
        policy: Literal["released", "armed"] = "released",
        resample_quality: int = 7,
        preroll_ms: int = 0,
    ) -> None:
        self._device = device
        self._armed = policy == "armed"
        self._preroll = preroll_ms * SAMPLE_RATE_HZ // 1000
        self._resting = True  # since nobody has warmed or opened it, or since `release`
        self._quality = resample_quality
        self._linking = Linking(device)
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()
        self._recording: _PipewireRecording | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._retry_s = _RETRY_FIRST_S

    async def warm(self) -> None:
        """Connect and, with policy armed, put the inactive stream there; an absent server is tried again later."""
        self._resting = False
        with contextlib.suppress(CaptureError):
            await self._connected()

    async def open(self, spool: Spool) -> "_PipewireRecording":
        """Record into the spool from now on. Raises CaptureError NO_DEVICE at once when there is no microphone."""
        connection, rested, self._resting = self._connection, self._resting, False
        if connection is None or rested or not connection.status().connected:
            connection = await self._connected()
        self._linking.start(connection, spool.header_address, self._quality)
        recording = _PipewireRecording(connection, self._linking, spool, device=self._device, keep=self._armed)
        self._recording = recording
        return recording

    async def devices(self) -> Sequence[Device]:
        """List the microphones."""
        connection = await self._connected()
        devices = await asyncio.to_thread(connection.devices, _PATIENCE_S)
        for device in devices:
            if device.default:
                self._linking.suggest(device.name)
        return devices

    async def release(self) -> None:
        """Take the armed stream out of the graph and forget what it heard; the connection stays."""
        self._resting = True
        if self._connection is not None:
            self._connection.stop(keep=False)

    async def aclose(self) -> None:
        """Release everything; twice is fine. The next `open` connects anew."""
        self._resting = True
        async with self._connecting:
            if self._retry is not None:
                self._retry.cancel()
                self._retry = None
            connection, self._connection = self._connection, None
            if connection is not None:
                asyncio.get_running_loop().remove_reader(connection.event_fd)
                await asyncio.to_thread(connection.close)

    async def _connected(self) -> Connection:
        """Return a living connection; made in a thread, because the server may not answer."""
        async with self._connecting:
            connection = self._connection
            if connection is None:
                connection = self._connection = await _make_connection()
                asyncio.get_running_loop().add_reader(connection.event_fd, self._on_event)
            try:
                await asyncio.to_thread(connection.connect, _PATIENCE_S)
            except CaptureError:
                self._retry_later()
                raise
            self._settle(connection)
            return connection

    def _settle(self, connection: Connection) -> None:
        self._retry_s = _RETRY_FIRST_S
        if self._armed and not self._resting:
            connection.arm(self._device, self._quality, self._preroll)

    def _on_event(self) -> None:
        """The first block, a changed stream, a lost connection: a few times in a recording."""
        connection = self._connection
        if connection is None:
            return
        with contextlib.suppress(BlockingIOError):
            os.read(connection.event_fd, 8)
        status = connection.status()
        self._linking.note(status)
        if self._recording is not None:
            self._recording.observe(status)
        if not status.connected:
            self._retry_later()

    def _retry_later(self) -> None:
        """Connect again after a while, so that the next recording need not wait for it."""
        if self._retry is None:
            self._retry = asyncio.get_running_loop().call_later(self._retry_s, self._reconnect)
            self._retry_s = min(2 * self._retry_s, _RETRY_LAST_S)

    def _reconnect(self) -> None:
        self._retry = None
        if self._connection is not None:
            loop = asyncio.get_running_loop()
            attempt = loop.run_in_executor(None, self._connection.connect, _PATIENCE_S)
            attempt.add_done_callback(self._reconnected)

    def _reconnected(self, attempt: asyncio.Future[None]) -> None:
        failed = attempt.cancelled() or attempt.exception() is not None
        if self._connection is None:
            return
        if failed:
            self._retry_later()
        else:
            self._settle(self._connection)


async def _make_connection() -> Connection:
    """Make a connection in a thread; one that nobody waits for any more is closed again."""
    making = asyncio.get_running_loop().run_in_executor(None, Connection)
    try:
        return await asyncio.shield(making)
    finally:
        if not making.done():
            making.add_done_callback(_close_unwanted)


def _close_unwanted(making: asyncio.Future[Connection]) -> None:
    if not making.cancelled() and making.exception() is None:
        making.result().close()


class _PipewireRecording:
    """A stream that writes into a spool."""

    backend = PipewireMicrophone.name

    def __init__(self, connection: Connection, linking: Linking, spool: Spool, *, device: str, keep: bool) -> None:
        self._connection = connection
        self._linking = linking
        self._spool = spool
        self._head = spool.head
        self._device = device
        self._keep = keep
        self._status = connection.status()
        self._streamed = False
        self._changed = asyncio.Event()
        self._report: CaptureReport | None = None

    @property
    def source(self) -> str:
        """Description of the device that is heard; empty until linked."""
        return bytes(self._status.source).decode(errors="replace")

    @property
    def notice(self) -> str:
        """Say that the chosen device is gone and which one is heard instead, or that we had to link it."""
        heard = bytes(self._status.source_name).decode(errors="replace")
        if self._device and heard and heard != self._device:
            return f"The microphone {self._device} is not there: recording from {self.source}."
        if self._status.own_links and heard:
            return f"PipeWire's session manager does not answer: recording from {self.source}."
        return ""

    def observe(self, status: Status) -> None:
        """Take note of what PipeWire says."""
        if self._report is None:
            self._status = status
            self._streamed = self._streamed or status.stream_state == STREAM_STREAMING
            self._changed.set()

    def status(self) -> Status:
        """Return the present state, for diagnostics and benches."""
        return self._connection.status()

    async def first_sample(self) -> None:
        """Return once audio of a microphone has arrived; says after 0.5 s why it has not."""
        patience_s = self._linking.patience_s(self._status)
        if not await self._arrives(patience_s):
            if not self._linking.link(self._connection):
                raise CaptureError("The microphone sends nothing.", reason=CaptureReason.SILENT, hint=_RESTART)
            await self._arrives(_FIRST_SAMPLE_S - patience_s)
        if self._hears_loudspeakers():
            raise CaptureError(NO_MICROPHONE, reason=CaptureReason.NO_DEVICE, hint="v2m devices")
        if self._spool.head == self._head:
            raise await self._silence()

    async def ended(self) -> str:
        """Return why PipeWire does not send any more."""
        while not (fault := self._fault()):
            self._changed.clear()
            paused = self._streamed and self._status.stream_state == STREAM_PAUSED
            if paused and not self._status.is_managed:
                with contextlib.suppress(CaptureError):
                    self._linking.link(self._connection)
            try:
                async with asyncio.timeout(_PAUSED_S if paused else None):
                    await self._changed.wait()
            except TimeoutError:
                return "The microphone has stopped."
        return fault

    async def close(self) -> CaptureReport:
        """Wait for the block in flight, unlink, report."""
        if self._report is None:
            try:
                if self._status.stream_state == STREAM_STREAMING and self._spool.head > self._head:
                    await self._drain()
            finally:
                self._status = self._connection.status()
                self._connection.stop(keep=self._keep)
                self._report = report(self._spool, source=self.source, backend=self.backend, lost=self._fault())
        return self._report

    async def _arrives(self, seconds: float) -> bool:
        """Wait for new audio and for the name of its source. Raises CaptureError when neither can come."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._spool.head == self._head or not self.source:
                    self._changed.clear()
                    fault = self._fault()
                    if fault and not self._hears_loudspeakers():
                        raise CaptureError(fault, reason=CaptureReason.LOST, hint="v2m devices")
                    await self._changed.wait()
                return True
        return False

    async def _drain(self) -> None:
        self._changed.clear()
        self._connection.wake_at_next_block()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                await self._changed.wait()

    def _fault(self) -> str | None:
        status = self._status
        if not status.connected:
            return "PipeWire has gone away."
        if status.stream_state == STREAM_ERROR:
            return f"PipeWire cannot record: {bytes(status.error).decode(errors='replace')}."
        if self._hears_loudspeakers() or (self._streamed and status.stream_state == STREAM_UNCONNECTED):
            return "The microphone was unplugged."
        return None

    def _hears_loudspeakers(self) -> bool:
        """Without a microphone the session manager links what the loudspeakers play: only on request."""
        return bool(self._status.is_monitor) and not self._device

    async def _silence(self) -> CaptureError:
        devices = await asyncio.to_thread(self._connection.devices, _SURVEY_S)
        if not devices:
            return CaptureError(NO_MICROPHONE, reason=CaptureReason.NO_DEVICE, hint="v2m devices")
        return CaptureError("The microphone sends nothing.", reason=CaptureReason.SILENT, hint=_RESTART)
