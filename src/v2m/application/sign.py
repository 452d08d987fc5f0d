"""The sign that recording is on, given when the microphone is heard: Bluetooth begins with a second of zeros."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from v2m.application.announce import Announcer
from v2m.core.events import EventBus
from v2m.domain.audio import MUTED_DB, decibels
from v2m.domain.events import Live
from v2m.domain.ports import Recording, Spool

SILENT_AFTER_S: Final = 0.8  # from the first sample, which takes 15 ms: a muted microphone is told within a second
_LOOK_S: Final = 0.01  # a graph quantum
_PATIENT_S: Final = 0.05  # once it has been told; nobody waits for the sign any more


class Sign:
    """Tells when a recording is live, and when its microphone is silent; one for all recordings.

    `degraded` is called with a sentence after 0.8 s of silence, `restored` once there is sound or the recording ends.
    """

    def __init__(
        self,
        *,
        announcer: Announcer,
        events: EventBus,
        degraded: Callable[[str], None],
        restored: Callable[[], None],
    ) -> None:
        self._announcer = announcer
        self._events = events
        self._degraded = degraded
        self._restored = restored

    async def give(self, dictation: int, recording: Recording, spool: Spool) -> None:
        """Return once the microphone is as loud as a room; to be cancelled when the recording ends."""
        silent_at, told, live = time.monotonic() + SILENT_AFTER_S, False, False
        try:
            while decibels(spool.peak) <= MUTED_DB:
                if spool.peak and not live:
                    live = True
                    self._tell(dictation, recording)
                if not told and time.monotonic() >= silent_at:
                    told = True
                    self._degraded(f"The microphone is silent: nothing is heard from {_name(recording)}. Is it muted?")
                await asyncio.sleep(_PATIENT_S if told else _LOOK_S)
            if not live:
                self._tell(dictation, recording)
        finally:
            if told:
                self._restored()

    def _tell(self, dictation: int, recording: Recording) -> None:
        self._announcer.say("Recording", recording.notice or recording.source, sound="start")
        self._events.publish(Live(dictation, recording.source))


def _name(recording: Recording) -> str:
    return recording.source or recording.backend
