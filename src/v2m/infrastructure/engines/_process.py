"""The daemon's side of the speech process: starts it, hands it recordings, replaces it when it dies."""

import asyncio
import contextlib
import json
import logging
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from v2m.domain.errors import EngineError, ModelMissingError
from v2m.domain.ports import EngineCapabilities, TranscribeOptions
from v2m.infrastructure.engines import _messages as wire
from v2m.infrastructure.engines._child import Child, spawned
from v2m.infrastructure.engines._jobs import Jobs, OnEncoded, OnPartial
from v2m.infrastructure.engines._patience import Patience
from v2m.infrastructure.engines._utterance import WorkerUtterance

log = logging.getLogger(__name__)

MAX_FAILED_STARTS: Final = 3  # in a row, before it is given up until the next recording
LOAD_PATIENCE_S: Final = 60.0  # 0.7 s is normal; a cold disk that is busy with a login takes longer
STEADY_S: Final = 10.0  # a process that lived as long is replaced at once
MAX_BACKOFF_S: Final = 30.0


class WorkerProcess:
    """A `Transcriber` in a child process; `run` looks after it until `aclose`.

    Recordings may be opened before and between processes: each new one gets all that are not answered,
    from their first sample. `on_change` is called on the loop when state or detail have changed.
    """

    def __init__(
        self,
        *,
        engine: str,
        options: Mapping[str, Any] | None = None,
        vocabulary: Sequence[str] = (),
        arguments: Sequence[str] = (),
        on_change: Callable[[], None] = lambda: None,
        patience_s: float = 5.0,
        residency: str = "warm",
        idle_s: float = math.inf,
    ) -> None:
        """Take the engine's name, its options and further arguments of `python -m v2m.worker`; starts nothing.

        The options are the keywords of its adapter, as JSON has values; `vocabulary` holds entries of the
        user's. `patience_s` is how long a process with work may be silent, at least, before it is replaced.
        `residency` says how long a process without work stays: `warm` for ever, `idle-unload` for `idle_s`,
        `on-record` not at all.
        """
        self._argv = [sys.executable, "-P", "-m", "v2m.worker", "--engine", engine, *arguments]
        self.options = dict(options or {})
        self.vocabulary = list(vocabulary)
        self._on_change = on_change
        self._patience = Patience(patience_s)
        self._keep_s = {"warm": math.inf, "idle-unload": idle_s, "on-record": 0.0}[residency]
        self._resting = residency == "on-record"  # no process until a recording wants one
        self._state = "unloaded" if self._resting else "warming"
        self._error: EngineError | None = None
        self._capabilities: EngineCapabilities | None = None
        self._confinement = wire.Confined(held=False, reason="")
        self._loads = 0
        self._jobs = Jobs(self._write, ask=self._ask, forget=self._forget)
        self._child: Child | None = None
        self._alarm: asyncio.TimerHandle | None = None  # when a silent process is given up
        self._leave: asyncio.TimerHandle | None = None  # when one without work is let go
        self._closed = False
        self._wanted = asyncio.Event()
        self._settled = asyncio.Event()  # the state is not `warming`
        if self._resting:
            self._settled.set()
        self._idle = asyncio.Event()  # `run` is not running
        self._idle.set()

    @property
    def state(self) -> str:
        """`warming`, `ready`, `unloaded` (closed, or until the next recording) or `failed`."""
        return self._state

    @property
    def loads(self) -> int:
        """How often a model was loaded."""
        return self._loads

    @property
    def capabilities(self) -> EngineCapabilities | None:
        """None until an engine was loaded, and after it has failed."""
        return self._capabilities

    @property
    def pid(self) -> int | None:
        """The process that serves now; None between two."""
        return None if self._child is None else self._child.pid

    @property
    def detail(self) -> str:
        """Why it failed, in one sentence; else empty."""
        return str(self._error) if self._state == "failed" else ""

    def drop(self) -> None:
        """There is no connection: what is decoded here is decoded on this machine."""

    async def wait_ready(self) -> None:
        """Return when the model is loaded, or is not to be before the next recording. Raises EngineError."""
        await self._settled.wait()
        if self._error is not None:
            raise self._error

    def open(
        self,
        dictation: int,
        audio_fds: Sequence[int],
        options: TranscribeOptions,
        on_partial: OnPartial | None = None,
        on_encoded: OnEncoded | None = None,
    ) -> WorkerUtterance:
        """Announce a recording; takes the descriptors over. After a failure the engine is tried again.

        `on_partial` gets the text so far; `on_encoded` each segment as it is closed, as the bytes of a FLAC
        file, the last ones before `finish` returns. Both are called on the loop.
        """
        utterance = self._jobs.add(dictation, audio_fds, options, on_partial, on_encoded)
        _cancel(self._leave)
        self._resting = False
        if self._child is None or self._state in ("failed", "unloaded"):  # also while it waits a little after a death
            self._wanted.set()
        log.debug("dictation %d is job %d", dictation, utterance.job)
        self._jobs.announce(utterance)
        return utterance

    async def aclose(self) -> None:
        """End the process; whoever waits for a text gets an EngineError. Twice is fine."""
        if not self._closed:
            self._closed = True
            self._change("unloaded", EngineError("The speech engine was stopped.", hint="v2m daemon start"))
        for utterance in self._jobs:
            await utterance.abandon()
        self._wanted.set()
        self._hang_up()
        await self._idle.wait()

    async def run(self) -> None:
        """Keep a process alive until `aclose`; belongs into the daemon's task group. Cancelling ends it."""
        failures = 0
        self._idle.clear()
        try:
            while not self._closed:
                if self._resting:
                    await self._wanted.wait()
                    continue
                loads, started = self._loads, time.monotonic()
                await self._live()
                if self._state == "unloaded":
                    continue
                lived = self._loads > loads and time.monotonic() - started >= STEADY_S
                failures = 0 if lived else failures + 1
                if self._state != "failed" and self._loads == loads and failures >= MAX_FAILED_STARTS:
                    self._fail(
                        EngineError("The speech process ends while it starts.", hint="The log of toakd says why.")
                    )
                await self._rest(failures)
        finally:
            self._idle.set()

    async def _rest(self, failures: int) -> None:
        """Wait before the next start: after a failed load for a recording that wants it, else a little."""
        if self._state == "failed":
            await self._wanted.wait()
        elif failures > 1:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(MAX_BACKOFF_S, 0.25 * 2**failures)):
                    await self._wanted.wait()

    def _brief(self) -> bytes:
        return json.dumps([self.options, self.vocabulary]).encode()

    async def _live(self) -> None:
        """Start a process, give it the open recordings, take its answers until it ends."""
        self._wanted.clear()
        self._change("warming")
        child = None
        try:
            async with spawned(self._argv, self._brief()) as child:
                self._child = child
                for utterance in self._jobs:
                    self._jobs.announce(utterance)
                if self._state == "warming":
                    await self._listen(child)
        except OSError as error:
            self._fail(EngineError(f"The speech process cannot be started: {error.strerror}."))
        finally:
            self._hang_up()
            self._child = None
        if child is not None and self._state in ("warming", "ready"):
            log.warning("The speech process ended (status %s); it is started again.", child.status)
            self._jobs.blame()

    async def _listen(self, child: Child) -> None:
        """Handle messages until the process is gone."""
        self._rearm()
        try:
            async for message in child.messages():
                self._handle(message)
                if not isinstance(message, wire.Heard):  # says nothing about the thread that decodes
                    self._rearm()
        except wire.GarbledError as error:
            log.warning("The speech process sends %s; it is replaced.", error)

    def _hang_up(self) -> None:
        """Close the connection: `_listen` returns and the process is killed."""
        _cancel(self._alarm)
        _cancel(self._leave)
        if self._child is not None:
            self._child.hang_up()

    def _linger(self) -> None:
        """Let a process that has nothing to do go, when its time is over."""
        _cancel(self._leave)
        if self._jobs or self._keep_s == math.inf or self._state not in ("warming", "ready"):
            return
        self._leave = asyncio.get_running_loop().call_later(self._keep_s, self._let_go)

    def _let_go(self) -> None:
        log.info("The speech process is let go until the next recording.")
        self._resting = True
        self._wanted.clear()
        self._change("unloaded")
        self._hang_up()

    def _rearm(self) -> None:
        """Begin to wait anew for a sign of work."""
        _cancel(self._alarm)
        if self._child is None:
            return
        patience_s = LOAD_PATIENCE_S
        if self._state == "ready":
            if not (waiting := self._jobs.waiting()):
                return
            patience_s = self._patience.seconds(waiting[0])
        self._alarm = asyncio.get_running_loop().call_later(patience_s, self._give_up)

    def _give_up(self) -> None:
        log.warning("The speech process hangs.")
        self._patience.ran_out()
        self._hang_up()

    def _handle(self, message: wire.Message) -> None:
        match message:
            case wire.Confined():
                self._confined(message)
            case wire.Ready():
                self._capabilities = self._known(message)
                self._loads += 1
                self._change("ready")
                self._linger()
            case wire.Able():
                self._capabilities = self._known(message)
                self._on_change()
            case wire.Failed():
                kind = ModelMissingError if message.code == ModelMissingError.code else EngineError
                self._fail(kind(message.message, hint=message.hint))
            case wire.Heard() | wire.Partial() | wire.Encoded() | wire.Error():
                self._jobs.tell(message)
            case wire.Result() if utterance := self._jobs.get(message.job):
                self._answer(utterance, message)

    def _confined(self, message: wire.Confined) -> None:
        if message.held:
            log.info("The speech process is confined.")
        elif message != self._confinement:
            log.warning("The speech process is not confined: %s.", message.reason)
        self._confinement = message

    def _known(self, able: wire.Able) -> EngineCapabilities:
        return replace(able.known(), confined=self._confinement.held, exposed=self._confinement.reason)

    def _answer(self, utterance: WorkerUtterance, result: wire.Result) -> None:
        if result.vad_errors:
            log.warning("The voice detector failed %d times; that was taken for speech.", result.vad_errors)
        self._patience.answered(duration_s=result.duration_s, work_s=(result.decode_ms + result.vad_ms) / 1000)
        assert self._capabilities is not None
        utterance.succeed(result.transcript(self._capabilities.name))

    def _ask(self, utterance: WorkerUtterance, samples: int) -> None:
        if self._error is not None and (self._closed or not self._wanted.is_set()):
            utterance.fail(self._error)
        else:
            self._jobs.ask(utterance, samples)
        self._rearm()

    def _forget(self, utterance: WorkerUtterance) -> None:
        if self._jobs.remove(utterance):
            self._rearm()
            self._linger()

    def _write(self, message: wire.Message, descriptors: Sequence[int]) -> None:
        if self._child is not None and not self._child.send(message, descriptors):
            self._give_up()

    def _fail(self, error: EngineError) -> None:
        """Give up until the next recording; everybody who waits hears why."""
        self._change("failed", error)
        self._jobs.fail(error)

    def _change(self, state: str, error: EngineError | None = None) -> None:
        if (state, error) == (self._state, self._error):
            return
        self._state, self._error = state, error
        if state == "failed":
            self._capabilities = None
        if state == "warming":
            self._settled.clear()
        else:
            self._settled.set()
        self._on_change()


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
