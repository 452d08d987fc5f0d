"""The engines of the settings in order: when one fails, the next decodes the same audio."""

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from v2m.domain.errors import EngineError, UnreadableAudioError
from v2m.domain.ports import EngineCapabilities, TranscribeOptions, Transcriber, Utterance
from v2m.domain.transcript import PartialTranscript, Transcript
from v2m.infrastructure.engines._descriptors import reopened


class EngineChain:
    """A `Transcriber` made of several; the first is asked first for every recording, however it failed before."""

    def __init__(self, engines: Sequence[Transcriber]) -> None:
        """Take the engines in the order of preference, at least one."""
        if not engines:
            raise ValueError("a chain needs an engine")
        self._engines = tuple(engines)

    @property
    def _serving(self) -> Transcriber:
        """The first that has not failed, else the first."""
        return next((engine for engine in self._engines if engine.state != "failed"), self._engines[0])

    @property
    def state(self) -> str:
        """Of the engine that would serve now."""
        return self._serving.state

    @property
    def loads(self) -> int:
        """How often any of them was loaded."""
        return sum(engine.loads for engine in self._engines)

    @property
    def capabilities(self) -> EngineCapabilities | None:
        """Of the engine that would serve now."""
        return self._serving.capabilities

    @property
    def detail(self) -> str:
        """Why those before the serving one failed."""
        return " ".join(filter(None, (engine.detail for engine in self._engines)))

    def open(
        self,
        dictation: int,
        audio_fds: Sequence[int],
        options: TranscribeOptions,
        on_partial: Callable[[PartialTranscript], None] | None = None,
    ) -> "ChainUtterance":
        """Announce a recording to the engine that serves now; takes the descriptors over.

        The first engine hears of it even where it has failed: it is tried again meanwhile, for the next one.
        """
        first, serving = self._engines[0], self._serving
        others = [engine for engine in self._engines if engine not in (first, serving)]
        probe = None
        if serving is not first:
            probe = first.open(dictation, [reopened(fd) for fd in audio_fds], options)

        def open_at(engine: Transcriber, fds: Sequence[int]) -> Utterance:
            # What one engine has promised, another cannot keep: partials are those of whoever heard it first.
            return engine.open(dictation, fds, options, on_partial if engine is serving else None)

        return ChainUtterance([serving, *others], open_at, audio_fds, probe)

    def drop(self) -> None:
        """Cut the connections of those that have any."""
        for engine in self._engines:
            engine.drop()

    async def wait_ready(self) -> None:
        """Return when the first is loaded, or has failed and another can take over. Raises EngineError."""
        try:
            await self._engines[0].wait_ready()
        except EngineError:
            if len(self._engines) == 1:
                raise

    async def run(self) -> None:
        """Look after all of them until `aclose`."""
        async with asyncio.TaskGroup() as group:
            for engine in self._engines:
                group.create_task(engine.run())

    async def aclose(self) -> None:
        """End all of them; twice is fine."""
        for engine in self._engines:
            await engine.aclose()


class ChainUtterance:
    """One recording; it keeps descriptors of its own for whoever takes over."""

    def __init__(
        self,
        engines: Sequence[Transcriber],
        open_at: Callable[[Transcriber, Sequence[int]], Utterance],
        audio_fds: Sequence[int],
        probe: Utterance | None = None,
    ) -> None:
        """`probe` is the recording at an engine that has failed, which nobody waits for."""
        self._probe = probe
        self._open_at = open_at
        self._others: Iterator[Transcriber] = iter(engines[1:])
        self._spare_fds = [reopened(fd) for fd in audio_fds] if len(engines) > 1 else []
        self._current = open_at(engines[0], audio_fds)
        self._abandoned = False

    @property
    def speech_until(self) -> int:
        """Sample up to which the engine that listens has heard speech."""
        return self._current.speech_until

    @property
    def speaking(self) -> bool:
        """Whether a word is being spoken, by the last verdict."""
        return self._current.speaking

    async def quiet(self) -> None:
        """Return when the word that is being spoken has ended."""
        await self._current.quiet()

    async def finish(self, samples: int) -> Transcript:
        """Decode up to `samples`, by the first engine that can. Raises the first engine's EngineError."""
        try:
            try:
                return await self._current.finish(samples)
            except UnreadableAudioError:  # by no engine
                raise
            except EngineError as error:
                return await self._take_over(samples, error)
        finally:
            await self._let_go()

    async def _take_over(self, samples: int, error: EngineError) -> Transcript:
        for engine in self._others:
            if self._abandoned:
                break
            self._current = self._open_at(engine, [reopened(fd) for fd in self._spare_fds])
            with suppress(EngineError):
                return await self._current.finish(samples)
        raise error

    async def abandon(self) -> None:
        """Forget it. Twice is fine."""
        self._abandoned = True
        await self._current.abandon()
        await self._let_go()

    async def _let_go(self) -> None:
        if self._probe is not None:
            await self._probe.abandon()
        while self._spare_fds:
            os.close(self._spare_fds.pop())
