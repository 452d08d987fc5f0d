"""Engines that say what they are told: without a model, whatever the audio is."""

import asyncio
import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Final

from v2m.domain.audio import SAMPLE_BYTES, SAMPLE_RATE_HZ
from v2m.domain.errors import EngineError
from v2m.domain.ports import EngineCapabilities, TranscribeOptions
from v2m.domain.transcript import Hypothesis, PartialTranscript, Passage, Transcript

CAPABILITIES = EngineCapabilities(name="scripted", languages=("*",))

STEP_LEVEL: Final = 64  # of a test signal: its n-th stretch stands at n times this level
STEP_SAMPLES: Final = 640  # how long each stretch is; less than half of one is not heard
_STEPS: Final = "{steps}"


def line_of(texts: Sequence[str], number: int) -> str:
    """Return the text of utterance `number` (from 1): the texts in turn, with `{n}` replaced."""
    return texts[(number - 1) % len(texts)].replace("{n}", str(number)) if texts else ""


def steps_of(pcm: bytes | bytearray | memoryview) -> str:
    """Return the words `s1 s2 …` for the stretches of a test signal (S16LE), by their levels; silence is no word."""
    found = []
    for number, run in groupby(memoryview(pcm).cast("h"), key=lambda level: (level + STEP_LEVEL // 2) // STEP_LEVEL):
        if number > 0 and sum(1 for _ in run) >= STEP_SAMPLES // 2:
            found.append(f"s{number}")
    return " ".join(found)


class ScriptedEngine:
    """Runs inside the worker; answers each utterance with the next text after `delay_s`; `{steps}`: what it heard.

    Meanwhile it makes a step of progress every `step_s`; by default none, as an engine that hangs. One that
    is `streaming` knows a word more with each second that it was fed.
    """

    def __init__(
        self,
        texts: Sequence[str] = (),
        *,
        delay_s: float = 0.0,
        step_s: float = math.inf,
        streaming: bool = False,
        confidence: float = 0.0,
    ) -> None:
        self.capabilities = replace(CAPABILITIES, streaming=streaming)
        self._texts = texts
        self._delay_s = delay_s
        self._step_s = step_s
        self._confidence = confidence
        self._count = 0

    def load(self) -> None:
        """There is nothing to load."""

    def open_stream(self, language: str) -> "ScriptedStream":
        """Begin an utterance in any language."""
        del language
        self._count += 1
        hypothesis = Hypothesis(line_of(self._texts, self._count), self._confidence)
        return ScriptedStream(hypothesis, self._delay_s, self._step_s)


class ScriptedStream:
    """One utterance of a ScriptedEngine."""

    def __init__(self, hypothesis: Hypothesis, delay_s: float, step_s: float) -> None:
        self._hypothesis = hypothesis
        self._delay_s = delay_s
        self._step_s = step_s
        self._fed_bytes = 0
        self._heard = bytearray()  # only where the script asks for it
        self._abandoned = threading.Event()

    @property
    def text(self) -> str:
        """What a streaming engine would have heard so far."""
        return " ".join(self._hypothesis.text.split()[: self._fed_bytes // (SAMPLE_RATE_HZ * SAMPLE_BYTES)])

    def feed(self, pcm: bytes | memoryview) -> None:
        """Take audio and forget all but its length, unless the script asks what it was."""
        self._fed_bytes += len(pcm)
        if _STEPS in self._hypothesis.text:
            self._heard += pcm

    def finish(self, alive: Callable[[], None] = lambda: None) -> Hypothesis:
        """Return the text after the delay; at once when abandoned."""
        until = time.monotonic() + self._delay_s
        while (left_s := until - time.monotonic()) > 0 and not self._abandoned.wait(min(left_s, self._step_s)):
            alive()
        return replace(self._hypothesis, text=self._hypothesis.text.replace(_STEPS, steps_of(self._heard)))

    def abandon(self) -> None:
        """End a running `finish`."""
        self._abandoned.set()


class ScriptedTranscriber:
    """The daemon's side of speech without a process; `opened` and `finished` count the calls."""

    def __init__(self, texts: Sequence[str], *, delay_s: float = 0.0) -> None:
        self._texts = texts
        self._delay_s = delay_s
        self._closed = False
        self.speech_until = 0  # what its recordings claim to have heard; a test sets it
        self.silence = asyncio.Event()  # cleared by a test: a word is being spoken
        self.silence.set()
        self.opened = 0
        self.finished = 0

    @property
    def state(self) -> str:
        """`ready` until closed."""
        return "unloaded" if self._closed else "ready"

    @property
    def loads(self) -> int:
        """It is loaded once."""
        return 1

    @property
    def capabilities(self) -> EngineCapabilities:
        """Any language, nothing else."""
        return CAPABILITIES

    @property
    def detail(self) -> str:
        """It never fails."""
        return ""

    def open(
        self,
        dictation: int,
        audio_fds: Sequence[int],
        options: TranscribeOptions,
        on_partial: Callable[[PartialTranscript], None] | None = None,
    ) -> "ScriptedUtterance":
        """Count a recording; its audio is not looked at. All of the text is one partial, just before its end."""
        del dictation, options
        for fd in audio_fds:
            os.close(fd)
        self.opened += 1
        return ScriptedUtterance(self, on_partial)

    def drop(self) -> None:
        """There is no connection: what is decoded here is decoded on this machine."""

    async def wait_ready(self) -> None:
        """Return at once. Raises EngineError after `aclose`."""
        if self._closed:
            raise EngineError("The speech engine was stopped.", hint="v2m daemon start")

    async def run(self) -> None:
        """Return at once: there is no process to look after."""

    async def aclose(self) -> None:
        """Answer no further `finish`."""
        self._closed = True

    async def answer(self, samples: int) -> Transcript:
        """Return the next text of the script. Raises EngineError after `aclose`."""
        await self.wait_ready()
        self.finished += 1
        text = line_of(self._texts, self.finished)
        await asyncio.sleep(self._delay_s)
        seconds = samples / SAMPLE_RATE_HZ
        passages = (Passage(0.0, seconds, text),) if text else ()
        decode_ms = self._delay_s * 1000
        return Transcript(text, CAPABILITIES.name, seconds, seconds, decode_ms=decode_ms, segments=1, passages=passages)


class ScriptedUtterance:
    """One recording of a ScriptedTranscriber."""

    def __init__(
        self, transcriber: ScriptedTranscriber, on_partial: Callable[[PartialTranscript], None] | None
    ) -> None:
        self._transcriber = transcriber
        self._on_partial = on_partial
        self._abandoned = False

    @property
    def speech_until(self) -> int:
        """What the transcriber was told to claim."""
        return self._transcriber.speech_until

    @property
    def speaking(self) -> bool:
        """What the transcriber was told to claim."""
        return not self._transcriber.silence.is_set()

    async def quiet(self) -> None:
        """Wait for the silence that the transcriber is told of."""
        await self._transcriber.silence.wait()

    async def finish(self, samples: int) -> Transcript:
        """Return the next text of the script. Raises EngineError once abandoned."""
        if self._abandoned:
            raise EngineError("The recording was abandoned.")
        heard = await self._transcriber.answer(samples)
        if self._on_partial is not None:
            self._on_partial(PartialTranscript(heard.text, len(heard.text), heard.duration_s, heard.passages))
        return heard

    async def abandon(self) -> None:
        """Forget it; twice is fine."""
        self._abandoned = True
