"""From a pressed key to text, and text that was not spoken into a microphone."""

from pathlib import Path

from v2m.application import commands as c
from v2m.application.deliver import Deliverer
from v2m.application.dictate import Dictations
from v2m.application.files import Files
from v2m.application.handlers._answers import Answer, Table, delivered, outcome_of
from v2m.application.handover import Handover
from v2m.application.outbox import Ticket
from v2m.domain.delivery import Deliver
from v2m.domain.errors import ProtocolError


class RecordingHandlers:
    """What makes text; every method is one command."""

    def __init__(self, *, dictations: Dictations, handover: Handover, deliverer: Deliverer, files: Files) -> None:
        self._dictations = dictations
        self._handover = handover
        self._deliverer = deliverer
        self._files = files

    def table(self) -> Table:
        """Return the coroutine of each command."""
        return {
            c.StartRecording: self.start,
            c.StopRecording: self.stop,
            c.AbortRecording: self.abort,
            c.ToggleRecording: self.toggle,
            c.TypeText: self.type_text,
            c.TranscribeFile: self.transcribe_file,
        }

    async def start(self, command: c.StartRecording) -> Answer:
        """Open the microphone."""
        hint = command.display_variables()
        return {"dictation": await self._dictations.start(hint, command.wishes())}

    async def stop(self, command: c.StopRecording) -> Answer:
        """Close the microphone; wait for the text if asked to."""
        ticket = await self._dictations.stop(command.display_variables(), Deliver(command.deliver))
        return await self._stopped(ticket, wait=command.wait, timeout_s=command.timeout_s)

    async def abort(self, command: c.AbortRecording) -> Answer:
        """Throw a dictation away."""
        return {"dictation": await self._dictations.abort(command.dictation)}

    async def toggle(self, command: c.ToggleRecording) -> Answer:
        """Start or stop."""
        turned = await self._dictations.toggle(command.display_variables(), Deliver(command.deliver), command.wishes())
        if isinstance(turned, int):
            return {"dictation": turned}
        return await self._stopped(turned, wait=command.wait, timeout_s=command.timeout_s)

    async def type_text(self, command: c.TypeText) -> Answer:
        """Deliver a given text."""
        where, hint = Deliver(command.deliver), command.display_variables()
        names = self._deliverer.names
        if command.output and command.output not in names:
            raise ProtocolError(
                f"There is no output {command.output!r} in the chain.", hint=f"There are: {', '.join(names)}."
            )
        delivery = await self._dictations.see_through(
            lambda: self._handover.type(command.text, where, hint, only=command.output)
        )
        return {"dictation": None, **delivered(delivery)}

    async def transcribe_file(self, command: c.TranscribeFile) -> Answer:
        """Transcribe a sound or video file."""
        return await self._files.transcribe(Path(command.file_path), language=command.language, job=command.job)

    @staticmethod
    async def _stopped(ticket: Ticket | None, *, wait: bool, timeout_s: float | None) -> Answer:
        if ticket is None:
            return {"dictation": None, "transcription": "", "discarded": "tap"}
        if not wait:
            return {"dictation": ticket.job.dictation}
        return await outcome_of(ticket, timeout_s)
