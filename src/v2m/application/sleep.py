"""What is done before the machine sleeps and after it has woken."""

import logging

from v2m.application.announce import Announcer
from v2m.application.dictate import Dictations
from v2m.domain.errors import CaptureError, StateError
from v2m.domain.ports import Microphone, Transcriber

log = logging.getLogger(__name__)


class Sleep:
    """A recording never goes through a sleep: it is closed before, and its text held."""

    def __init__(
        self, *, dictations: Dictations, microphone: Microphone, transcriber: Transcriber, announcer: Announcer
    ) -> None:
        self._dictations = dictations
        self._microphone = microphone
        self._transcriber = transcriber
        self._announcer = announcer

    async def before(self) -> None:
        """Close the open recording and let the microphone go; what was heard is on the disk when this returns."""
        try:
            await self._dictations.suspend()
        except StateError as error:  # the daemon is ending, which does the same
            log.debug("%s", error)

    async def after(self) -> None:
        """Have connections and microphone made anew; tell when there is no microphone any more."""
        self._transcriber.drop()
        try:
            await self._dictations.wake()
            devices = await self._microphone.devices()
        except (CaptureError, StateError) as error:
            log.warning("after sleep: %s", error)
            return
        if not devices:
            self._announcer.say("There is no microphone", "It is gone since the machine slept.", urgent=True)
