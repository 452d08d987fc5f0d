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
        self,
        transcriber: Transcriber,
        *,
        language: str,
        profiles: Mapping[int, str],
        desktop: str = "",
        known: tuple[str, ...] = (),
    ) -> None:
        """Take the language of the settings, of the profile slots that set one, and of the desktop's locale.

        `known` are the engine's, as far as they are known before it is loaded.
        """
        self._desktop = desktop
        self._known = known
        self._transcriber = transcriber
        self._language = language
        self._profiles = profiles

    def use(self, *, language: str, profiles: Mapping[int, str], known: tuple[str, ...]) -> None:
        """Take the languages of other settings."""
        self._language, self._profiles, self._known = language, profiles, known

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
        _, languages = self._engine()
        return mismatch(languages, self._desktop) if languages else ""

    async def tell_once(self, announcer: Announcer, first_time: Callable[[], bool]) -> None:
        """Say once in the life of an installation that the engine does not know the desktop's language."""
        with suppress(EngineError):
            await self._transcriber.wait_ready()
            problem = self.mismatch()
            new = bool(problem) and await asyncio.to_thread(first_time)
            if new:
                announcer.say("Language", f"{problem} {advice(self._desktop)}", urgent=True)

    def check(self, language: str) -> None:
        """Refuse what the engine cannot do, as far as that is known before it is loaded. Raises LanguageError."""
        name, languages = self._engine()
        if languages and not can_do(languages, language):
            raise LanguageError(refusal(name, language), hint=advice(language))

    def _engine(self) -> tuple[str, tuple[str, ...]]:
        """Return the engine's name and languages; none while they are not known."""
        can = self._transcriber.capabilities
        return (can.name, can.languages) if can is not None else ("of the settings", self._known)
