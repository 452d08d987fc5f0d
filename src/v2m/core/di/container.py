"""The composition root: the only place that knows every adapter and every setting.

One async context manager opens what must be opened, in order, and leaves it in reverse. `match` with the
import inside each case, so that only the chosen library is loaded. Tests replace a port by a keyword.
"""

import asyncio
import logging
import time
from collections import ChainMap
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from v2m.application.announce import Announcer
from v2m.application.commands import COMMANDS, Command, parse_command
from v2m.application.dictate import Dictations
from v2m.application.files import Files
from v2m.application.handlers import (
    DaemonHandlers,
    DesktopHandlers,
    HistoryHandlers,
    RecordingHandlers,
    SettingsHandlers,
)
from v2m.application.hotkey import Hotkey
from v2m.application.receipts import Receipts
from v2m.application.recover import expire
from v2m.application.settings import Configuration
from v2m.application.status import Status
from v2m.application.tongue import Tongue
from v2m.config import Settings
from v2m.core.command_bus import CommandBus
from v2m.core.di.adapters import make_media, make_notifier
from v2m.core.di.ears import Ears, Job
from v2m.core.di.live import Live, make_configuration
from v2m.core.di.ports import Ports, open_ports
from v2m.core.di.settings import Found, SettingsStore
from v2m.core.di.use_cases import UseCases, build_use_cases
from v2m.core.di.ways_out import Overrides
from v2m.core.events import EventBus
from v2m.core.ipc_protocol import Request
from v2m.core.logging import configure
from v2m.domain.errors import PermissionDeniedError, StateError
from v2m.infrastructure.service.lock import held_lock
from v2m.utils.paths import is_supervised, journal_stream

__all__ = ["Container", "Overrides", "build_container"]

log = logging.getLogger(__name__)

ADAPTERS_OF_THE_SETTINGS = Overrides()
SWEEP_S = 600.0  # how often audio that has been kept long enough is deleted


@dataclass(frozen=True, slots=True)
class Container:
    """What the daemon needs to serve."""

    dictations: Dictations
    hotkey: Hotkey
    events: EventBus
    bus: CommandBus
    status: Status
    announcer: Announcer
    configuration: Configuration
    receipts: Receipts
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
        await self.receipts.settle()
        await self.announcer.aclose()


@asynccontextmanager
async def build_container(
    arguments: Mapping[str, Any],
    *,
    config_file: Path | None = None,
    shut_down: Callable[[bool], None],
    overrides: Overrides = ADAPTERS_OF_THE_SETTINGS,
) -> AsyncIterator[Container]:
    """Open everything the settings name; leaving closes it in reverse.

    Raises:
        ConfigError: a setting is unknown or ill-typed; not under systemd, where the last good settings hold.
    """
    store = SettingsStore(arguments, config_file)
    found = await asyncio.to_thread(store.open, forgiving=is_supervised())
    settings = found.settings
    configure(settings.daemon.log_level, journal_stream=journal_stream())
    async with AsyncExitStack() as stack:
        ears = Ears(overrides.notifier or make_notifier(settings), stack)
        _claim(settings.paths.state(), stack)
        ports = await open_ports(settings, overrides, ears, stack)
        yield await _assemble(found, ports, ears, overrides, shut_down)


def _claim(state: Path, stack: AsyncExitStack) -> None:
    """Keep a second daemon, of another socket, away from our history and audio. Raises AlreadyRunningError."""
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        stack.enter_context(held_lock(state / "lock"))
    except (OSError, PermissionDeniedError) as error:
        log.warning("the state directory cannot be locked: %s", error)  # the user is told when it is written to


def _first_time(marker: Path) -> bool:
    """Tell whether a marker is new, and leave it; where it cannot be left it stays new."""
    try:
        marker.touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        return False
    except OSError as error:
        log.debug("no marker: %s", error)
    return True


def _chores(live: Live, ports: Ports, tongue: Tongue, announcer: Announcer) -> Sequence[Job]:
    """Return what is done beside the dictations."""
    marker = live.settings.paths.state() / "told-language"

    async def keep() -> None:
        while True:
            kept_s = live.settings.history.keep_audio_trouble_s  # of now
            await expire(history=ports.history, spools=ports.spools, now_ns=time.time_ns(), broken_kept_s=kept_s)
            await asyncio.sleep(SWEEP_S)

    async def tell_language() -> None:
        await tongue.tell_once(announcer, lambda: _first_time(marker))

    return keep, tell_language


def _live(settings: Settings, overrides: Overrides, ports: Ports, made: UseCases, ears: Ears) -> Live:
    """Return what exchanges settings while all of this runs."""
    return Live(
        settings=settings,
        overrides=overrides,
        ears=ears,
        microphone=ports.microphone,
        transcriber=ports.transcriber,
        spools=ports.spools,
        history=ports.history,
        out=ports.out,
        thoughts=made.thoughts,
        tongue=made.tongue,
        recorder=made.recorder,
        dictations=made.dictations,
        status=made.status,
    )


def _bus(
    live: Live,
    configuration: Configuration,
    ports: Ports,
    made: UseCases,
    events: EventBus,
    shut_down: Callable[[bool], None],
) -> CommandBus:
    """Return what runs each command's handler."""
    dictations, handover, status, tongue = made.dictations, made.handover, made.status, made.tongue
    media = make_media(live.settings)
    groups = (
        SettingsHandlers(configuration),
        DaemonHandlers(dictations=dictations, status=status, shut_down=shut_down),
        DesktopHandlers(
            deliverer=ports.out.deliverer,
            exactness=ports.out.exactness,
            explainer=ports.out.explainer,
            microphone=ports.microphone,
            pinned_device=lambda: live.settings.audio.device,
        ),
        RecordingHandlers(
            dictations=dictations,
            handover=handover,
            deliverer=ports.out.deliverer,
            files=Files(transcriber=ports.transcriber, media=media, tongue=tongue, events=events),
        ),
        HistoryHandlers(
            dictations=dictations,
            handover=handover,
            thoughts=made.thoughts,
            history=ports.history,
            spools=ports.spools,
            transcriber=ports.transcriber,
            tongue=tongue,
        ),
    )
    return CommandBus(ChainMap(*(group.table() for group in groups)), COMMANDS.values())


async def _assemble(
    found: Found, ports: Ports, ears: Ears, overrides: Overrides, shut_down: Callable[[bool], None]
) -> Container:
    """Connect the use cases; what an earlier life left is brought to rest before the first key is obeyed."""
    settings, events, announcer = found.settings, ears.events, ears.announcer
    made = build_use_cases(settings, ports, ears)
    dictations, microphone, transcriber = made.dictations, ports.microphone, ports.transcriber
    live = _live(settings, overrides, ports, made, ears)
    configuration = make_configuration(found, live)
    bus = _bus(live, configuration, ports, made, events, shut_down)
    await made.recovery.settle()
    ears.receipts = receipts = Receipts(made.ledger)
    hotkey = Hotkey(dictations=dictations, events=events, announcer=announcer)
    jobs: list[Callable[[], Any]] = [microphone.warm, transcriber.run, dictations.run, announcer.run]
    jobs += [*_chores(live, ports, made.tongue, announcer), made.thoughts.run, made.ledger.run, configuration.run]
    jobs += [made.recovery.run, receipts.run]
    jobs += [made.preview.run] if made.preview is not None else []
    jobs += made.beside.jobs(dictations=dictations, hotkey=hotkey, microphone=microphone, transcriber=transcriber)
    most = settings.daemon.max_connections
    return Container(dictations, hotkey, events, bus, made.status, announcer, configuration, receipts, most, jobs)
