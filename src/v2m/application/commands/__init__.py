"""One model per command: its validation, its line in PROTOCOL.md and its verb on the command line.

The first docstring line is the sentence users read. A field's description is its help text.
"""

from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from v2m.application.commands._base import DISPLAY_VARIABLES, Command
from v2m.application.commands.daemon import GetStatus, PauseDaemon, Ping, ResumeDaemon, Shutdown, Subscribe
from v2m.application.commands.desktop import CheckOutputs, ListDevices, ListOutputs, TestPolicy
from v2m.application.commands.history import (
    DeleteHistory,
    DeliverAgain,
    ListHistory,
    RetryDictation,
    SwapText,
    UndoDelivery,
)
from v2m.application.commands.recording import (
    AbortRecording,
    StartRecording,
    StopRecording,
    ToggleRecording,
    TranscribeFile,
    TypeText,
)
from v2m.application.commands.settings import GetConfig, ReloadConfig, UpdateConfig
from v2m.domain.errors import ProtocolError, UnknownCommandError

__all__ = [
    "COMMANDS",
    "DISPLAY_VARIABLES",
    "AbortRecording",
    "CheckOutputs",
    "Command",
    "DeleteHistory",
    "DeliverAgain",
    "GetConfig",
    "GetStatus",
    "ListDevices",
    "ListHistory",
    "ListOutputs",
    "PauseDaemon",
    "Ping",
    "ReloadConfig",
    "ResumeDaemon",
    "RetryDictation",
    "Shutdown",
    "StartRecording",
    "StopRecording",
    "Subscribe",
    "SwapText",
    "TestPolicy",
    "ToggleRecording",
    "TranscribeFile",
    "TypeText",
    "UndoDelivery",
    "UpdateConfig",
    "parse_command",
]

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
        DeleteHistory,
        RetryDictation,
        DeliverAgain,
        UndoDelivery,
        SwapText,
        ListDevices,
        ListOutputs,
        TestPolicy,
        CheckOutputs,
        GetConfig,
        UpdateConfig,
        ReloadConfig,
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
