"""Ports whose adapter can be exchanged while the daemon runs: everybody holds the switch, only the root turns it."""

import asyncio
from collections.abc import Callable, Sequence

from v2m.domain.audio import Device
from v2m.domain.ports import (
    EngineCapabilities,
    Microphone,
    Recording,
    Spool,
    TranscribeOptions,
    Transcriber,
    Utterance,
)
from v2m.domain.transcript import PartialTranscript, Transcript


class MicrophoneSwitch:
    """The microphone of the settings that hold; turned between two recordings."""

    name = "switch"

    def __init__(self, microphone: Microphone) -> None:
        self._now = microphone

    def turn(self, microphone: Microphone) -> Microphone:
        """Record with another one from now on; return the former, which the caller closes."""
        former, self._now = self._now, microphone
        return former

    async def warm(self) -> None:
        """Keep the microphone ready. Never raises."""
        await self._now.warm()

    async def open(self, spool: Spool) -> Recording:
        """Record into the spool from now on. Raises CaptureError."""
        return await self._now.open(spool)

    async def devices(self) -> Sequence[Device]:
        """List the microphones. Raises CaptureError."""
        return await self._now.devices()

    async def release(self) -> None:
        """Let go of what is kept armed. Never raises."""
        await self._now.release()

    async def aclose(self) -> None:
        """Release everything; twice is fine."""
        await self._now.aclose()


class TranscriberSwitch:
    """The engine of the settings that hold; one that was replaced lives until what it hears is decoded."""

    def __init__(self, transcriber: Transcriber) -> None:
        self._now = transcriber
        self._hearing: dict[Transcriber, int] = {}  # recordings on their way
        self._new: asyncio.Queue[Transcriber | None] = asyncio.Queue()
        self._idle = asyncio.Event()  # somebody has nothing to hear any more
        self._closed = False

    def turn(self, transcriber: Transcriber) -> Transcriber:
        """Decode with another one from now on; return the former, for `let_go`."""
        former, self._now = self._now, transcriber
        self._new.put_nowait(transcriber)
        return former

    async def let_go(self, former: Transcriber) -> None:
        """End an engine that was replaced, as soon as it has nothing to decode any more."""
        while self._hearing.get(former):
            self._idle.clear()
            await self._idle.wait()
        await former.aclose()

    @property
    def state(self) -> str:
        """Of the engine that serves."""
        return self._now.state

    @property
    def loads(self) -> int:
        """Of the engine that serves."""
        return self._now.loads

    @property
    def capabilities(self) -> EngineCapabilities | None:
        """Of the engine that serves."""
        return self._now.capabilities

    @property
    def detail(self) -> str:
        """Of the engine that serves."""
        return self._now.detail

    def open(
        self,
        dictation: int,
        audio_fds: Sequence[int],
        options: TranscribeOptions,
        on_partial: Callable[[PartialTranscript], None] | None = None,
    ) -> Utterance:
        """Announce a recording to the engine that serves now; takes the descriptors over."""
        engine = self._now
        heard = engine.open(dictation, audio_fds, options, on_partial)
        self._hearing[engine] = self._hearing.get(engine, 0) + 1

        def forget() -> None:
            self._hearing[engine] -= 1
            if not self._hearing[engine]:
                del self._hearing[engine]
                self._idle.set()

        return _Heard(heard, forget)

    async def wait_ready(self) -> None:
        """Return when the model is loaded. Raises EngineError."""
        await self._now.wait_ready()

    def drop(self) -> None:
        """Cut connections that are kept."""
        self._now.drop()

    async def run(self) -> None:
        """Look after whoever serves until `aclose`."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._now.run())
            while (new := await self._new.get()) is not None:
                group.create_task(new.run())

    async def aclose(self) -> None:
        """End the one that serves and those that still decode; twice is fine."""
        self._new.put_nowait(None)
        for engine in dict.fromkeys((self._now, *self._hearing)):
            await engine.aclose()


class _Heard:
    """One recording, counted until it is abandoned or finished."""

    def __init__(self, heard: Utterance, forget: Callable[[], None]) -> None:
        self._heard = heard
        self._forget: Callable[[], None] | None = forget

    @property
    def speech_until(self) -> int:
        """Sample up to which speech was heard."""
        return self._heard.speech_until

    @property
    def speaking(self) -> bool:
        """Whether a word is being spoken."""
        return self._heard.speaking

    async def quiet(self) -> None:
        """Return when the word that is being spoken has ended."""
        await self._heard.quiet()

    async def finish(self, samples: int) -> Transcript:
        """Decode up to `samples`. Raises EngineError."""
        return await self._heard.finish(samples)

    async def abandon(self) -> None:
        """Forget it; twice is fine."""
        try:
            await self._heard.abandon()
        finally:
            if self._forget is not None:
                self._forget()
                self._forget = None
