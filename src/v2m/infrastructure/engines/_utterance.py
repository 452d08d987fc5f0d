"""One recording on its way through the speech process, as the daemon holds it."""

import asyncio
from collections.abc import Callable
from typing import Final

from v2m.domain.errors import EngineError, WorkerDiedError
from v2m.domain.transcript import Transcript
from v2m.infrastructure.engines._messages import Open

MAX_DEATHS: Final = 2  # of the process while it works for one recording


class WorkerUtterance:
    """One recording; `WorkerProcess` keeps it until it is answered or abandoned."""

    def __init__(
        self,
        opening: Open,
        audio_fd: int,
        dictation: int,
        *,
        ask: Callable[["WorkerUtterance", int], None],
        forget: Callable[["WorkerUtterance"], None],
    ) -> None:
        self.opening = opening
        self.job = opening.job
        self.audio_fd = audio_fd
        self._dictation = dictation  # 0: a file, which has no row in the history
        self.speech_until = 0  # samples
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
