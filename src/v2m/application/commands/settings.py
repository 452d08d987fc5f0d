"""The daemon's settings."""

from typing import Any

from pydantic import Field

from v2m.application.commands._base import Command
from v2m.core.ipc_protocol import CommandName

MAX_CHANGES = 200  # more than there are settings


class GetConfig(Command):
    """Tell every setting: its value, where it comes from, and what it may be."""

    name = CommandName.GET_CONFIG
    answer = (
        "`file`, `settings` [{`key`, `value` (a secret masked), `source` (`default`, `file`, `.env`, `environment`,"
        " `argument`, `last good`), `place` (file and line), `default`, `type`, `allowed`, `description`, `variable`,"
        " `writable` (over the socket), `live` (a change holds without a restart), `pending` (the file's value does"
        " not hold yet)}], `restart` [keys], `problem` (why the file's settings do not hold; empty: they do)"
    )
    errors = ("bad_config",)

    keys: list[str] = Field(
        default_factory=list, max_length=MAX_CHANGES, description="Only these keys, or tables; empty: all"
    )


class UpdateConfig(Command):
    """Write settings into the user's file, all of them or none, and apply what can be applied at once."""

    name = CommandName.UPDATE_CONFIG
    answer = (
        "`file`, `applied` [keys], `later` [keys that hold after the dictation under way], `restart` [keys that need"
        " one], `no_effect` [{`key`, `place` (argument, variable or `.env` that has its way)}]"
    )
    errors = ("bad_config", "storage_failed", "busy")

    changes: dict[str, Any] = Field(
        min_length=1,
        max_length=MAX_CHANGES,
        description="Dotted key → value, null for the default; paths, commands, addresses, rules: refused",
    )


class ReloadConfig(Command):
    """Read the settings again; while they are wrong, those of before go on."""

    name = CommandName.RELOAD_CONFIG
    answer = "`file`, `applied`, `later`, `restart`"
    errors = ("bad_config",)
