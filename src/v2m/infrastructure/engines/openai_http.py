"""Speech services that speak OpenAI's protocol: Groq, OpenAI, or one of your own by its address.

Retries are made here and not by a library, since what is left of one deadline shapes each of them: a
pause that does not fit is not begun, and a service's Retry-After beyond it is an answer.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from v2m.domain.errors import ConfigError, EngineReason, EngineUnavailableError
from v2m.domain.offers import primary
from v2m.domain.transcript import Hypothesis
from v2m.infrastructure._http_faults import LastingError
from v2m.infrastructure._http_pool import KEEPALIVE_S, HttpPool, OnBody, Reply
from v2m.infrastructure._secrets import ApiKey
from v2m.infrastructure.engines._answers import parse_answer
from v2m.infrastructure.engines._refusals import dislikes_format, refusal

MAX_RETRIES: Final = 2
BACKOFF_S: Final = 0.25  # before the first retry, then twice as long each time
WARM_S: Final = 7.0  # to make sure of a connection, while somebody speaks: a probe, then a new one
PROBE_S: Final = 1.5  # an idle connection that does not answer so long is dead: routers forget without a word
FRESH_S: Final = 10.0  # one that answered so recently is not asked
MAX_PROMPT: Final = 600  # characters; Whisper reads 224 tokens

VERBOSE: Final = {"response_format": "verbose_json"}
TIMED: Final[Mapping[str, str | Sequence[str]]] = {**VERBOSE, "timestamp_granularities[]": ["segment", "word"]}
SURE: Final = {"response_format": "json", "include[]": "logprobs"}  # gpt-4o-transcribe and its successors
PLAIN: Final = {"response_format": "json"}


@dataclass(frozen=True, slots=True)
class _Upload:
    """What is asked, however often."""

    flac: bytes
    fields: Mapping[str, str]
    on_body: OnBody | None


class OpenAiSpeech:
    """One service, with one pool of connections for the daemon's life; called from the loop."""

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        api_key: ApiKey,
        timeout_s: float,
        user_agent: str,
        max_retries: int = MAX_RETRIES,
        ca_file: Path | None = None,
        timed: bool = False,
        keepalive_s: float = KEEPALIVE_S,
    ) -> None:
        """Take the service's address and model, and where its key is; connects to nothing.

        `timeout_s` is for a whole request with its retries. `ca_file` replaces the system's certificate
        authorities. `timed` asks for the time of each word, which some services refuse.
        """
        self.model = model
        self._pool = HttpPool(base_url, user_agent=user_agent, ca_file=ca_file, keepalive_s=keepalive_s)
        self.host = self._pool.host
        self._key = api_key
        self._timeout_s = timeout_s
        self._max_retries = max_retries
        self._form: Mapping[str, str | Sequence[str]] = (
            SURE if model.startswith("gpt-") else TIMED if timed else VERBOSE
        )
        self._unreachable = ""  # by the last `warm`
        self._trouble = ""  # of the last `transcribe`
        self._warmed = asyncio.Event()  # no `warm` is under way
        self._warmed.set()

    @property
    def connection(self) -> str:
        """`open` while a connection is kept, else `closed`."""
        return "open" if self._pool.connected else "closed"

    @property
    def handshakes(self) -> int:
        """How often a TLS connection was made."""
        return self._pool.handshakes

    @property
    def trouble(self) -> str:
        """Why the service could not be used last time, in one sentence; empty after it could."""
        return self._unreachable or self._trouble

    async def warm(self) -> None:
        """Make sure of a living connection, for nothing: one HEAD of the list of models at most.

        Never raises and ends within 7 s; while a request is under way or has just been answered, it is
        there already. A `transcribe` waits for one that is under way. Cancelling is harmless.
        """
        if not self._warmed.is_set() or self._pool.busy:
            return
        self._warmed.clear()
        try:
            async with asyncio.timeout(WARM_S):
                await self._probe()
            self._unreachable = ""
        except TimeoutError:
            self._unreachable = f"{self.host} does not answer."
        except EngineUnavailableError as error:
            self._unreachable = str(error)
        finally:
            self._warmed.set()

    async def fetch_key(self) -> None:
        """Read the key while there is time for it: a program may have to ask for it. Never raises."""
        with suppress(ConfigError):  # told by the next `transcribe`
            await self._key.read()

    async def transcribe(
        self,
        flac: bytes,
        *,
        language: str = "auto",
        prompt: str = "",
        deadline: float | None = None,
        on_body: OnBody | None = None,
    ) -> Hypothesis:
        """Have a FLAC file transcribed; `deadline` is of CLOCK_MONOTONIC, by default `timeout_s` from now.

        Cancelling closes the connection: what has not left this machine is not sent. `on_body` is told what has.

        Raises:
            EngineUnavailableError: with the reason, at the deadline at the latest.
        """
        started = time.monotonic()
        deadline = started + self._timeout_s if deadline is None else deadline
        asked = {"model": self.model, "language": primary(language), "prompt": _shortened(prompt)}
        fields = {name: value for name, value in asked.items() if value not in ("", "auto")}
        upload = _Upload(flac, fields, on_body)
        try:
            async with asyncio.timeout(deadline - started):
                await self._warmed.wait()
                heard = await self._persistently(upload, deadline)
        except TimeoutError:
            error = EngineUnavailableError(
                f"{self.host} gave no text in {deadline - started:.0f} s.",
                reason=EngineReason.TIMEOUT,
                hint="transcription.openai.timeout_s allows more; v2m retry asks again.",
            )
            self._trouble = str(error)
            raise error from None
        except EngineUnavailableError as error:
            self._trouble = str(error)
            raise
        self._unreachable = self._trouble = ""
        return heard

    def drop(self) -> None:
        """Cut the connections, after the network has changed; the next `warm` opens a new one."""
        self._pool.drop()

    async def aclose(self) -> None:
        """Close the connections. Twice is fine."""
        await self._pool.aclose()

    async def _probe(self) -> None:
        """Ask something cheap; a kept connection that is silent is replaced. Raises EngineUnavailableError."""
        self._pool.notice_sleep()
        if self._pool.connected:
            if time.monotonic() - self._pool.used_at < FRESH_S:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(PROBE_S):
                    await self._head()
                    return
            self._pool.drop()
        await self._head()

    async def _head(self) -> None:
        """Ask for the list of models: any status will do. A key is sent where it is at hand."""
        await self._pool.request("HEAD", "/models", headers=self._authorization(self._key.known))

    async def _persistently(self, upload: _Upload, deadline: float) -> Hypothesis:
        """Ask until there is a text, an error that stays, or no time for the next pause."""
        attempt = 0
        while True:
            try:
                return await self._ask(upload)
            except EngineUnavailableError as error:
                pause_s = self._pause_s(error, attempt)
                if pause_s is None or time.monotonic() + pause_s >= deadline:
                    raise
            attempt += 1
            await asyncio.sleep(pause_s)

    def _pause_s(self, error: EngineUnavailableError, attempt: int) -> float | None:
        """Return how long to wait before asking again; None: not at all."""
        transient = error.reason in (EngineReason.NETWORK, EngineReason.SERVER) or error.retry_after_s is not None
        if not transient or isinstance(error, LastingError) or attempt >= self._max_retries:
            return None
        return max(BACKOFF_S * 2.0**attempt, error.retry_after_s or 0.0)

    async def _ask(self, upload: _Upload) -> Hypothesis:
        """Send one request, and another where the service wants another key or answers in another form only."""
        key = await self._read_key()
        reply = await self._post(upload, key)
        if reply.status == 401:
            self._key.forget()
            fresh = await self._read_key()
            if fresh != key:
                key = fresh
                reply = await self._post(upload, key)
        if self._form is not PLAIN and dislikes_format(reply):
            self._form = PLAIN
            reply = await self._post(upload, key)
        if 200 <= reply.status < 300:
            return parse_answer(reply, self.host)
        raise refusal(reply, host=self.host, variable=self._key.variable, key=key)

    async def _post(self, upload: _Upload, key: str) -> Reply:
        return await self._pool.request(
            "POST",
            "/audio/transcriptions",
            headers=self._authorization(key),
            fields={**upload.fields, **self._form},
            files={"file": ("speech.flac", upload.flac, "audio/flac")},
            on_body=upload.on_body,
        )

    async def _read_key(self) -> str:
        try:
            return await self._key.read()
        except ConfigError as error:
            raise EngineUnavailableError(str(error), reason=EngineReason.AUTH, hint=error.hint) from error

    def _authorization(self, key: str) -> Mapping[str, str]:
        """Return the header with the key; nothing where others on the way could read it."""
        return {"Authorization": f"Bearer {key}"} if key and self._pool.private else {}


def _shortened(prompt: str) -> str:
    """Return as many whole words of a prompt as a service reads."""
    return prompt if len(prompt) <= MAX_PROMPT else prompt[:MAX_PROMPT].rpartition(" ")[0]
