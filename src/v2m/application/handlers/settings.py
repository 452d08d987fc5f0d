"""The daemon's settings."""

from v2m.application import commands as c
from v2m.application.handlers._answers import Answer, Table
from v2m.application.settings import Configuration, Outcome

FILE_LAYERS = frozenset({"file", "default", "last good"})  # what a change in the file changes


class SettingsHandlers:
    """What a client can ask of the settings; every method is one command."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration

    def table(self) -> Table:
        """Return the coroutine of each command."""
        return {c.GetConfig: self.get, c.UpdateConfig: self.update, c.ReloadConfig: self.reload}

    async def get(self, command: c.GetConfig) -> Answer:
        """Tell every setting."""
        settings = self._configuration
        return {
            "file": str(settings.path),
            "settings": settings.entries(command.keys),
            "restart": list(settings.outcome().restart),
            "problem": settings.problem,
        }

    async def update(self, command: c.UpdateConfig) -> Answer:
        """Write and apply settings."""
        outcome = await self._configuration.update(command.changes)
        stronger = [
            {"key": entry["key"], "place": entry["place"]}
            for entry in self._configuration.entries(list(command.changes))
            if entry["source"] not in FILE_LAYERS
        ]
        return {**self._told(outcome), "no_effect": stronger}

    async def reload(self, _: c.ReloadConfig) -> Answer:
        """Read the settings again."""
        return self._told(await self._configuration.reload())

    def _told(self, outcome: Outcome) -> Answer:
        return {
            "file": str(self._configuration.path),
            "applied": list(outcome.applied),
            "later": list(outcome.later),
            "restart": list(outcome.restart),
        }
