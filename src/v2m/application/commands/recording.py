"""From a pressed key to text, and text that was not spoken into a microphone."""

from typing import Literal

from pydantic import Field

from v2m.application.commands._base import MAX_ID, Command, FromDesktop
from v2m.core.ipc_protocol import CommandName
from v2m.domain.dictation import Wishes


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
