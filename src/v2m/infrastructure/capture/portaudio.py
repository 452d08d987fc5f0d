"""Records through PortAudio (sounddevice), which reaches PipeWire or the sound card by ALSA."""

import asyncio
import importlib
from collections.abc import Sequence
from typing import Any, Final

from v2m.domain.audio import SAMPLE_RATE_HZ, Device
from v2m.domain.errors import CaptureError, CaptureReason
from v2m.domain.ports import Spool
from v2m.infrastructure.capture._arrival import Arrival

# PortAudio's own "low" loses audio while Python is busy, 0.5 s costs 130 ms at the start (measured).
_LATENCY_S: Final = 0.1
_PREFERRED: Final = "pipewire"  # the ALSA plug-in; "default" may be PulseAudio's, which is slower


class PortaudioMicrophone:
    """The ALSA device "pipewire" where there is one, else the default, or the one whose name has `device` in it."""

    name = "portaudio"

    def __init__(self, *, device: str = "") -> None:
        self._device = device
        self._library: Any = None  # the module sounddevice while PortAudio is initialised
        self._using = asyncio.Lock()  # PortAudio is not thread-safe

    async def warm(self) -> None:
        """Nothing is kept connected: PortAudio would have to hold the device open."""

    async def open(self, spool: Spool) -> "_PortaudioRecording":
        """Record into the spool from now on; takes about 30 ms, in a thread."""
        recording = _PortaudioRecording(spool)
        async with self._using:
            opening = asyncio.get_running_loop().run_in_executor(None, self._open_stream, recording)
            try:
                await asyncio.shield(opening)
            finally:
                if not opening.done():  # cancelled: the stream is closed as soon as it is there
                    opening.add_done_callback(lambda _: recording.close_stream())
        return recording

    async def devices(self) -> Sequence[Device]:
        """List the microphones."""
        async with self._using:
            return await asyncio.to_thread(self._list_devices)

    async def release(self) -> None:
        """Nothing is kept between recordings."""

    async def aclose(self) -> None:
        """Forget the device list, which PortAudio reads once only; the next `open` reads it anew."""
        async with self._using:
            library, self._library = self._library, None
            if library is not None:
                await asyncio.to_thread(library._terminate)  # noqa: SLF001 - there is no public way

    def _portaudio(self) -> Any:  # noqa: ANN401 - a module without types
        if self._library is None:
            try:
                library = importlib.import_module("sounddevice")
            except OSError as error:
                raise CaptureError(
                    "PortAudio is not installed.",
                    reason=CaptureReason.NO_SERVER,
                    hint="Install the package libportaudio2.",
                ) from error
            if not library._initialized:  # noqa: SLF001 - importing it initialises it the first time only
                library._initialize()  # noqa: SLF001
            self._library = library
        return self._library

    def _list_devices(self) -> list[Device]:
        library = self._portaudio()
        default = library.default.device[0]
        return [
            Device(name=found["name"], description=found["name"], default=found["index"] == default)
            for found in library.query_devices()
            if found["max_input_channels"] > 0
        ]

    def _open_stream(self, recording: "_PortaudioRecording") -> None:
        library = self._portaudio()
        names = [device.name for device in self._list_devices()]
        if not names and len(library.query_devices()) == 0:  # the plug-in "pipewire" is listed while PipeWire runs
            raise CaptureError(
                "PortAudio finds neither a sound server nor a sound card.",
                reason=CaptureReason.NO_SERVER,
                hint="systemctl --user start pipewire wireplumber",
            )
        if not names:
            raise CaptureError("There is no microphone.", reason=CaptureReason.NO_DEVICE, hint="v2m devices")
        wanted = next((name for name in names if self._device and self._device in name), None)
        name = wanted or (_PREFERRED if _PREFERRED in names else None)
        recording.source = name or "the default microphone"
        if self._device and not wanted:
            recording.notice = f"The microphone {self._device} is not there: recording from {recording.source}."
        try:
            recording.stream = library.RawInputStream(
                samplerate=SAMPLE_RATE_HZ,
                channels=1,
                dtype="int16",
                device=name,
                latency=_LATENCY_S,
                callback=recording.take,
                finished_callback=recording.finished,
            )
            recording.stream.start()
        except library.PortAudioError as error:
            recording.close_stream()
            raise CaptureError(
                f"PortAudio cannot record: {error.args[0]}.",
                reason=CaptureReason.NO_SERVER,
                hint="systemctl --user start pipewire wireplumber",
            ) from error


class _PortaudioRecording(Arrival):
    """A PortAudio stream whose callback appends to the spool."""

    def __init__(self, spool: Spool) -> None:
        super().__init__(spool, backend=PortaudioMicrophone.name, source="")
        self.stream: Any = None
        self._closing = False

    def take(self, pcm: memoryview, _frames: int, _time: object, _status: object) -> None:
        """Store a block; PortAudio's thread calls this."""
        self.append(bytes(pcm))

    def finished(self) -> None:
        """Note that the stream stopped; PortAudio's thread calls this."""
        if not self._closing:
            self.end("The microphone was disconnected.")

    def close_stream(self) -> None:
        """Abort and close the stream; blocks for some milliseconds."""
        self._closing = True
        stream, self.stream = self.stream, None
        if stream is not None:
            stream.close(ignore_errors=True)

    async def _release(self) -> None:
        await asyncio.to_thread(self.close_stream)
