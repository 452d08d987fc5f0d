"""One recording on its way through the speech process, as the daemon holds it."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from v2m.domain.errors import EngineError, WorkerDiedError
from v2m.domain.transcript import PartialTranscript, Segment, Transcript
from v2m.infrastructure.engines._messages import Encoded, Heard, Open, Partial

MAX_DEATHS: Final = 2  # of the process while it works for one recording


class WorkerUtterance:
    """One recording; `WorkerProcess` keeps it until it is answered or abandoned."""

    def __init__(
        self,
        opening: Open,
        audio_fds: Sequence[int],
        dictation: int,
        *,
        ask: Callable[["WorkerUtterance", int], None],
        forget: Callable[["WorkerUtterance"], None],
        on_partial: Callable[[PartialTranscript], None] | None = None,
        on_encoded: Callable[[Segment, bytes], None] | None = None,
    ) -> None:
        self.opening = opening
        self.job = opening.job
        self.audio_fds = audio_fds
        self._dictation = dictation  # 0: a file, which has no row in the history
        self.heard_until = 0  # samples that were looked at
        self.speech_until = 0  # samples
        self.speaking = False  # when they were looked at last
        self._silent = asyncio.Event()  # the opposite
        self._silent.set()
        self._on_partial = on_partial
        self._on_encoded = on_encoded
        self._encoded_until = -1  # start of the last segment handed over: a new process begins again
        self._promised = ""  # of the partials so far, what no later one changes
        self.samples: int | None = None
        self._answer: asyncio.Future[Transcript] | None = None
        self.error: EngineError | None = None  # perhaps before anybody asked
        self.left_alone = False  # after two deaths while it was recorded, until somebody asks for its text
        self._deaths = 0
        self._ask = ask
        self._forget = forget

    @property
    def waiting(self) -> bool:
        """Whether somebody waits for its text."""
        return self._answer is not None and not self._answer.done()

    async def quiet(self) -> None:
        """Return at the first verdict that no word is being spoken; at once if that is the last one."""
        await self._silent.wait()

    def heard(self, verdict: Heard) -> None:
        """Take the worker's word on how far it has looked."""
        self.heard_until = max(self.heard_until, verdict.heard_until)
        self.speech_until = max(self.speech_until, verdict.speech_until)
        if verdict.heard_until >= self.heard_until:  # else a new process that begins again
            self.speaking = verdict.speaking
            (self._silent.clear if verdict.speaking else self._silent.set)()

    def partial(self, message: Partial) -> None:
        """Hand over more text, unless a new process contradicts what the one before it promised."""
        if self._on_partial is not None and message.text.startswith(self._promised):
            stable = max(message.stable, len(self._promised))
            self._promised = message.text[:stable]
            self._on_partial(replace(message.transcript(), stable=stable))

    def encoded(self, message: Encoded) -> None:
        """Hand over a segment as FLAC, once: a new process closes the same ones again."""
        if self._on_encoded is not None and message.start > self._encoded_until:
            self._encoded_until = message.start
            self._on_encoded(message.segment, message.flac)

    async def finish(self, samples: int) -> Transcript:
        """Decode up to `samples`. Raises EngineError."""
        try:
            if self.error is not None:
                raise self.error
            self.samples = samples
            self._answer = asyncio.get_running_loop().create_future()
            self._ask(self, samples)
            return await self._answer
        finally:
            self._forget(self)

    async def abandon(self) -> None:
        """Forget it; a `finish` that waits raises EngineError."""
        self.fail(EngineError("The recording was abandoned."))
        self._forget(self)

    def died(self) -> None:
        """Count a death of the process while it worked for this recording; the second is the last."""
        self._deaths += 1
        if self._deaths < MAX_DEATHS:
            return
        self._deaths = 0
        if self.waiting:
            hint = f"v2m retry {self._dictation} --no-vad" if self._dictation else "v2m history"
            self.fail(WorkerDiedError("The speech process died twice on this recording.", hint=hint))
        else:
            self.left_alone = True

    def fail(self, error: EngineError) -> None:
        """Answer with an error, now or when somebody asks."""
        self.error = error
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    def succeed(self, transcript: Transcript) -> None:
        """Answer with a text."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(transcript)
