"""Which language a recording is decoded as: what was asked for, the profile's, the setting; refused in time."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

from v2m.application.announce import Announcer
from v2m.domain.dictation import Wishes
from v2m.domain.errors import EngineError, LanguageError
from v2m.domain.offers import advice, can_do, mismatch, refusal
from v2m.domain.ports import Transcriber


class Tongue:
    """The languages of the settings, and what the engine can do."""

    def __init__(
        self, transcriber: Transcriber, *, language: str, profiles: Mapping[int, str], desktop: str = ""
    ) -> None:
        """Take the language of the settings, of the profile slots that set one, and of the desktop's locale."""
        self._desktop = desktop
        self._transcriber = transcriber
        self._language = language
        self._profiles = profiles

    def choose(self, wishes: Wishes) -> str:
        """Return the language to decode in; a wish goes before its profile, a profile before the setting.

        Raises:
            LanguageError: the loaded engine cannot do it.
        """
        language = wishes.language or self._profiles.get(wishes.profile or 0) or self._language
        self.check(language)
        return language

    def mismatch(self) -> str:
        """Return one sentence when the desktop's language is none of the loaded engine's, else empty."""
        can = self._transcriber.capabilities
        return mismatch(can.languages, self._desktop) if can is not None else ""

    async def tell_once(self, announcer: Announcer, first_time: Callable[[], bool]) -> None:
        """Say once in the life of an installation that the engine does not know the desktop's language."""
        with suppress(EngineError):
            await self._transcriber.wait_ready()
            problem = self.mismatch()
            new = bool(problem) and await asyncio.to_thread(first_time)
            if new:
                announcer.say("Language", f"{problem} {advice(self._desktop)}", urgent=True)

    def check(self, language: str) -> None:
        """Refuse what the loaded engine cannot do; while it loads nothing is known. Raises LanguageError."""
        can = self._transcriber.capabilities
        if can is not None and not can_do(can.languages, language):
            raise LanguageError(refusal(can.name, language), hint=advice(language))
