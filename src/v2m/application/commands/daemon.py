"""The daemon itself: what it does, and whether it goes on."""

from pydantic import ConfigDict, Field

from v2m.application.commands._base import Command
from v2m.core.ipc_protocol import CommandName


class Ping(Command):
    """Ask whether the daemon is there; any `data` is taken and ignored."""

    # the specification's sample request is a PING with a payload
    model_config = ConfigDict(extra="ignore")

    name = CommandName.PING
    answer = '`message` "PONG", `version`, `protocol`'


class GetStatus(Command):
    """Tell what the daemon is doing and what it would use."""

    name = CommandName.GET_STATUS
    answer = (
        "`paused`, `since`, `queue`, `recording`, `engine` {`name`, `state`, `loads`, `languages`, `network`, `gpu`,"
        " `detail`, `notice`},"
        " `microphone`, `outputs`, `session`, `hotkeys` {`backend`, `triggers`}, `degraded`, `keys`, `pid`, `version`;"
        " with `telemetry` also `telemetry` {`daemon`, `workers`, each `pid`, `cpu_s`, `rss_bytes`, `uptime_s`;"
        " `power` {`plugged_in`, `battery_percent`}, `gpu_busy_percent`, `dictations_today`}, null where unknown"
    )

    telemetry: bool = Field(default=False, description="Tell also what the daemon takes of this machine")


class Subscribe(Command):
    """Turn this connection into a stream of events, first a full snapshot."""

    name = CommandName.SUBSCRIBE
    answer = "frames `event`, `data`, `seq`; the first is `snapshot` with the data of GET_STATUS"

    events: list[str] = Field(default_factory=list, description="Names of the wanted events; empty: all")


class PauseDaemon(Command):
    """Refuse recordings until RESUME_DAEMON; what was heard is finished first."""

    name = CommandName.PAUSE_DAEMON


class ResumeDaemon(Command):
    """Take recordings again."""

    name = CommandName.RESUME_DAEMON


class Shutdown(Command):
    """End the daemon; what was heard is finished first."""

    name = CommandName.SHUTDOWN
    answer = '`message` "SHUTTING_DOWN"'

    finish: bool = Field(default=True, description="Finish dictations that are on their way")
