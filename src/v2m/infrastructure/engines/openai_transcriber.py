"""Speech services as the daemon's `Transcriber`: a process listens and encodes, this one uploads."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final, Protocol

from v2m.domain.dictation import Sent
from v2m.domain.errors import EngineError, ModelMissingError
from v2m.domain.languages import choose_language
from v2m.domain.offers import primary
from v2m.domain.ports import EngineCapabilities, TranscribeOptions, Transcriber, Utterance
from v2m.domain.transcript import Hypothesis, PartialTranscript, Segment
from v2m.infrastructure.engines._descriptors import reopened
from v2m.infrastructure.engines._uploads import UploadedUtterance, Uploading

LIVE_UPLOADS: Final = 3  # at once; together with the others as many as the pool has connections
OTHER_UPLOADS: Final = 2  # of files and retries: they never make a dictation wait


class Speech(Protocol):
    """A service, as `OpenAiSpeech` is one."""

    model: str
    host: str

    @property
    def connection(self) -> str:
        """`open` or `closed`."""

    @property
    def handshakes(self) -> int:
        """How many there were."""

    @property
    def trouble(self) -> str:
        """Why it could not be used last time."""

    async def warm(self) -> None:
        """Make sure of a connection."""

    async def fetch_key(self) -> None:
        """Read its key."""

    async def transcribe(
        self,
        flac: bytes,
        *,
        language: str = ...,
        prompt: str = ...,
        deadline: float | None = ...,
        on_body: Callable[[int, int], None] | None = ...,
    ) -> Hypothesis:
        """Have a FLAC file transcribed; tell of requests and bytes that leave. Raises EngineUnavailableError."""

    def drop(self) -> None:
        """Cut its connections."""

    async def aclose(self) -> None:
        """Let go of it."""


class Ears(Transcriber, Protocol):
    """A process that listens, cuts and encodes, as `WorkerProcess` is one."""

    def open(
        self,
        dictation: int,
        audio_fds: Sequence[int],
        options: TranscribeOptions,
        on_partial: Callable[[PartialTranscript], None] | None = None,
        on_encoded: Callable[[Segment, bytes], None] | None = None,
    ) -> Utterance:
        """Announce a recording; `on_encoded` gets each stretch as FLAC, the last before `finish` returns."""


class OpenAiTranscriber:
    """A `Transcriber` that has recordings transcribed by one speech service, and by no other.

    With a `floor` (another `Transcriber`, on this machine) every recording is decoded there too, at the
    same time; its text is used where the service gives none in time.
    """

    def __init__(
        self,
        ears: Ears,
        build_speech: Callable[[], Speech],
        *,
        languages: tuple[str, ...],
        allowed: Sequence[str] = (),
        timeout_s: float,
        prompt: str = "",
        upload_while_speaking: bool,
        names: frozenset[str] = frozenset(),
        floor: Transcriber | None = None,
        on_change: Callable[[], None] = lambda: None,
        provider: str = "custom",
        on_sent: Callable[[int, Sent], None] = lambda dictation, sent: None,
    ) -> None:
        """Take the listening process, the service and what it knows; `on_change` is called on the loop.

        So is `on_sent`, with the number of the dictation, when a request begins and when it was cut short; `provider`
        is what the user calls the service.

        `languages` are those that the service knows, `allowed` those of them that `auto` may find;
        `names` keep their capital where texts are joined.
        `timeout_s` is from the end of a dictation to its text, or for one request of a file. The service
        is built here; where that raises ModelMissingError, the state is `failed`.
        """
        self._ears = ears
        self._floor = floor
        self._languages = languages
        self._allowed = [primary(language) for language in allowed]
        self._spoken = ""  # the last of the allowed languages that was found
        self._timeout_s = timeout_s
        self._prompt = prompt
        self._early = upload_while_speaking
        self._names = names
        self._on_change = on_change
        self._provider = provider
        self._on_sent = on_sent
        self._speech: Speech | None = None
        self._missing: EngineError | None = None
        self._trouble = ""  # of the last recording
        self._group: asyncio.TaskGroup | None = None
        self._begun = asyncio.Event()  # `run` has, or never will
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: set[UploadedUtterance] = set()
        self._live_room = asyncio.Semaphore(LIVE_UPLOADS)
        self._other_room = asyncio.Semaphore(OTHER_UPLOADS)
        try:
            self._speech = build_speech()
        except ModelMissingError as error:
            self._missing = error

    @property
    def state(self) -> str:
        """`warming`, `ready`, `unloaded` or `failed`, of the listening process; connections do not count."""
        return "failed" if self._missing else self._ears.state

    @property
    def loads(self) -> int:
        """How often the listening process was loaded."""
        return self._ears.loads

    @property
    def capabilities(self) -> EngineCapabilities | None:
        """What the service can do; the notice tells what is wrong with it now. None while nothing listens."""
        ears = self._ears.capabilities
        if self._speech is None or ears is None:
            return None
        notice = self._trouble or self._speech.trouble
        return EngineCapabilities(
            self._name,
            self._languages,
            prompt=True,
            network=True,
            notice=notice,
            confined=ears.confined,
            exposed=ears.exposed,
        )

    @property
    def connection(self) -> str:
        """`open` while a connection to the service is kept, else `closed`."""
        return self._speech.connection if self._speech else "closed"

    @property
    def handshakes(self) -> int:
        """How often a TLS connection to the service was made."""
        return self._speech.handshakes if self._speech else 0

    @property
    def detail(self) -> str:
        """Why it failed, in one sentence; else empty."""
        return str(self._missing) if self._missing else self._ears.detail

    def open(
        self,
        dictation: int,
        audio_fds: Sequence[int],
        options: TranscribeOptions,
        on_partial: Callable[[PartialTranscript], None] | None = None,
    ) -> Utterance:
        """Announce a recording and make sure of a connection; takes the descriptors over."""
        floor = None
        if self._floor is not None:
            floor = self._floor.open(dictation, [reopened(fd) for fd in audio_fds], options)
        live = options.live and not options.file
        if live and self._speech is not None:
            self._spawn(self._warm(self._speech))
            self._spawn(self._speech.fetch_key())
        plan = Uploading(
            transcribe=partial(self._transcribe, dictation),
            running=self._begun.wait,
            spawn=self._spawn,
            room=self._live_room if live else self._other_room,
            timeout_s=self._timeout_s,
            early=self._early,
            names=self._names,
            engine=self._name,
            over=self._over,
        )
        utterance = UploadedUtterance(plan, options, floor=floor, on_partial=on_partial)
        utterance.listen(
            self._ears.open(
                dictation, audio_fds, options, utterance.progressed if on_partial else None, utterance.encoded
            )
        )
        self._open.add(utterance)
        return utterance

    async def run(self) -> None:
        """Look after the processes and the uploads until `aclose`; the first connection is made meanwhile."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._begun.set()
            try:
                if self._speech is not None:
                    self._spawn(self._warm(self._speech))
                if self._floor is not None:
                    self._spawn(self._floor.run())
                await self._ears.run()
            finally:
                self._group = None

    async def wait_ready(self) -> None:
        """Return when recordings are listened to; the network is not waited for. Raises EngineError."""
        if self._missing is not None:
            raise self._missing
        await self._ears.wait_ready()

    def drop(self) -> None:
        """Cut the connections: the network has changed. The next recording opens a new one."""
        if self._speech is not None:
            self._speech.drop()
        if self._floor is not None:
            self._floor.drop()

    async def aclose(self) -> None:
        """End uploads, connections and processes. Twice is fine."""
        self._begun.set()
        for utterance in list(self._open):
            await utterance.abandon()
        if self._speech is not None:
            await self._speech.aclose()
        if self._floor is not None:
            await self._floor.aclose()
        for task in list(self._tasks):
            task.cancel()
        await self._ears.aclose()

    @property
    def _name(self) -> str:
        return f"{self._speech.model} at {self._speech.host}" if self._speech else "openai"

    async def _transcribe(self, dictation: int, flac: bytes, language: str, deadline: float | None) -> Hypothesis:
        """Have one stretch transcribed; a second time if the service found a language that nobody speaks here."""
        if self._speech is None:
            raise self._missing or EngineError("There is no speech service.")
        if language == "auto" and len(self._allowed) == 1:
            language = self._allowed[0]
        transcribe = partial(
            self._speech.transcribe,
            flac,
            prompt=self._prompt,
            deadline=deadline,
            on_body=partial(self._sent, dictation, self._speech.host),
        )
        heard = await transcribe(language=language)
        if language != "auto" or not heard.language or not self._allowed:
            return heard
        if primary(heard.language) in self._allowed:
            self._spoken = primary(heard.language)
            return heard
        return await transcribe(language=choose_language({}, self._allowed, self._spoken))

    def _sent(self, dictation: int, host: str, requests: int, size_bytes: int) -> None:
        self._on_sent(dictation, Sent("audio", self._provider, host, size_bytes, requests))

    async def _warm(self, speech: Speech) -> None:
        before = speech.trouble
        await speech.warm()
        if speech.trouble != before:
            self._on_change()

    def _over(self, utterance: UploadedUtterance, trouble: str | None) -> None:
        """Forget a recording; tell what was wrong with the service, if that is known."""
        self._open.discard(utterance)
        if trouble is not None and trouble != self._trouble:
            self._trouble = trouble
            self._on_change()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None] | None":
        """Begin something beside everything else; None when nothing is begun any more, or not yet."""
        if self._group is None:
            work.close()
            return None
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
