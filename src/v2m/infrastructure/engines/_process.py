"""The daemon's side of the speech process: starts it, hands it recordings, replaces it when it dies."""

import asyncio
import contextlib
import logging
import os
import socket
import sys
import time
from asyncio.subprocess import DEVNULL
from collections.abc import Callable, Sequence
from typing import Final

from v2m.domain.errors import EngineError, ModelMissingError
from v2m.domain.ports import EngineCapabilities, TranscribeOptions
from v2m.infrastructure._run import end_group
from v2m.infrastructure.engines import _messages as wire
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
        arguments: Sequence[str] = (),
        on_change: Callable[[], None] = lambda: None,
        patience_s: float = 5.0,
    ) -> None:
        """Take the engine's name and further arguments of `python -m v2m.worker`; starts nothing.

        `patience_s` is how long a process with work may be silent, at least, before it is replaced.
        """
        self._argv = [sys.executable, "-P", "-m", "v2m.worker", "--engine", engine, *arguments]
        self._on_change = on_change
        self._patience = Patience(patience_s)
        self._state = "warming"
        self._error: EngineError | None = None
        self._capabilities: EngineCapabilities | None = None
        self._loads = 0
        self._jobs: dict[int, WorkerUtterance] = {}
        self._last_job = 0
        self._socket: socket.socket | None = None
        self._child: asyncio.subprocess.Process | None = None
        self._alarm: asyncio.TimerHandle | None = None  # when a silent process is given up
        self._settled = asyncio.Event()
        self._wanted = asyncio.Event()
        self._idle = asyncio.Event()  # `run` is not running
        self._idle.set()

    @property
    def state(self) -> str:
        """`warming`, `ready`, `unloaded` or `failed`."""
        return self._state

    @property
    def loads(self) -> int:
        """How often a model was loaded."""
        return self._loads

    @property
    def capabilities(self) -> EngineCapabilities | None:
        """None while the engine loads."""
        return self._capabilities

    @property
    def pid(self) -> int | None:
        """The process that serves now; None between two."""
        return None if self._child is None else self._child.pid

    @property
    def detail(self) -> str:
        """Why it failed, in one sentence; else empty."""
        return str(self._error) if self._state == "failed" else ""

    async def wait_ready(self) -> None:
        """Return when the model is loaded. Raises EngineError when it cannot be."""
        await self._settled.wait()
        if self._error is not None:
            raise self._error

    def open(self, dictation: int, audio_fd: int, options: TranscribeOptions) -> WorkerUtterance:
        """Announce a recording; takes the descriptor over. After a failure the engine is tried again."""
        self._last_job += 1
        opening = wire.Open(self._last_job, options.language, options.vad, options.file)
        utterance = WorkerUtterance(opening, audio_fd, dictation, ask=self._ask, forget=self._forget)
        self._jobs[utterance.job] = utterance
        if self._state == "failed":
            self._wanted.set()
        log.debug("dictation %d is job %d", dictation, utterance.job)
        self._announce(utterance)
        return utterance

    async def aclose(self) -> None:
        """End the process; whoever waits for a text gets an EngineError. Twice is fine."""
        if self._state != "unloaded":
            self._change("unloaded", EngineError("The speech engine was stopped.", hint="toakd"))
        for utterance in list(self._jobs.values()):
            await utterance.abandon()
        self._wanted.set()
        self._hang_up()
        await self._idle.wait()

    async def run(self) -> None:
        """Keep a process alive until `aclose`; belongs into the daemon's task group. Cancelling ends it."""
        failures = 0
        self._idle.clear()
        try:
            while self._state != "unloaded":
                loads, started = self._loads, time.monotonic()
                await self._live()
                if self._state == "unloaded":
                    return
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

    async def _live(self) -> None:
        """Start a process, give it the open recordings, take its answers until it ends."""
        self._wanted.clear()
        self._change("warming")
        ours, theirs = socket.socketpair()
        ours.settimeout(0)
        child = None
        try:
            with theirs:
                child = self._child = await asyncio.create_subprocess_exec(
                    *self._argv,
                    f"--channel={theirs.fileno()}",
                    pass_fds=[theirs.fileno()],
                    stdin=DEVNULL,
                    stdout=DEVNULL,
                    start_new_session=True,
                )
            self._socket = ours
            for utterance in list(self._jobs.values()):
                self._announce(utterance)
            if self._state != "unloaded":
                await self._listen(ours)
        except OSError as error:
            self._fail(EngineError(f"The speech process cannot be started: {error.strerror}."))
        finally:
            self._hang_up()
            self._socket = self._child = None
            ours.close()
            if child is not None:
                await end_group(child)
        if child is not None and self._state in ("warming", "ready"):
            log.warning("The speech process ended (status %s); it is started again.", child.returncode)
            self._blame()

    async def _listen(self, ours: socket.socket) -> None:
        """Handle messages until the process is gone."""
        loop, unpacker = asyncio.get_running_loop(), wire.Unpacker()
        self._rearm()
        with contextlib.suppress(ConnectionResetError):
            while data := await loop.sock_recv(ours, 1 << 16):
                for message in unpacker.feed(data):
                    self._handle(message)
                    if not isinstance(message, wire.Heard):  # says nothing about the thread that decodes
                        self._rearm()

    def _disarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _rearm(self) -> None:
        """Begin to wait anew for a sign of work."""
        self._disarm()
        if self._socket is None:
            return
        patience_s = LOAD_PATIENCE_S
        if self._state == "ready":
            waiting = [one.samples or 0 for one in self._jobs.values() if one.waiting]
            if not waiting:
                return
            patience_s = self._patience.seconds(waiting[0])
        self._alarm = asyncio.get_running_loop().call_later(patience_s, self._give_up)

    def _give_up(self) -> None:
        log.warning("The speech process hangs.")
        self._patience.ran_out()
        self._hang_up()

    def _hang_up(self) -> None:
        """Close the connection: `_listen` returns and the process is killed."""
        self._disarm()
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _handle(self, message: wire.Message) -> None:
        match message:
            case wire.Ready(fields):
                self._capabilities = EngineCapabilities(**{**fields, "languages": tuple(fields["languages"])})
                self._loads += 1
                self._change("ready")
            case wire.Failed():
                kind = ModelMissingError if message.code == ModelMissingError.code else EngineError
                self._fail(kind(message.message, hint=message.hint))
            case wire.Heard() if utterance := self._jobs.get(message.job):
                utterance.speech_until = max(utterance.speech_until, message.speech_until)
            case wire.Error() if utterance := self._jobs.get(message.job):
                utterance.fail(EngineError(message.message, hint=message.hint))
            case wire.Result() if utterance := self._jobs.get(message.job):
                self._answer(utterance, message)

    def _answer(self, utterance: WorkerUtterance, result: wire.Result) -> None:
        if result.vad_errors:
            log.warning("The voice detector failed %d times; that was taken for speech.", result.vad_errors)
        self._patience.answered(duration_s=result.duration_s, work_s=(result.decode_ms + result.vad_ms) / 1000)
        assert self._capabilities is not None
        utterance.succeed(result.transcript(self._capabilities.name))

    def _announce(self, utterance: WorkerUtterance) -> None:
        """Tell the present process about a recording, and that it has ended if it has."""
        if utterance.error is not None or utterance.left_alone:
            return
        self._write(utterance.opening, utterance.audio_fd)
        if utterance.samples is not None:
            self._write(wire.Finish(utterance.job, utterance.samples))

    def _ask(self, utterance: WorkerUtterance, samples: int) -> None:
        """Have a recording finished, by this process or the next."""
        if self._error is not None and (self._state == "unloaded" or not self._wanted.is_set()):
            utterance.fail(self._error)
        elif utterance.left_alone:
            utterance.left_alone = False
            self._announce(utterance)
        else:
            self._write(wire.Finish(utterance.job, samples))
        self._rearm()

    def _forget(self, utterance: WorkerUtterance) -> None:
        """Let go of a recording that is answered or unwanted."""
        if self._jobs.pop(utterance.job, None) is not None:
            os.close(utterance.audio_fd)
            self._write(wire.Abandon(utterance.job))
            self._rearm()

    def _write(self, message: wire.Message, *descriptors: int) -> None:
        if self._socket is not None and not wire.send_now(self._socket, message, descriptors):
            self._give_up()

    def _blame(self) -> None:
        """Count a death for the recording that was worked on: the oldest that waits, else the oldest."""
        jobs = sorted(self._jobs.values(), key=lambda one: not one.waiting)
        if jobs:
            jobs[0].died()

    def _fail(self, error: EngineError) -> None:
        """Give up until the next recording; everybody who waits hears why."""
        self._change("failed", error)
        for utterance in list(self._jobs.values()):
            if utterance.waiting:
                utterance.fail(error)

    def _change(self, state: str, error: EngineError | None = None) -> None:
        if (state, error) == (self._state, self._error):
            return
        self._state, self._error = state, error
        if state != "ready":
            self._capabilities = None
        if state == "warming":
            self._settled.clear()
        else:
            self._settled.set()
        self._on_change()
