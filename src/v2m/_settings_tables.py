"""The tables of settings but for speech: types, bounds and the sentence that users read for each key."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from v2m._settings_values import Duration, FilePath, OutputNames, Outputs, Quality, refuse_excess
from v2m.utils.paths import state_dir


class Table(BaseModel):
    """A table that takes its own keys only."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _bounded(cls, value: object, about: ValidationInfo) -> object:
        if about.field_name and cls.model_fields[about.field_name].description:  # else no setting
            refuse_excess(value, speech=about.field_name == "script")
        return value


class Audio(Table):
    """How the microphone is reached, and how long it may stay open."""

    backend: Literal["auto", "pipewire", "portaudio", "parec", "wav"] = Field(
        description="How the microphone is reached; auto takes the first that works."
    )
    device: str = Field(description="Name of the microphone as `v2m devices` shows it; empty: the default one.")
    policy: Literal["released", "armed"] = Field(
        description="Whether the microphone is let go between dictations, or kept open for a faster start."
    )
    resample_quality: Quality = Field(description="How carefully PipeWire resamples; more takes longer.")
    wav_path: FilePath = Field(description="The sound file that the back end wav plays as a microphone.")
    min_recording_ms: int = Field(ge=0, le=5000, description="A shorter recording is a tap and is thrown away.")
    max_recording_s: int = Field(ge=1, le=86_400, description="A longer recording is stopped and transcribed.")
    warn_before_s: int = Field(
        ge=0, le=3600, description="How long before the longest recording ends you are told; 0: never."
    )
    tail_ms: int = Field(ge=0, le=300, description="How long a word being spoken at STOP may go on.")
    preroll_ms: int = Field(
        ge=0,
        le=2000,
        description="How much is recorded from before START; needs the policy armed, which then listens all the time.",
    )
    lost_release_silence_s: int = Field(
        ge=1, le=86_400, description="After so long without speech, a recording whose key is held is closed."
    )
    toggled_silence_s: int = Field(
        ge=1, le=86_400, description="After so long without speech, a recording started by toggle is closed."
    )

    @field_validator("preroll_ms")
    @classmethod
    def _armed(cls, value: int, others: ValidationInfo) -> int:
        if value and others.data.get("policy", "armed") != "armed":
            raise ValueError("needs audio.policy armed")
        return value


class Output(Table):
    """How text reaches the focused window."""

    method: Outputs = Field(description="Ways of typing in the order in which they are tried; auto probes all.")
    exclude: OutputNames = Field(description="Ways of typing that are never used.")
    file: FilePath = Field(description="File that the way of typing called file appends to; empty: none.")
    when_moved: Literal["hold", "follow", "return"] = Field(
        description="When another window has the focus than at START: hold the text, type it there, or go back."
    )
    preview: bool = Field(description="Whether what is heard shows inside the focused field while you speak.")
    newline: Literal["space", "newline"] = Field(
        description="What a line break is typed as, where no rule says otherwise."
    )
    trailing_space: bool = Field(description="Whether a space follows each dictation, where no rule says otherwise.")


class Notifications(Table):
    """What is shown and heard."""

    enabled: bool = Field(description="Whether notifications are shown.")
    expire_time_ms: int = Field(ge=500, le=30_000, description="How long a notification stays.")
    auto_dismiss: bool = Field(description="Whether notifications go away by themselves.")
    sounds: bool = Field(description="Whether start, stop and failure are heard.")


class History(Table):
    """What is kept of each dictation, and for how long."""

    enabled: bool = Field(description="Whether dictations are kept on disk; else only in memory.")
    retention_days: int = Field(ge=1, le=36_500, description="After so many days text is deleted.")
    keep_audio: Duration = Field(description="How long audio is kept after delivery.")
    keep_audio_trouble: Duration = Field(
        description="How long audio of held, uncertain, failed and suppressed dictations is kept."
    )

    @property
    def keep_audio_s(self) -> float:
        """`keep_audio` in seconds."""
        return self.keep_audio.total_seconds()

    @property
    def keep_audio_trouble_s(self) -> float:
        """`keep_audio_trouble` in seconds."""
        return self.keep_audio_trouble.total_seconds()


class Paths(Table):
    """Where files are kept."""

    state_dir: FilePath = Field(description="Folder of history and audio; empty: ~/.local/state/v2m.")
    spool_dir: FilePath = Field(description="Folder of audio; empty: spool/ in state_dir.")

    def state(self) -> Path:
        """Return the folder of the history."""
        return Path(self.state_dir) if self.state_dir else state_dir()

    def spool(self) -> Path:
        """Return the folder of the audio."""
        return Path(self.spool_dir) if self.spool_dir else self.state() / "spool"


class Daemon(Table):
    """The daemon itself."""

    max_connections: int = Field(ge=4, le=1024, description="How many clients may be connected at once.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(description="What is logged.")
