"""One model per command: its validation, its line in PROTOCOL.md and its verb on the command line.

The first docstring line is the sentence users read. A field's description is its help text.
"""

from difflib import get_close_matches
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from v2m.core.ipc_protocol import CommandName
from v2m.domain.applications import RoleName
from v2m.domain.dictation import Wishes
from v2m.domain.errors import ProtocolError, UnknownCommandError
from v2m.domain.policy import Target
from v2m.domain.text.classes import TextClass

DISPLAY_VARIABLES = (
    "WAYLAND_DISPLAY",
    "DISPLAY",
    "XAUTHORITY",
    "XDG_RUNTIME_DIR",
    "XDG_SESSION_TYPE",
    "XDG_CURRENT_DESKTOP",
    "SWAYSOCK",
    "HYPRLAND_INSTANCE_SIGNATURE",
)

MAX_ID = 2**63 - 1  # SQLite's row ids
MAX_NAME = 40  # of an output; the longest of ours has 16


class Command(BaseModel):
    """What a client can ask for."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: ClassVar[CommandName]
    while_paused: ClassVar[bool] = True  # accepted while the daemon is paused
    answer: ClassVar[str] = ""  # what `data` of a good answer holds besides `state`, for PROTOCOL.md
    errors: ClassVar[tuple[str, ...]] = ()


class FromDesktop(Command):
    """A command of a client that may know the desktop better than the daemon does."""

    env: dict[str, str] = Field(
        default_factory=dict, description="Display variables of the client: " + ", ".join(DISPLAY_VARIABLES)
    )

    def display_variables(self) -> dict[str, str]:
        """Return the allowed variables; everything else a client may send is dropped."""
        return {key: value for key, value in self.env.items() if key in DISPLAY_VARIABLES and value}


class Ping(Command):
    """Ask whether the daemon is there; any `data` is taken and ignored."""

    # the specification's sample request is a PING with a payload
    model_config = ConfigDict(extra="ignore")

    name = CommandName.PING
    answer = '`message` "PONG", `version`, `protocol`'


class Starts(FromDesktop):
    """A command that may start a recording."""

    language: str | None = Field(default=None, description="Language spoken, e.g. en; default: the profile's")
    profile: int | None = Field(default=None, ge=1, le=9, description="Profile slot 1…9; default: the settings")
    until_silence: float | None = Field(
        default=None, gt=0, le=30, description="End by itself after so many seconds without speech, once there was some"
    )

    def wishes(self) -> Wishes:
        """Return what is asked of the recording."""
        return Wishes(self.language, self.profile, until_silence_s=self.until_silence)


class StartRecording(Starts):
    """Open the microphone and record until STOP_RECORDING."""

    name = CommandName.START_RECORDING
    while_paused = False
    answer = "`dictation`"
    errors = ("state_conflict", "capture_failed", "busy", "bad_request")


class StopRecording(FromDesktop):
    """End the recording, transcribe it and deliver the text."""

    name = CommandName.STOP_RECORDING
    answer = (
        "with `wait`: `dictation`, `transcription`, `refined`, `delivered` {`method`, `certainty`,"
        " `confirmed`, `characters`, `target`, `detail`, `attempts` [{`method`, `offered`, `characters`, `certainty`,"
        " `detail`}]}, `stages` in ms; without: `dictation`"
    )
    errors = ("state_conflict", "engine_failed", "no_speech", "output_failed", "timeout")

    wait: bool = Field(default=True, description="Answer when the text has been delivered")
    deliver: Literal["type", "copy", "none"] = Field(default="type", description="Where the text goes")
    timeout_s: float | None = Field(default=None, gt=0, description="How long to wait; the work goes on after it")


class AbortRecording(Command):
    """Throw the open recording away, or the newest dictation that is not being typed yet."""

    name = CommandName.ABORT_RECORDING
    answer = "`dictation`"
    errors = ("state_conflict",)

    dictation: int | None = Field(default=None, ge=1, le=MAX_ID, description="Which dictation; default: see above")


class ToggleRecording(Starts):
    """Start a recording, or stop the open one."""

    name = CommandName.TOGGLE_RECORDING
    answer = "as START_RECORDING or STOP_RECORDING"
    errors = ("state_conflict", "capture_failed", "busy", "engine_failed", "no_speech", "timeout")

    wait: bool = Field(default=True, description="Answer when the text has been delivered, when this stops")
    deliver: Literal["type", "copy", "none"] = Field(default="type", description="Where the text goes")
    timeout_s: float | None = Field(default=None, gt=0, description="How long to wait; the work goes on after it")


class GetStatus(Command):
    """Tell what the daemon is doing and what it would use."""

    name = CommandName.GET_STATUS
    answer = (
        "`since`, `queue`, `recording`, `engine` {`name`, `state`, `loads`, `languages`, `network`, `gpu`, `detail`,"
        " `notice`},"
        " `microphone`, `outputs`, `session`, `degraded`, `keys`, `pid`, `version`"
    )


class Subscribe(Command):
    """Turn this connection into a stream of events, first a full snapshot."""

    name = CommandName.SUBSCRIBE
    answer = "frames `event`, `data`, `seq`; the first is `snapshot` with the data of GET_STATUS"

    events: list[str] = Field(default_factory=list, description="Names of the wanted events; empty: all")


class TypeText(FromDesktop):
    """Deliver a given text as if it had been dictated."""

    name = CommandName.TYPE_TEXT
    while_paused = False
    answer = "`method`, `certainty`, `confirmed`, `characters`, `target`, `detail`, `attempts`, `dictation` null"
    errors = ("bad_request", "output_failed")

    text: str = Field(min_length=1, max_length=100_000, description="The text")
    deliver: Literal["type", "copy", "none"] = Field(default="type", description="Where the text goes")
    output: str = Field(
        default="", max_length=100, description="Only this way of typing; default: the first that works"
    )


class TranscribeFile(Command):
    """Transcribe a sound or video file; closing the connection abandons it."""

    name = CommandName.TRANSCRIBE_FILE
    while_paused = False
    answer = (
        "`transcription`, `duration_s`, `passages` [{`start_s`, `end_s`, `text`}] (null where they would be too much"
        " for one answer: they are in the `segment` events), `damage` (what could not be read; mostly empty)"
    )
    errors = ("bad_request", "engine_failed", "no_speech")

    file_path: str = Field(min_length=1, max_length=4096, description="Absolute path of the file")
    language: str | None = Field(default=None, description="Language spoken")
    job: str = Field(default="", max_length=100, description="Its name in `progress` and `segment` events")


class ListHistory(Command):
    """List dictations, newest first."""

    name = CommandName.LIST_HISTORY
    answer = (
        "`entries` [{`dictation`, `started`, `duration_s`, `phase`, `raw`, `text`, `method`, `certainty`,"
        " `confirmed`, `characters`, `target`, `attempts` [{`method`, `offered`, `characters`, `certainty`, `detail`}],"
        " `audio`, `error`, `reason`, `stages`}], `more`"
    )
    errors = ("history_failed",)

    limit: int = Field(default=20, ge=1, le=1000, description="How many at most")
    grep: str = Field(default="", max_length=1000, description="Only dictations with these words")
    before: int | None = Field(default=None, ge=1, le=MAX_ID, description="Only dictations older than this one")
    with_text: bool = Field(default=False, description="Only dictations that have text")


class RetryDictation(FromDesktop):
    """Decode kept audio once more and deliver the text."""

    name = CommandName.RETRY_DICTATION
    while_paused = False
    answer = "as STOP_RECORDING with `wait`"
    errors = ("bad_request", "state_conflict", "engine_failed", "no_speech", "timeout")

    dictation: int = Field(ge=1, le=MAX_ID, description="Which dictation")
    vad: bool = Field(default=True, description="Leave out what is not speech; false decodes everything")
    language: str | None = Field(default=None, description="Language spoken")
    deliver: Literal["type", "copy", "none"] = Field(default="type", description="Where the text goes")
    timeout_s: float | None = Field(default=None, gt=0, description="How long to wait; the work goes on after it")


class DeliverAgain(FromDesktop):
    """Deliver the text of an earlier dictation once more."""

    name = CommandName.DELIVER_AGAIN
    while_paused = False
    answer = "`dictation`, `method`, `certainty`, `confirmed`, `characters`, `target`, `detail`, `attempts`"
    errors = ("bad_request", "output_failed")

    dictation: int | None = Field(
        default=None, ge=1, le=MAX_ID, description="Which dictation; default: the newest with text"
    )
    deliver: Literal["type", "copy", "none"] = Field(default="type", description="Where the text goes")


class UndoDelivery(FromDesktop):
    """Take back what was typed last, exactly, or leave it as it is."""

    name = CommandName.UNDO_DELIVERY
    while_paused = False
    answer = "`dictation`, `method`, `certainty`, `confirmed`, `characters`"
    errors = ("state_conflict", "output_failed")


class SwapText(FromDesktop):
    """Put another version of the newest dictation in the place of what was typed; else on the clipboard."""

    name = CommandName.SWAP_TEXT
    while_paused = False
    answer = (
        "`dictation`, `text`, `taken_back`, `method`, `certainty`, `confirmed`, `characters`, `target`, `detail`,"
        " `attempts`"
    )
    errors = ("bad_request", "state_conflict", "output_failed")

    version: Literal["raw", "refined"] = Field(description="What the engine heard, or the text with every refinement")


class ListDevices(Command):
    """List the microphones."""

    name = CommandName.LIST_DEVICES
    answer = "`devices` [{`name`, `description`, `default`, `chosen`}]"
    errors = ("capture_failed",)


class ListOutputs(FromDesktop):
    """Tell where words would go now, and why each way of typing is in or out."""

    name = CommandName.LIST_OUTPUTS
    answer = "`session` {`origin`, `variables`}, `outputs` [{`name`, `usable`, `reason`}]"


class TestPolicy(FromDesktop):
    """Tell how a text would be typed into a window, and which rules say so; types nothing."""

    __test__ = False  # no test, whatever collectors think of its name

    name = CommandName.TEST_POLICY
    answer = (
        "`target` {`app`, `title`, `role`, `language`}, `manner` {`outputs`, `paste_key`, `newline`, `casing`,"
        " `trailing_space`, `refine`, `submit`}, `reasons`, `text` as it would be typed,"
        " `output` that would be the first, `outputs` [{`name`, `usable`, `reason`}] in their order"
    )

    text: str = Field(min_length=1, max_length=10_000, description="The text")
    app: str | None = Field(
        default=None, max_length=1000, description="Wayland app id or X11 class; default: the window that has the focus"
    )
    title: str = Field(default="", max_length=1000, description="Title of the window")
    role: RoleName | None = Field(default=None, description="Kind of application; default: as v2m knows it")
    language: str = Field(default="", max_length=100, description="Language of the dictation, e.g. tr")

    def target(self) -> Target:
        """Return what the rules are asked about."""
        return Target(self.app or "", self.title, self.role or "", self.language)


class CheckOutputs(Command):
    """Remember what `v2m outputs --check` found: which way of typing is exact for which characters."""

    name = CommandName.CHECK_OUTPUTS
    errors = ("bad_request", "storage_failed")

    layout: str = Field(default="", max_length=200, description="Name of the keyboard layout; empty: unknown")
    results: dict[str, dict[str, bool]] = Field(
        max_length=32, description="Output → class of characters → whether it arrived exactly"
    )

    @field_validator("results")
    @classmethod
    def _are_known(cls, results: dict[str, dict[str, bool]]) -> dict[str, dict[str, bool]]:
        if any(not 0 < len(output) <= MAX_NAME for output in results):
            raise ValueError(f"an output's name has 1 to {MAX_NAME} characters")
        unknown = {kind for found in results.values() for kind in found} - {kind.value for kind in TextClass}
        if unknown:
            raise ValueError(f"there is no class {min(unknown)[:MAX_NAME]!r}")
        return results


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


COMMANDS: dict[str, type[Command]] = {
    command.name.value: command
    for command in (
        Ping,
        StartRecording,
        StopRecording,
        AbortRecording,
        ToggleRecording,
        GetStatus,
        Subscribe,
        TypeText,
        TranscribeFile,
        ListHistory,
        RetryDictation,
        DeliverAgain,
        UndoDelivery,
        SwapText,
        ListDevices,
        ListOutputs,
        TestPolicy,
        CheckOutputs,
        PauseDaemon,
        ResumeDaemon,
        Shutdown,
    )
}


def parse_command(name: str, data: dict[str, Any]) -> Command:
    """Return the command a request asks for.

    Raises:
        UnknownCommandError: there is no such command.
        ProtocolError: `data` is not what the command takes; the message names the key.
    """
    model = COMMANDS.get(name)
    if model is None:
        near = get_close_matches(name, COMMANDS, n=1)
        raise UnknownCommandError(
            f"There is no command {name[:60]!r}.",
            hint=f"Did you mean {near[0]}?" if near else "v2m --help lists the commands.",
        )
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise _in_users_terms(model, error) from error


def _in_users_terms(model: type[Command], error: ValidationError) -> ProtocolError:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    key = ".".join(str(part) for part in first["loc"]) or "data"
    if first["type"] == "extra_forbidden":
        known = ", ".join(model.model_fields) or "nothing"
        return ProtocolError(f"{model.name.value} has no {key!r}.", hint=f"It takes: {known}.")
    if first["type"] == "missing":
        return ProtocolError(f"{model.name.value} needs {key!r}.")
    return ProtocolError(f"{model.name.value}: {key!r}: {first['msg']}.")
