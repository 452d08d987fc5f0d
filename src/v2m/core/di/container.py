"""The composition root: the only place that knows every adapter and every setting.

One async context manager opens what must be opened, in order, and leaves it in reverse. `match` with the
import inside each case, so that only the chosen library is loaded. Tests replace a port by a keyword.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from v2m.application.announce import Announcer
from v2m.application.commands import Command, parse_command
from v2m.application.deliver import Deliverer
from v2m.application.dictate import Dictations
from v2m.application.handlers import Handlers
from v2m.application.ledger import Ledger
from v2m.application.pipeline import Pipeline
from v2m.application.recorder import Limits, Recorder
from v2m.application.recover import expire, recover
from v2m.application.status import Degradations, Status
from v2m.config import Settings, load_settings
from v2m.core.command_bus import CommandBus
from v2m.core.di.adapters import (
    make_clipboard,
    make_microphone,
    make_notifier,
    make_outputs,
    make_sessions,
    make_transcriber,
    open_history,
)
from v2m.core.events import EventBus
from v2m.core.ipc_protocol import Request
from v2m.core.logging import configure
from v2m.domain.errors import StateError
from v2m.domain.events import Degraded
from v2m.domain.ports import (
    History,
    Microphone,
    Notifier,
    SessionEnvironment,
    TextOutput,
    Transcriber,
)
from v2m.infrastructure._spool import SpoolDirectory
from v2m.utils.paths import journal_stream

log = logging.getLogger(__name__)

SWEEP_S = 600.0  # how often audio that has been kept long enough is deleted

Job = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Container:
    """What the daemon needs to serve."""

    dictations: Dictations
    events: EventBus
    bus: CommandBus
    status: Status
    announcer: Announcer
    max_connections: int
    jobs: Sequence[Callable[[], Any]]  # coroutines that run as long as the daemon

    def parse(self, request: Request) -> Command:
        """Return the command of a request. Raises ProtocolError, UnknownCommandError."""
        return parse_command(request.cmd, request.data)

    async def dispatch(self, command: Command) -> dict[str, Any]:
        """Run a command's handler."""
        if self.dictations.paused and not command.while_paused:
            raise StateError("v2m is paused.", hint="v2m resume")
        return await self.bus.dispatch(command)

    async def snapshot(self) -> dict[str, Any]:
        """Return the data of GET_STATUS."""
        return await self.status.snapshot()

    async def drain(self, finish: bool) -> None:  # noqa: FBT001 - one caller
        """Release the microphone, finish what was heard, tell what is to be told."""
        await self.dictations.aclose(finish=finish)
        await self.announcer.aclose()


@dataclass(frozen=True, slots=True)
class Overrides:
    """Ports that a test, or `--simulate`, brings itself; None means the adapter that the settings name."""

    microphone: Microphone | None = None
    transcriber: Transcriber | None = None
    outputs: Sequence[TextOutput] | None = None
    clipboard: TextOutput | None = None
    sessions: SessionEnvironment | None = None
    history: History | None = None
    notifier: Notifier | None = None


@asynccontextmanager
async def build_container(
    arguments: Mapping[str, Any],
    *,
    config_file: Path | None = None,
    shut_down: Callable[[bool], None],
    overrides: Overrides = Overrides(),
) -> AsyncIterator[Container]:
    """Open everything the settings name; leaving closes it in reverse.

    Raises:
        ConfigError: a setting is unknown or ill-typed.
    """
    settings = await asyncio.to_thread(load_settings, arguments, config_file=config_file)
    configure(settings.daemon.log_level, journal_stream=journal_stream())
    async with AsyncExitStack() as stack:
        yield await _Builder(settings, overrides, stack, shut_down).build()


class _Builder:
    """Assembles in the order in which things are needed: what a pressed key needs comes first."""

    def __init__(
        self, settings: Settings, overrides: Overrides, stack: AsyncExitStack, shut_down: Callable[[bool], None]
    ) -> None:
        self.settings = settings
        self.overrides = overrides
        self.stack = stack
        self.shut_down = shut_down
        self.events = EventBus()
        self.degradations = Degradations()
        notifier = overrides.notifier or make_notifier(settings)
        stack.push_async_callback(notifier.aclose)
        self.announcer = Announcer(notifier)
        self.loop = asyncio.get_running_loop()
        self.dictations: Dictations | None = None

    def degraded(self, what: str) -> Callable[[str], None]:
        """Return the listener that makes a weaker promise visible; may be called from any thread."""

        def tell(detail: str) -> None:
            if what not in self.degradations.active:
                self.announcer.say(f"Degraded: {what}", detail, urgent=True)
            self.degradations.note(what, detail)
            self.events.publish(Degraded(what, detail))

        def listen(detail: str) -> None:
            self.loop.call_soon_threadsafe(tell, detail)

        return listen

    def engine_changed(self) -> None:
        """Follow the engine's state, once there is a state to follow it."""
        if self.dictations is not None:
            self.dictations.changed()

    async def build(self) -> Container:
        """Return the container; what was opened is on the exit stack."""
        settings = self.settings
        spools = self.stack.enter_context(
            SpoolDirectory(
                settings.paths.spool(),
                max_recording_s=settings.audio.max_recording_s,
                on_degraded=self.degraded("storage"),
            )
        )
        microphone = self.overrides.microphone or make_microphone(settings)
        self.stack.push_async_callback(microphone.aclose)
        history = self.overrides.history or await open_history(settings, self.degraded("history"))
        self.stack.push_async_callback(history.aclose)
        ledger = Ledger(history, on_trouble=self.degraded("history"))
        transcriber = self.overrides.transcriber or make_transcriber(settings, self.engine_changed)
        self.stack.push_async_callback(transcriber.aclose)
        deliverer = self._deliverer()
        self.stack.push_async_callback(deliverer.aclose)
        pipeline = Pipeline(deliverer=deliverer, ledger=ledger, events=self.events, announcer=self.announcer)
        recorder = Recorder(
            microphone=microphone,
            spools=spools,
            transcriber=transcriber,
            ledger=ledger,
            events=self.events,
            announcer=self.announcer,
            limits=Limits(
                settings.audio.max_recording_s,
                settings.audio.lost_release_silence_s,
                settings.audio.toggled_silence_s,
            ),
            language=settings.transcription.language,
            tail_ms=settings.audio.tail_ms,
            private=not settings.history.enabled,
        )
        dictations = Dictations(
            recorder=recorder,
            pipeline=pipeline,
            transcriber=transcriber,
            spools=spools,
            ledger=ledger,
            events=self.events,
            announcer=self.announcer,
            min_recording_ms=settings.audio.min_recording_ms,
        )
        self.dictations = dictations
        status = Status(
            dictations=dictations,
            deliverer=deliverer,
            transcriber=transcriber,
            degradations=self.degradations,
            microphone={
                "backend": settings.audio.backend,
                "device": settings.audio.device,
                "policy": settings.audio.policy,
            },
            keys={
                name: settings.sources[key]
                for key, name in (("gemini_api_key", "GEMINI_API_KEY"), ("groq_api_key", "GROQ_API_KEY"))
                if getattr(settings, key)
            },
        )
        handlers = Handlers(
            dictations=dictations,
            pipeline=pipeline,
            deliverer=deliverer,
            history=history,
            spools=spools,
            transcriber=transcriber,
            microphone=microphone,
            pinned_device=settings.audio.device,
            status=status,
            shut_down=self.shut_down,
        )

        # Before the first key is obeyed: an unfinished row is then certainly of an earlier life.
        await recover(history=history, ledger=ledger, spools=spools, announcer=self.announcer)

        async def keep() -> None:
            while True:
                await expire(history=history, spools=spools, now_ns=time.time_ns())
                await asyncio.sleep(SWEEP_S)

        jobs = [transcriber.run, dictations.run, self.announcer.run, keep]
        return Container(
            dictations,
            self.events,
            handlers.bus(),
            status,
            self.announcer,
            settings.daemon.max_connections,
            jobs,
        )

    def _deliverer(self) -> Deliverer:
        settings, overrides = self.settings, self.overrides
        return Deliverer(
            outputs=make_outputs(settings) if overrides.outputs is None else overrides.outputs,
            clipboard=overrides.clipboard or make_clipboard(),
            sessions=overrides.sessions or make_sessions(),
            newline="\n" if settings.output.newline == "newline" else " ",
            trailing_space=settings.output.trailing_space,
        )
