"""What can go wrong, in the user's terms: one tree, a stable code each, a hint that says what to do.

The code travels on the wire and decides the exit status (`v2m.client.EXIT_CODES`). Programming errors
are no `V2mError`: they reach the three walls (connection, dictation, `main`) and become `internal`.
"""

from enum import StrEnum
from typing import ClassVar


class V2mError(Exception):
    """One sentence in the user's terms; `hint` is the command or setting that helps."""

    code: ClassVar[str] = "internal"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class ProtocolError(V2mError):
    """The request cannot be understood."""

    code = "bad_request"


class FrameTooLargeError(ProtocolError):
    """A frame announces more than `MAX_PAYLOAD_SIZE`; the connection is closed."""


class UnknownCommandError(ProtocolError):
    """No command of that name."""

    code = "unknown_command"


class BusyError(V2mError):
    """Too many dictations or connections at once."""

    code = "busy"


class StateError(V2mError):
    """The command makes no sense in the present state."""

    code = "state_conflict"


class ConfigError(V2mError):
    """A setting is unknown or ill-typed; the message names file, line, key and the nearest valid name."""

    code = "bad_config"


class PermissionDeniedError(V2mError):
    """The runtime directory or the socket belongs to somebody else."""

    code = "permission"


class AlreadyRunningError(V2mError):
    """Another daemon holds the lock."""

    code = "already_running"

    def __init__(self, pid: int | None) -> None:
        super().__init__(
            f"toakd is already running (pid {pid})." if pid else "toakd is already running.",
            hint="v2m status",
        )
        self.pid = pid


class CaptureReason(StrEnum):
    """Why the microphone failed."""

    NO_DEVICE = "no_device"
    NO_SERVER = "no_server"
    BUSY = "busy"
    DENIED = "denied"
    LOST = "lost"
    SILENT = "silent"


class CaptureError(V2mError):
    """The microphone cannot be opened, or was lost."""

    code = "capture_failed"

    def __init__(self, message: str, *, reason: CaptureReason, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class EngineError(V2mError):
    """The speech engine failed; never an empty transcript."""

    code = "engine_failed"


class ModelMissingError(EngineError):
    """The model's files are not there, or are not what they should be."""

    code = "model_missing"


class LanguageError(ProtocolError):
    """The engine cannot do the language that is asked for; the message names those that can."""


class EngineReason(StrEnum):
    """Why a speech service gave no text."""

    NETWORK = "network"  # not reached, or broke off
    TIMEOUT = "timeout"
    AUTH = "auth"
    QUOTA = "quota"
    REFUSED = "refused"  # it does not want this request: too large, wrong model
    SERVER = "server"  # its own fault
    GARBLED = "garbled"  # not the answer of a speech service


class EngineUnavailableError(EngineError):
    """A speech service gave no text; the audio is kept and `v2m retry` asks again."""

    def __init__(
        self, message: str, *, reason: EngineReason, retry_after_s: float | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason
        self.retry_after_s = retry_after_s


class DownloadError(V2mError):
    """A model cannot be fetched; what came is kept and continued by the next try."""

    code = "download_failed"


class UnreadableAudioError(EngineError):
    """The speech process cannot read this file, or not to its end; another decoder may."""


class WorkerDiedError(EngineError):
    """The worker process ended while it decoded."""


class NoSpeechError(V2mError):
    """The recording holds no speech; its audio is kept."""

    code = "no_speech"


class DeadlineError(V2mError):
    """No answer in the time the caller allowed; the work goes on."""

    code = "timeout"


class OutputReason(StrEnum):
    """Why a way of typing failed."""

    TOOL_MISSING = "tool_missing"
    NO_DISPLAY = "no_display"
    REFUSED = "refused"
    SECRET_FIELD = "secret_field"  # noqa: S105 - no secret: the field asks for a password: the text goes nowhere else either
    UNSEEN = "unseen"  # the window does not show what stands before its cursor
    TIMEOUT = "timeout"


class OutputError(V2mError):
    """Text was not delivered, or not all of it.

    `delivered` counts the characters that certainly went out; `None` means it cannot be known,
    and then nothing may be typed again.
    """

    code = "output_failed"

    def __init__(
        self, message: str, *, reason: OutputReason, delivered: int | None = 0, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason
        self.delivered = delivered


class StorageError(V2mError):
    """The spool cannot be written; the recording goes on in memory."""

    code = "storage_failed"


class HistoryError(V2mError):
    """The history cannot be read or written; never fails a dictation."""

    code = "history_failed"
