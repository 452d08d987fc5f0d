"""Remembers what would have been typed: for tests, and for trying the rest of the chain without a desktop."""

from v2m.domain.delivery import Certainty, Delivery, Destination, Session
from v2m.domain.errors import OutputError, OutputReason
from v2m.domain.ports import AtBest, Availability


class MemoryOutput:
    """Keeps delivered texts in `texts`; with `fail_after` it breaks after so many characters, as a tool may."""

    at_best = AtBest()

    def __init__(
        self,
        *,
        fail_after: int | None = None,
        counts: bool = True,
        reason: OutputReason = OutputReason.REFUSED,
        certainty: Certainty = Certainty.SENT,
        name: str = "memory",
        texts: list[str] | None = None,
    ) -> None:
        """Take `texts` to share one window with another; `counts`: whether it knows how much went out."""
        self.name = name
        self.texts: list[str] = [] if texts is None else texts
        self._fail_after = fail_after
        self._counts = counts
        self._reason = reason
        self._certainty = certainty

    async def probe(self, session: Session) -> Availability:
        """Say yes in every session."""
        del session
        return Availability(usable=True, reason="Texts are kept in memory.")

    async def deliver(self, text: str, to: Destination) -> Delivery:
        """Keep the text. Raises OutputError, with what is kept counted if it counts, where it is to break."""
        if self._fail_after is not None and len(text) > self._fail_after:
            if self._fail_after:
                self.texts.append(text[: self._fail_after])
            raise OutputError(
                "The output broke, as it was told to.",
                reason=self._reason,
                delivered=self._fail_after if self._counts else None,
            )
        self.texts.append(text)
        return Delivery(self.name, self._certainty, len(text), to.window.app if to.window else "")

    async def aclose(self) -> None:
        """Nothing is open."""
