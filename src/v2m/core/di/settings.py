"""Where settings come from and go to: read as a whole, checked as a whole, written so that nothing is half there."""

import json
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from v2m._settings_change import is_live, is_writable, names_a_folder
from v2m._settings_layers import SECRETS_HINT, Layer
from v2m._settings_values import unfit
from v2m._settings_view import entries, no_such_setting, values_of
from v2m.config import (
    Settings,
    kinds,
    load_settings,
    merge,
    read_layers,
    recordable,
    remembered_layers,
    user_file,
)
from v2m.core.di.speech import check_settings
from v2m.domain.errors import ConfigError, StateError, StorageError
from v2m.infrastructure.settings.file import locked_folder, read_text, replace_file
from v2m.infrastructure.settings.watch import SavedFiles
from v2m.utils.paths import config_dir, set_variables, state_dir

log = logging.getLogger(__name__)

PREVIOUS: Final = ".previous"  # beside the settings file: what stood there before the last change
LAST_GOOD: Final = "last-good-settings.json"
NEW_VALUE: Final = "the new value"
_GUARD: Final = "Change it in the file, or with v2m config set."


class SettingsStore:
    """The settings of one daemon, or of `v2m config`; its calls read and write files, so they run in a thread."""

    def __init__(self, arguments: Mapping[str, Any], config_file: Path | None = None) -> None:
        self._arguments = dict(arguments)
        self._named = config_file
        self.path = user_file(config_file)
        self.files = SavedFiles((self.path, Path(".env").absolute(), config_dir() / ".env"))

    is_live = staticmethod(is_live)
    values = staticmethod(values_of)

    def load(self) -> Settings:
        """Return the settings of now. Raises ConfigError."""
        settings = load_settings(self._arguments, config_file=self._named)
        check_settings(settings)
        return settings

    def check(self, text: str) -> Settings:
        """Return the settings as if the user's file held `text`. Raises ConfigError."""
        settings = merge(read_layers(self._arguments, config_file=self._named, text=text))
        check_settings(settings)
        return settings

    def open(self, *, forgiving: bool) -> "Found":
        """Return the settings of now; where they are wrong and `forgiving`, those that were good last, or the defaults.

        Raises:
            ConfigError: they are wrong, and not `forgiving`.
        """
        seen = self.files.signature()
        try:
            return Found(self, seen, self.load())
        except ConfigError as error:
            if not forgiving:
                raise
            return Found(self, seen, self._last_good(), error)

    def entries(self, settings: Settings, keys: Collection[str] = ()) -> list[dict[str, Any]]:
        """Return what a client is told of the settings at or below `keys`. Raises ConfigError."""
        return entries(settings, keys)

    def change(self, changes: Mapping[str, Any], *, guarded: bool) -> Settings:
        """Write values into the user's file, None for the default; return the settings of then.

        All of them are checked first, together. `guarded`: a client asks, who may name no path, command or address.

        Raises:
            ConfigError: nothing is written.
            StorageError, BusyError: nothing is written.
        """
        from v2m.infrastructure.settings.toml_edit import edited  # 20 ms that no start of a daemon needs

        for key, value in changes.items():
            _check(key, value, guarded=guarded)
        with locked_folder(self.path.parent):
            before = read_text(self.path)
            after = edited(before, changes)
            layers = read_layers(self._arguments, config_file=self._named, text=after)
            check_settings(merge(_placed(layers, self, changes)))
            if after != before:
                self._replace(after, before)
        return merge(layers)

    def replace(self, text: str, before: str) -> Settings:
        """Write the whole file, in which `before` was read; return the settings of then.

        Raises:
            StateError: it holds something else by now; nothing is written.
            ConfigError, StorageError, BusyError: nothing is written.
        """
        settings = self.check(text)
        with locked_folder(self.path.parent):
            if read_text(self.path) != before:
                raise StateError(f"{self.path} was changed meanwhile, perhaps by v2m config set.")
            self._replace(text, before)
        return settings

    def _replace(self, text: str, before: str) -> None:
        if before:
            replace_file(self.path.with_name(self.path.name + PREVIOUS), before)
        replace_file(self.path, text)

    def remember(self) -> None:
        """Keep what is set now, without secrets, for a start with settings that are wrong. Never raises."""
        try:
            record = recordable(read_layers(self._arguments, config_file=self._named))
            text = json.dumps({"version": 1, "layers": record}, ensure_ascii=False, indent=1, default=str) + "\n"
            file = self._last_good_file()
            if read_text(file) != text:
                file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                replace_file(file, text)
        except (ConfigError, StorageError, OSError) as error:
            log.warning("the settings are not kept for a worse day: %s", error)

    def _last_good(self) -> Settings:
        try:
            record = json.loads(read_text(self._last_good_file()))["layers"]
            settings = merge(remembered_layers(record))
            check_settings(settings)
        except (ConfigError, StorageError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            log.warning("there are no last good settings, the defaults hold: %s", type(error).__name__)
            return merge(remembered_layers({}))
        return settings

    def _last_good_file(self) -> Path:
        """Return where they are kept: in the default state folder unless argument or environment names another."""
        variable = set_variables(("V2M_PATHS__STATE_DIR",)).get("V2M_PATHS__STATE_DIR")
        folder = self._arguments.get("paths.state_dir") or variable
        return (Path(str(folder)).expanduser() if folder else state_dir()) / LAST_GOOD


@dataclass(frozen=True, slots=True)
class Found:
    """The settings a daemon starts with."""

    store: SettingsStore
    seen: object  # the files' signature before they were read
    settings: Settings
    problem: ConfigError | None = None  # why they are not those of the files


def _check(key: str, value: object, *, guarded: bool) -> None:
    """Refuse what cannot be set at all. Raises ConfigError."""
    known = kinds()
    kind = known.get(key)
    if kind is None:
        raise no_such_setting(key, known)
    if not kind.toml:
        raise ConfigError(f"{key} is a secret, and secrets do not belong in the settings file.", hint=SECRETS_HINT)
    if guarded and not is_writable(key, kind):
        raise ConfigError(f"{key} cannot be changed over the socket: it is {_what(kind.name)}.", hint=_GUARD)
    if guarded and names_a_folder(key, value):
        raise ConfigError(f"{key} cannot be set to a folder over the socket, only to a model's name.", hint=_GUARD)
    if value is not None and type(value) not in kind.toml:
        raise ConfigError(unfit(key, f"must be {kind.allowed}", value, kind))


def _what(kind: str) -> str:
    return {"path": "a path", "address": "an address", "list of rules": "a list of rules"}.get(kind, "a command")


def _placed(layers: tuple[Layer, ...], store: SettingsStore, changes: Mapping[str, Any]) -> tuple[Layer, ...]:
    """Have complaints about what is new not name a line that nobody has seen."""

    def placed(layer: Layer) -> Layer:
        if layer.name != str(store.path):
            return layer
        return replace(layer, place=lambda key: NEW_VALUE if key in changes else layer.place(key))

    return tuple(placed(layer) for layer in layers)
