"""What is built around a text that has been typed, or is about to be: taking it back, and showing it early."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from v2m.application.preview import LivePreview, Turn
from v2m.core.events import EventBus
from v2m.domain.ports import Eraser, Guard, InputWatch, Preview, SessionEnvironment, Windows


@dataclass(frozen=True, slots=True)
class Desk:
    """The part of the desktop that this needs."""

    sessions: SessionEnvironment
    windows: Windows
    guard: Guard
    erasers: Sequence[Eraser]
    watch: InputWatch
    preview: Preview | None  # None: not wanted

    async def aclose(self) -> None:
        """Leave nothing in any field, and no connection open; twice is fine."""
        if self.preview is not None:
            await self.preview.hide()
        await self.watch.aclose()
        for eraser in self.erasers:
            await eraser.aclose()
        await self.windows.aclose()

    def live_preview(self, events: EventBus) -> LivePreview | None:
        """Return what shows partial texts, if the settings want it."""
        if self.preview is None:
            return None
        return LivePreview(
            preview=self.preview, events=events, sessions=self.sessions, windows=self.windows, guard=self.guard
        )


def turn_of(preview: LivePreview | None, typing: asyncio.Lock) -> asyncio.Lock | Turn:
    """Return the right to change the focused field; `typing` is locked by whoever has it."""
    return typing if preview is None else Turn(preview, typing)
