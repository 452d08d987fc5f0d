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
from v2m.application.handover import Handover
from v2m.application.hotkey import Hotkey
from v2m.application.ledger import Ledger
from v2m.application.pipeline import Pipeline
from v2m.application.receipts import Receipts
from v2m.application.recorder import Recorder
from v2m.application.recover import Recovery, expire
from v2m.application.settings import Configuration
from v2m.application.sign import Sign
from v2m.application.status import Status
from v2m.application.switches import MicrophoneSwitch, TranscriberSwitch
from v2m.application.tongue import Tongue
from v2m.config import Settings
from v2m.core.command_bus import CommandBus
from v2m.core.di.adapters import make_media, make_microphone, make_notifier, open_history
from v2m.core.di.beside import Beside, make_gauges
from v2m.core.di.ears import Ears, Job
from v2m.core.di.live import Live, limits, make_configuration, shown
from v2m.core.di.settings import Found, SettingsStore
from v2m.core.di.speech import known_languages, make_transcriber
from v2m.core.di.ways_out import Overrides, WaysOut, connect, open_ways_out
from v2m.core.events import EventBus
from v2m.core.ipc_protocol import Request
from v2m.core.logging import configure
from v2m.domain.delivery import Deliver, Delivery
from v2m.domain.errors import PermissionDeniedError, StateError
from v2m.domain.offers import locale_language
from v2m.domain.ports import History, Transcriber
from v2m.infrastructure._spool import SpoolDirectory
from v2m.infrastructure.service.lock import held_lock
from v2m.utils.paths import is_supervised, journal_stream, set_variables

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
        ports = await _open_ports(settings, overrides, ears, stack)
        yield await _assemble(found, ports, ears, overrides, shut_down)


@dataclass(frozen=True, slots=True)
class _Ports:
    """The opened adapters."""

    spools: SpoolDirectory
    microphone: MicrophoneSwitch
    history: History
    transcriber: TranscriberSwitch
    out: WaysOut


def _claim(state: Path, stack: AsyncExitStack) -> None:
    """Keep a second daemon, of another socket, away from our history and audio. Raises AlreadyRunningError."""
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        stack.enter_context(held_lock(state / "lock"))
    except (OSError, PermissionDeniedError) as error:
        log.warning("the state directory cannot be locked: %s", error)  # the user is told when it is written to


async def _open_ports(settings: Settings, overrides: Overrides, ears: Ears, stack: AsyncExitStack) -> _Ports:
    """Open what a pressed key needs first; what was opened is on the stack."""
    spools = stack.enter_context(
        SpoolDirectory(
            settings.paths.spool(),
            max_recording_s=settings.audio.max_recording_s,
            on_degraded=ears.degraded("storage"),
            on_restored=ears.restored("storage"),
        )
    )
    microphone = MicrophoneSwitch(overrides.microphone or make_microphone(settings))
    stack.push_async_callback(microphone.aclose)
    history = overrides.history or await open_history(settings, ears.degraded("history"))
    stack.push_async_callback(history.aclose)
    transcriber = TranscriberSwitch(overrides.transcriber or make_transcriber(settings, ears.engine_changed, ears.sent))
    stack.push_async_callback(transcriber.aclose)
    out = await open_ways_out(settings, overrides, ears, stack)
    return _Ports(spools, microphone, history, transcriber, out)


def _tongue(settings: Settings, transcriber: Transcriber) -> Tongue:
    locale = set_variables(("LC_ALL", "LC_MESSAGES", "LANG"))
    return Tongue(
        transcriber,
        language=settings.transcription.language,
        profiles=settings.profile.languages(),
        known=known_languages(settings),
        desktop=locale_language(*(locale.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))),
    )


def _first_time(marker: Path) -> bool:
    """Tell whether a marker is new, and leave it; where it cannot be left it stays new."""
    try:
        marker.touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        return False
    except OSError as error:
        log.debug("no marker: %s", error)
    return True


def _recorder(settings: Settings, ports: _Ports, tongue: Tongue, ledger: Ledger, ears: Ears) -> Recorder:
    audio = settings.audio
    return Recorder(
        microphone=ports.microphone,
        spools=ports.spools,
        transcriber=ports.transcriber,
        ledger=ledger,
        events=ears.events,
        announcer=ears.announcer,
        aim=ports.out.aim,
        sign=Sign(
            announcer=ears.announcer,
            events=ears.events,
            degraded=ears.degraded("capture"),
            restored=ears.restored("capture"),
        ),
        limits=limits(settings),
        tongue=tongue,
        tail_ms=audio.tail_ms,
        private=not settings.history.enabled,
    )


def _dictations(
    settings: Settings,
    ports: _Ports,
    recorder: Recorder,
    handover: Handover,
    ledger: Ledger,
    ears: Ears,
    beside: Beside,
) -> Dictations:
    """Return what records and delivers; from now on there is a state that can be heard of."""
    dictations = Dictations(
        recorder=recorder,
        pipeline=Pipeline(handover=handover, ledger=ledger, events=ears.events, announcer=ears.announcer),
        transcriber=ports.transcriber,
        ledger=ledger,
        events=ears.events,
        announcer=ears.announcer,
        min_recording_ms=settings.audio.min_recording_ms,
        on_recording=beside.on_recording,
    )
    ears.state_changed = dictations.changed
    ears.recording = lambda: dictations.recording
    return dictations


def _status(
    settings: Settings, ports: _Ports, tongue: Tongue, dictations: Dictations, ears: Ears, beside: Beside
) -> Status:
    return Status(
        dictations=dictations,
        deliverer=ports.out.deliverer,
        transcriber=ports.transcriber,
        tongue=tongue,
        degradations=ears.degradations,
        **shown(settings),
        hotkeys=beside.hotkeys,
        gauges=make_gauges(),
        history=ports.history,
    )


def _recovery(
    ports: _Ports, ledger: Ledger, dictations: Dictations, handover: Handover, announcer: Announcer
) -> Recovery:
    async def again(dictation: int, text: str, where: Deliver, hint: Mapping[str, str], *, language: str) -> Delivery:
        return await dictations.see_through(lambda: handover.again(dictation, text, where, hint, language=language))

    return Recovery(
        history=ports.history,
        ledger=ledger,
        spools=ports.spools,
        transcriber=ports.transcriber,
        announcer=announcer,
        again=again,
        turn=handover.turn,
    )


def _chores(settings: Settings, ports: _Ports, tongue: Tongue, announcer: Announcer) -> Sequence[Job]:
    """Return what is done beside the dictations."""
    kept_s = settings.history.keep_audio_trouble_s

    async def keep() -> None:
        while True:
            await expire(history=ports.history, spools=ports.spools, now_ns=time.time_ns(), broken_kept_s=kept_s)
            await asyncio.sleep(SWEEP_S)

    async def tell_language() -> None:
        await tongue.tell_once(announcer, lambda: _first_time(settings.paths.state() / "told-language"))

    return keep, tell_language


async def _assemble(
    found: Found, ports: _Ports, ears: Ears, overrides: Overrides, shut_down: Callable[[bool], None]
) -> Container:
    """Connect the use cases; what an earlier life left is brought to rest before the first key is obeyed."""
    settings, events, announcer = found.settings, ears.events, ears.announcer
    tongue = _tongue(settings, ports.transcriber)
    ledger = Ledger(ports.history, on_trouble=ears.degraded("history"))
    handover, thoughts, preview = connect(ports.out, ears, ledger, ports.history, ports.spools)
    recorder = _recorder(settings, ports, tongue, ledger, ears)
    beside = Beside(settings, ears)
    dictations = _dictations(settings, ports, recorder, handover, ledger, ears, beside)
    status = _status(settings, ports, tongue, dictations, ears, beside)
    live = Live(
        settings=settings,
        overrides=overrides,
        ears=ears,
        microphone=ports.microphone,
        transcriber=ports.transcriber,
        spools=ports.spools,
        history=ports.history,
        out=ports.out,
        thoughts=thoughts,
        tongue=tongue,
        recorder=recorder,
        dictations=dictations,
        status=status,
    )
    configuration = make_configuration(found, live)
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
            files=Files(transcriber=ports.transcriber, media=make_media(settings), tongue=tongue, events=events),
        ),
        HistoryHandlers(
            dictations=dictations,
            handover=handover,
            thoughts=thoughts,
            history=ports.history,
            spools=ports.spools,
            transcriber=ports.transcriber,
            tongue=tongue,
        ),
    )
    bus = CommandBus(ChainMap(*(group.table() for group in groups)), COMMANDS.values())
    recovery = _recovery(ports, ledger, dictations, handover, announcer)
    await recovery.settle()
    jobs: list[Callable[[], Any]] = [ports.microphone.warm, ports.transcriber.run, dictations.run, announcer.run]
    jobs += [*_chores(settings, ports, tongue, announcer), thoughts.run, ledger.run, configuration.run]
    ears.receipts = receipts = Receipts(ledger)
    jobs += [recovery.run, receipts.run]
    jobs += [preview.run] if preview is not None else []
    hotkey = Hotkey(dictations=dictations, events=events, announcer=announcer)
    jobs += beside.jobs(
        dictations=dictations, hotkey=hotkey, microphone=ports.microphone, transcriber=ports.transcriber
    )
    most = settings.daemon.max_connections
    return Container(dictations, hotkey, events, bus, status, announcer, configuration, receipts, most, jobs)
