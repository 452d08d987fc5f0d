"""Remembers what would have been typed: for tests, and for trying the rest of the chain without a desktop."""

from v2m.domain.delivery import Certainty, Delivery, Destination, Session
from v2m.domain.errors import OutputError, OutputReason
from v2m.domain.ports import Availability


class MemoryOutput:
    """Keeps delivered texts in `texts`; with `fail_after` it breaks after so many characters, as a tool may."""

    name = "memory"
    burst_limit: int | None = None

    def __init__(self, *, fail_after: int | None = None) -> None:
        self.texts: list[str] = []
        self._fail_after = fail_after

    async def probe(self, session: Session) -> Availability:
        """Say yes in every session."""
        del session
        return Availability(usable=True, reason="Texts are kept in memory.")

    async def deliver(self, text: str, to: Destination) -> Delivery:
        """Keep the text. Raises OutputError REFUSED, with what is kept counted, where it is to break."""
        del to
        if self._fail_after is not None and len(text) > self._fail_after:
            if self._fail_after:
                self.texts.append(text[: self._fail_after])
            raise OutputError(
                "The output broke, as it was told to.", reason=OutputReason.REFUSED, delivered=self._fail_after
            )
        self.texts.append(text)
        return Delivery(self.name, Certainty.SENT, len(text))

    async def aclose(self) -> None:
        """Nothing is open."""
