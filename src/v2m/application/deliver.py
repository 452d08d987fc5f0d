"""Brings a text to the focused window by the first way that works, and never types a text twice."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from v2m.domain.delivery import Certainty, Deliver, Delivery, Destination, Session
from v2m.domain.errors import OutputError, OutputReason
from v2m.domain.ports import Availability, SessionEnvironment, TextOutput
from v2m.domain.text.typed import typeable

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Survey:
    """Where words would go now, and why each way is in or out."""

    session: Session
    outputs: tuple[tuple[str, Availability], ...]

    @property
    def chosen(self) -> str | None:
        """Name of the first usable output."""
        return next((name for name, found in self.outputs if found.usable), None)


class Deliverer:
    """The ordered chain of outputs; the clipboard is the last resort of every chain."""

    def __init__(
        self,
        *,
        outputs: Sequence[TextOutput],
        clipboard: TextOutput,
        sessions: SessionEnvironment,
        newline: str = " ",
        trailing_space: bool = False,
    ) -> None:
        self._outputs = tuple(outputs)
        self._clipboard = clipboard
        self._sessions = sessions
        self._newline = newline
        self._suffix = " " if trailing_space else ""
        self._typing = asyncio.Lock()  # two texts must never mix their keys

    def as_typed(self, text: str) -> str:
        """Return what would be typed for a text: only characters that cannot act as commands."""
        clean = typeable(text, newline=self._newline)
        return clean + self._suffix if clean else ""

    async def survey(self, hint: Mapping[str, str]) -> Survey:
        """Probe the live session; types nothing."""
        session = await self._sessions.current(hint)
        everything = (*self._outputs, self._clipboard)
        return Survey(session, tuple([(output.name, await output.probe(session)) for output in everything]))

    async def deliver(self, text: str, where: Deliver, hint: Mapping[str, str]) -> Delivery:
        """Bring `text` (from `as_typed`) where the user wants it; a failure is a value, never an exception."""
        if where is Deliver.NONE or not text:
            return Delivery("none", Certainty.HELD, 0)
        async with self._typing:
            return await self._deliver(text, where, hint)

    async def _deliver(self, text: str, where: Deliver, hint: Mapping[str, str]) -> Delivery:
        session = await self._sessions.current(hint)
        if where is Deliver.COPY:
            return await self._copy(text, session, Certainty.SENT)
        failures: list[str] = []
        reasons: list[str] = []
        for output in self._in_order(len(text)):
            found = await output.probe(session)
            if not found.usable:
                reasons.append(found.reason)
                continue
            try:
                delivery = await output.deliver(text, Destination(session))
            except OutputError as error:
                log.warning("output %s: %s, %s characters went out", output.name, error.reason, error.delivered)
                if error.reason is OutputReason.SECRET_FIELD:
                    return Delivery("none", Certainty.HELD, 0, detail=str(error))
                if error.delivered == 0:
                    failures.append(str(error))
                    continue
                delivery = Delivery(output.name, Certainty.UNCERTAIN, error.delivered or 0, detail=str(error))
            if delivery.certainty is Certainty.UNCERTAIN:
                return await self._offer(text, session, delivery)
            return delivery
        return await self._copy(text, session, Certainty.HELD, _why(session, failures, reasons))

    def _in_order(self, characters: int) -> list[TextOutput]:
        """Put outputs that would have to slow down for so long a text behind those that need not."""
        return sorted(
            self._outputs, key=lambda output: output.burst_limit is not None and characters > output.burst_limit
        )

    async def _offer(self, text: str, session: Session, delivery: Delivery) -> Delivery:
        """Some of it may stand there, so typing it elsewhere could double it: put it on the clipboard and say so."""
        copied = await self._copy(text, session, Certainty.UNCERTAIN)
        return replace(delivery, detail=f"{delivery.detail} Perhaps not all was typed. {copied.detail}".strip())

    async def _copy(self, text: str, session: Session, certainty: Certainty, reason: str = "") -> Delivery:
        try:
            copied = await self._clipboard.deliver(text, Destination(session))
        except OutputError as error:
            return Delivery("none", Certainty.HELD, 0, detail=reason or str(error))
        return replace(copied, certainty=certainty, detail=f"{reason} The text is on the clipboard.".strip())

    async def aclose(self) -> None:
        """Release every output."""
        for output in (*self._outputs, self._clipboard):
            await output.aclose()


def _why(session: Session, failures: Sequence[str], reasons: Sequence[str]) -> str:
    """Say why nothing could be typed: what failed counts before what was not there to be tried."""
    if not (session.wayland or session.x11):
        return "There is no desktop session to type into."
    in_session = reasons if session.wayland else reasons[::-1]  # Wayland's outputs come first
    return [*failures, *in_session, "No way of typing is switched on."][0]
