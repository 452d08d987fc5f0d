"""How settings change while the daemon runs: who may, and what holds at once."""

import re
from fnmatch import fnmatchcase
from typing import Final

from v2m._settings_values import Kind

# What a change of holds without a restart; `core/di/live.py` applies each, and a test changes each.
LIVE: Final = (
    "audio.backend",
    "audio.device",
    "audio.policy",
    "audio.resample_quality",
    "audio.wav_path",
    "audio.min_recording_ms",
    "audio.max_recording_s",
    "audio.warn_before_s",
    "audio.tail_ms",
    "audio.preroll_ms",
    "audio.lost_release_silence_s",
    "audio.toggled_silence_s",
    "transcription.*",
    "cloud.*",
    "vocabulary.*",
    "profile.*",
    "output.method",
    "output.exclude",
    "output.file",
    "output.when_moved",
    "output.newline",
    "output.trailing_space",
    "policy",
    "notifications.*",
    "history.retention_days",
    "history.keep_audio",
    "history.keep_audio_trouble",
    "daemon.log_level",
    "*_api_key",
)
_GUARDED: Final = frozenset({"path", "address", "secret", "list of rules"})  # a rule can press Enter after a text
_GUARDED_NAME: Final = re.compile(r"(^|_)(cmd|command|exec|script|url|address|host|path|file|dir|folder|socket)(_|$)")
_FOLDER: Final = re.compile(r"^[.~]|/")


def is_live(key: str) -> bool:
    """Tell whether a change of this setting holds without a restart."""
    return any(fnmatchcase(key, pattern) for pattern in LIVE)


def is_writable(key: str, kind: Kind) -> bool:
    """Tell whether a client may change it: whoever reaches the socket shall name no path, command or address."""
    name = key.rpartition(".")[2]
    holds_text = str in kind.toml or list in kind.toml
    return kind.name not in _GUARDED and not (holds_text and _GUARDED_NAME.search(name))


def names_a_folder(key: str, value: object) -> bool:
    """Tell whether a value is a path where a name would do, as a model can be either."""
    return key.endswith(".model") and isinstance(value, str) and _FOLDER.search(value) is not None
