"""What several checks need to know, asked once and with a deadline for each."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from v2m.application.commands import DISPLAY_VARIABLES
from v2m.client import AsyncClient, ClientError, CommandError, DaemonNotRunningError, DaemonTimeoutError
from v2m.config import Settings, load_settings
from v2m.core.di.adapters import make_sessions
from v2m.domain.audio import Device
from v2m.domain.delivery import Session
from v2m.domain.errors import CaptureError, ConfigError
from v2m.local._checks.threads import in_thread
from v2m.utils.paths import BadSocketPathError, set_variables, socket_path, state_dir
from v2m.utils.presence import is_asleep

FACT_S: Final = 3.0  # with the checks behind it, all is told within 10 s
ANSWER_S: Final = 2.5  # for the daemon, which answers within milliseconds, and when systemd starts it within a second
_SOUND_S: Final = 0.5

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answering:
    """Who is at the other end of the socket."""

    path: Path | None  # of the socket; None: V2M_SOCKET is no path of one
    manner: Literal["answers", "silent", "absent", "refuses", "asleep"]  # asleep: the next key starts it
    problem: str = ""
    ping: dict[str, Any] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)

    @property
    def answers(self) -> bool:
        """Whether there is a daemon that answers."""
        return self.manner == "answers"


@dataclass(frozen=True, slots=True)
class Configured:
    """The settings; `refusal` says why those of the user cannot be used, and then `settings` are the defaults."""

    settings: Settings | None
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Sound:
    """What PipeWire tells."""

    server: str = ""  # empty: it answers
    manager: bool = False  # a session manager links streams
    devices: Sequence[Device] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """All of it."""

    daemon: Answering
    configured: Configured
    session: Session
    sound: Sound

    @property
    def settings(self) -> Settings:
        """The settings in effect. Raises UnknownSettingsError."""
        if self.configured.settings is None:
            raise UnknownSettingsError
        return self.configured.settings

    def state(self) -> Path:
        """Return the folder of the history; touches no file."""
        return self.configured.settings.paths.state() if self.configured.settings else state_dir()


class UnknownSettingsError(Exception):
    """A check needs settings, and there are none: the check of the settings says why."""


async def gather() -> Facts:
    """Ask for everything at once; what gives no answer in time counts as absent."""
    async with asyncio.TaskGroup() as group:
        configured = group.create_task(
            _in_time(in_thread(_settings), Configured(None, "The settings cannot be read: reading does not end."))
        )
        daemon = group.create_task(_in_time(_daemon(), Answering(None, "silent", "The daemon does not answer.")))
        session = group.create_task(_in_time(make_sessions().current(set_variables(DISPLAY_VARIABLES)), Session()))
        sound = group.create_task(_in_time(in_thread(_sound), Sound("PipeWire does not answer.")))
    return Facts(daemon.result(), configured.result(), session.result(), sound.result())


async def _in_time(work: Awaitable[T], otherwise: T) -> T:
    try:
        async with asyncio.timeout(FACT_S):
            return await work
    except TimeoutError:
        return otherwise


def _settings() -> Configured:
    try:
        return Configured(load_settings())
    except ConfigError as error:
        refusal = str(error)
    try:  # the rest can be looked at with the defaults
        return Configured(load_settings(config_file=Path("/dev/null")), refusal)
    except ConfigError:
        return Configured(None, refusal)


async def _daemon() -> Answering:
    try:
        path = socket_path()
    except BadSocketPathError as error:
        return Answering(None, "absent", str(error))
    if is_asleep(path):
        return Answering(path, "asleep", "The daemon does not run; the next key starts it.")
    client = AsyncClient(path, timeout_s=ANSWER_S)
    try:
        ping = await client.call("PING")
        return Answering(path, "answers", "", ping, await client.call("GET_STATUS"))
    except DaemonNotRunningError as error:
        return Answering(path, "absent", str(error))
    except DaemonTimeoutError as error:
        return Answering(path, "silent", str(error))
    except CommandError as error:  # it answers, and not as ours does
        return Answering(path, "refuses", str(error))
    except ClientError as error:
        return Answering(path, "refuses", str(error))
    finally:
        client.close()


def _sound() -> Sound:
    from v2m.infrastructure.capture._pwcapture import Connection

    try:
        connection = Connection()
    except CaptureError as error:
        return Sound(str(error))
    try:
        connection.connect(_SOUND_S)
        devices = connection.devices(_SOUND_S)
        return Sound(manager=bool(connection.status().is_managed), devices=devices)
    except CaptureError as error:
        return Sound(str(error))
    finally:
        connection.close()
