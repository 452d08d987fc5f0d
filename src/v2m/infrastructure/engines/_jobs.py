"""The recordings that the speech process works for, until each is answered or unwanted."""

import os
from collections.abc import Callable, Iterator, Sequence

from v2m.domain.errors import EngineError
from v2m.domain.ports import TranscribeOptions
from v2m.domain.transcript import PartialTranscript, Segment
from v2m.infrastructure.engines import _messages as wire
from v2m.infrastructure.engines._utterance import WorkerUtterance

Write = Callable[[wire.Message, Sequence[int]], None]
OnPartial = Callable[[PartialTranscript], None]
OnEncoded = Callable[[Segment, bytes], None]


class Jobs:
    """Numbers recordings, tells whichever process there is about them, passes on what it says of each."""

    def __init__(
        self,
        write: Write,
        *,
        ask: Callable[[WorkerUtterance, int], None],
        forget: Callable[[WorkerUtterance], None],
    ) -> None:
        """Take what sends a message to the present process, if there is one.

        `ask` and `forget` are called by a recording whose text is wanted, and when it is wanted no more.
        """
        self._write = write
        self._ask = ask
        self._forget = forget
        self._open: dict[int, WorkerUtterance] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[WorkerUtterance]:
        return iter(list(self._open.values()))

    def add(
        self,
        dictation: int,
        audio_fds: Sequence[int],
        options: TranscribeOptions,
        on_partial: OnPartial | None,
        on_encoded: OnEncoded | None,
    ) -> WorkerUtterance:
        """Number a recording; takes the descriptors over."""
        self._last += 1
        opening = wire.Open(
            self._last,
            options.language,
            options.vad,
            options.file,
            len(audio_fds),
            live=options.live,
            partials=on_partial is not None,
            encoded=on_encoded is not None,
        )
        utterance = WorkerUtterance(
            opening,
            audio_fds,
            dictation,
            ask=self._ask,
            forget=self._forget,
            on_partial=on_partial,
            on_encoded=on_encoded,
        )
        self._open[utterance.job] = utterance
        return utterance

    def announce(self, utterance: WorkerUtterance) -> None:
        """Tell the present process about a recording, and that it has ended if it has."""
        if utterance.error is not None or utterance.left_alone:
            return
        self._write(utterance.opening, utterance.audio_fds)
        if utterance.samples is not None:
            self._write(wire.Finish(utterance.job, utterance.samples), ())

    def ask(self, utterance: WorkerUtterance, samples: int) -> None:
        """Have a recording finished, by this process or the next."""
        if utterance.left_alone:
            utterance.left_alone = False
            self.announce(utterance)
        else:
            self._write(wire.Finish(utterance.job, samples), ())

    def remove(self, utterance: WorkerUtterance) -> bool:
        """Forget a recording and close its descriptors; False when that was done before."""
        if self._open.pop(utterance.job, None) is None:
            return False
        for fd in utterance.audio_fds:
            os.close(fd)
        self._write(wire.Abandon(utterance.job), ())
        return True

    def get(self, job: int) -> WorkerUtterance | None:
        """Return a recording; None when nobody wants it any more."""
        return self._open.get(job)

    def waiting(self) -> list[int]:
        """Return how long the recordings are whose text somebody waits for, in samples, oldest first."""
        return [utterance.samples or 0 for utterance in self if utterance.waiting]

    def tell(self, message: wire.Heard | wire.Partial | wire.Encoded | wire.Error) -> None:
        """Pass on what the process says of a recording that is still wanted."""
        utterance = self._open.get(message.job)
        if utterance is None:
            return
        match message:
            case wire.Heard():
                utterance.heard(message)
            case wire.Partial():
                utterance.partial(message)
            case wire.Encoded():
                utterance.encoded(message)
            case wire.Error():
                utterance.fail(message.as_exception())

    def fail(self, error: EngineError) -> None:
        """Give everybody who waits an error."""
        for utterance in self:
            if utterance.waiting:
                utterance.fail(error)

    def blame(self) -> None:
        """Count a death for the recording that was worked on: the oldest that waits, else the oldest."""
        for utterance in sorted(self, key=lambda one: not one.waiting)[:1]:
            utterance.died()
