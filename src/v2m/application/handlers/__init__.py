"""One coroutine per command, in classes by subject. The bus refuses to be built while a command is missing."""

from v2m.application.handlers.daemon import DaemonHandlers
from v2m.application.handlers.desktop import DesktopHandlers
from v2m.application.handlers.history import HistoryHandlers
from v2m.application.handlers.recording import RecordingHandlers
from v2m.application.handlers.settings import SettingsHandlers

__all__ = ["DaemonHandlers", "DesktopHandlers", "HistoryHandlers", "RecordingHandlers", "SettingsHandlers"]
