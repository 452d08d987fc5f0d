"""Records through the program `parec`, PulseAudio's recorder, as a child of this process."""

import asyncio
import os
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Sequence
from typing import Final

from v2m.domain.audio import SAMPLE_BYTES, SAMPLE_RATE_HZ, Device
from v2m.domain.errors import CaptureError, CaptureReason
from v2m.domain.ports import Spool
from v2m.infrastructure._run import end_group, find_tool, run
from v2m.infrastructure.capture._arrival import Arrival

_PACKAGE: Final = "Install the package pulseaudio-utils."
_RESTART: Final = "systemctl --user restart pipewire pipewire-pulse wireplumber"
_LATENCY_MS: Final = 10  # first sample after 30 ms; by default parec holds audio back for 2 s
_PATIENCE_S: Final = 0.9  # for the server's answer; `open` promises an error within 1 s
_TERM_GRACE_S: Final = 0.2
_READ_BYTES: Final = 65_536


class ParecMicrophone:
    """The default source of the PulseAudio server (PipeWire has one), or the one named `device`."""

    name = "parec"

    def __init__(self, *, device: str = "") -> None:
        self._device = device

    async def warm(self) -> None:
        """Nothing is kept between recordings."""

    async def open(self, spool: Spool) -> "_ParecRecording":
        """Record into the spool from now on; returns when audio has arrived, after about 30 ms."""
        # The server would quietly take another microphone for one that is not there.
        if not self._device or any(device.name == self._device for device in await self.devices()):
            return await _record(spool, self._device)
        recording = await _record(spool, "")
        recording.notice = f"The microphone {self._device} is not there: recording from {recording.source}."
        return recording

    async def devices(self) -> Sequence[Device]:
        """List the microphones."""
        default = (await _ask("get-default-source")).strip()
        names = [line.split("\t")[1] for line in (await _ask("list", "short", "sources")).splitlines()]
        return [
            Device(name=name, description=name, default=name == default)
            for name in names
            if not name.endswith(".monitor")
        ]

    async def release(self) -> None:
        """Nothing is kept between recordings."""

    async def aclose(self) -> None:
        """Nothing is kept between recordings."""


class _ParecRecording(Arrival):
    """A child that writes audio into a pipe, which the loop reads."""

    def __init__(self, child: Process, pipe_fd: int, complaints_fd: int, spool: Spool, *, device: str) -> None:
        super().__init__(spool, backend=ParecMicrophone.name, source=device or "the default microphone")
        self._child = child
        self._pipe_fd = pipe_fd
        self._complaints_fd = complaints_fd
        self._odd = b""  # half a sample, until its other half comes
        self._loop.add_reader(pipe_fd, self._on_readable)

    async def started(self) -> None:
        """Return when audio has arrived. Raises CaptureError with what parec says."""
        arrival = asyncio.timeout(_PATIENCE_S)
        try:
            async with arrival:
                while not (self._first.is_set() or self._end.done()):
                    await asyncio.wait({self._end}, timeout=0.005)
        except TimeoutError:
            raise CaptureError(
                "The sound server does not answer.", reason=CaptureReason.NO_SERVER, hint=_RESTART
            ) from None
        if not self._first.is_set():
            raise self._refusal()

    def _refusal(self) -> CaptureError:
        said = os.pread(self._complaints_fd, _READ_BYTES, 0).decode(errors="replace").strip()
        return CaptureError(
            f"parec cannot record: {said.splitlines()[-1] if said else 'it ended at once'}.",
            reason=CaptureReason.NO_SERVER,
            hint="systemctl --user start pipewire pipewire-pulse wireplumber",
        )

    async def _release(self) -> None:
        await end_group(self._child, grace_s=_TERM_GRACE_S)
        self._close_pipe()

    def _on_readable(self) -> None:
        pcm = self._odd + os.read(self._pipe_fd, _READ_BYTES)
        if len(pcm) == len(self._odd):
            self._loop.remove_reader(self._pipe_fd)
            self._note_end("parec has ended.")
            return
        whole = len(pcm) - len(pcm) % SAMPLE_BYTES
        self._odd = pcm[whole:]
        self.append(pcm[:whole])

    def _close_pipe(self) -> None:
        if self._pipe_fd >= 0:
            self._loop.remove_reader(self._pipe_fd)
            os.close(self._pipe_fd)
            os.close(self._complaints_fd)
            self._pipe_fd = -1


async def _record(spool: Spool, device: str) -> _ParecRecording:
    argv = [
        _tool("parec"),
        *("--raw", "--format=s16le", f"--rate={SAMPLE_RATE_HZ}", "--channels=1"),
        *(f"--latency-msec={_LATENCY_MS}", "--client-name=v2m", "--stream-name=dictation"),
        *([f"--device={device}"] if device else []),
    ]
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    # Memory, not a second pipe: a child with pipes of asyncio's is left behind when its start is cancelled.
    complaints = os.memfd_create("parec", os.MFD_CLOEXEC)
    try:
        child = await asyncio.create_subprocess_exec(
            *argv, stdin=DEVNULL, stdout=theirs, stderr=complaints, start_new_session=True
        )
    except BaseException:
        os.close(ours)
        os.close(complaints)
        raise
    finally:
        os.close(theirs)
    recording = _ParecRecording(child, ours, complaints, spool, device=device)
    try:
        await recording.started()
    except BaseException:
        await recording.close()
        raise
    return recording


async def _ask(*question: str) -> str:
    """Return what `pactl` answers. Raises CaptureError."""
    try:
        finished = await run([_tool("pactl"), *question], timeout_s=_PATIENCE_S, env={"LC_ALL": "C"})
    except (TimeoutError, OSError) as error:
        raise CaptureError(
            "The sound server does not answer.", reason=CaptureReason.NO_SERVER, hint=_RESTART
        ) from error
    if finished.status:
        raise CaptureError(
            f"The sound server is not there: {finished.complaint()}.",
            reason=CaptureReason.NO_SERVER,
            hint="systemctl --user start pipewire pipewire-pulse wireplumber",
        )
    return finished.stdout.decode(errors="replace")


def _tool(name: str) -> str:
    path = find_tool(name)
    if path is None:
        raise CaptureError(f"{name} is not installed.", reason=CaptureReason.NO_SERVER, hint=_PACKAGE)
    return path
