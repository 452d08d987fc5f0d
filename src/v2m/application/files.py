"""A sound or video file to text: which decoder reads it, what is told meanwhile, what an answer can hold."""

import json
import time
from itertools import count
from pathlib import Path
from typing import Any, Final

from v2m.application.tongue import Tongue
from v2m.core.events import EventBus
from v2m.core.ipc_protocol import MAX_PAYLOAD_SIZE
from v2m.domain.dictation import Wishes
from v2m.domain.errors import EngineError, NoSpeechError, UnreadableAudioError
from v2m.domain.events import Progress, Segment
from v2m.domain.ports import MediaOpener, MediaSource, TranscribeOptions, Transcriber
from v2m.domain.transcript import PartialTranscript, Transcript

TELL_S: Final = 0.25  # between two progress events: smooth for eyes, cheap for everybody
ANSWER_BYTES: Final = MAX_PAYLOAD_SIZE - 4096  # the rest is for the envelope


class Files:
    """Transcribes files; several at a time are fine, and the speech process puts dictations before them."""

    def __init__(self, *, transcriber: Transcriber, media: MediaOpener, tongue: Tongue, events: EventBus) -> None:
        self._transcriber = transcriber
        self._media = media
        self._tongue = tongue
        self._events = events
        self._numbers = count(1)

    async def transcribe(self, path: Path, *, language: str | None, job: str = "") -> dict[str, Any]:
        """Return the answer of TRANSCRIBE_FILE. Cancelling ends decoder and decode.

        Raises:
            ProtocolError: there is no such file, or the language cannot be done.
            EngineError: nothing can read it, or the engine failed.
            NoSpeechError: there is no word in it.
        """
        options = TranscribeOptions(self._tongue.choose(Wishes(language)), file=True)
        teller = _Teller(self._events, job or f"file-{next(self._numbers)}")
        fd = await self._media.open(path)
        damage = ""
        try:
            heard = await self._hear(fd, options, teller)
        except UnreadableAudioError:
            heard, damage = await self._convert(path, options, teller)
        if not heard.text:
            raise EngineError(damage) if damage else NoSpeechError(f"No speech was found in {path.name}.")
        teller.ended()
        return _answer(heard, damage)

    async def _convert(self, path: Path, options: TranscribeOptions, teller: "_Teller") -> tuple[Transcript, str]:
        """Have the file read by the other decoder; return what was damaged too."""
        async with self._media.convert(path) as source:
            heard = await self._hear(source.open_reader(), options, teller, source)
            return heard, await source.ended()

    async def _hear(
        self, fd: int, options: TranscribeOptions, teller: "_Teller", source: MediaSource | None = None
    ) -> Transcript:
        def on_partial(partial: PartialTranscript) -> None:
            teller.heard(partial, partial.length_s or (source.duration_s if source else None))

        utterance = self._transcriber.open(0, (fd,), options, on_partial=on_partial)
        try:
            return await utterance.finish(0)
        finally:
            await utterance.abandon()


class _Teller:
    """Tells subscribers about one file; a second run over it repeats nothing."""

    def __init__(self, events: EventBus, job: str) -> None:
        self._events = events
        self._job = job
        self._last_start_s = -1.0  # of a passage; later ones may overlap it, but start later
        self._told_at = 0.0  # CLOCK_MONOTONIC
        self._done = 0.0

    def heard(self, partial: PartialTranscript, duration_s: float | None) -> None:
        """Tell new passages, and how far it is if enough time has passed; `duration_s` None: nobody knows."""
        for passage in partial.passages:
            if passage.start_s > self._last_start_s:
                self._last_start_s = passage.start_s
                self._events.publish(Segment(self._job, passage.start_s, passage.end_s, passage.text))
        done = min(1.0, partial.heard_s / duration_s) if duration_s else 0.0
        if done > self._done and time.monotonic() - self._told_at >= TELL_S:
            self._tell(done)

    def ended(self) -> None:
        """Tell that all of it is done."""
        self._tell(1.0)

    def _tell(self, done: float) -> None:
        if self._events.has_listeners():
            self._done, self._told_at = done, time.monotonic()
            self._events.publish(Progress(self._job, round(done, 4)))


def _answer(heard: Transcript, damage: str) -> dict[str, Any]:
    """Return the data of the answer; passages that do not fit are left to the events."""
    answer: dict[str, Any] = {
        "transcription": heard.text,
        "duration_s": round(heard.duration_s, 3),
        "passages": [
            {"start_s": round(one.start_s, 3), "end_s": round(one.end_s, 3), "text": one.text} for one in heard.passages
        ],
        "damage": damage,
    }
    if len(json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace")) > ANSWER_BYTES:
        answer["passages"] = None
    return answer
