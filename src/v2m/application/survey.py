"""Which ways of typing can be used now; asked so that no text on its way is disturbed."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from v2m.domain.delivery import Session
from v2m.domain.ports import Availability, TextOutput

PROBE_S: Final = 5.0  # every probe has shorter deadlines of its own
SURVEY_WAIT_S: Final = 1.0  # nobody who asks for the status waits longer for a text that is being typed
BUSY: Final = Availability(usable=False, reason="A text is being typed; whether this works is told afterwards.")


@dataclass(frozen=True, slots=True)
class Survey:
    """Where words would go now, and why each way is in or out."""

    session: Session
    outputs: tuple[tuple[str, Availability], ...]
    others: tuple[tuple[str, Availability], ...] = ()  # used only where a rule names them

    @property
    def chosen(self) -> str | None:
        """Name of the first usable output."""
        return next((name for name, found in self.outputs if found.usable), None)


class Probes:
    """Asks outputs whether they can be used, and remembers what each said last in which session."""

    def __init__(self, typing: asyncio.Lock) -> None:
        """`typing` is held by whoever types: outputs keep connections that a probe may not close under a text."""
        self._typing = typing
        self._found: dict[str, tuple[Mapping[str, str], Availability]] = {}

    async def ask(self, output: TextOutput, session: Session) -> Availability:
        """Probe one output, within `PROBE_S`; for whoever may type."""
        try:
            async with asyncio.timeout(PROBE_S):
                found = await output.probe(session)
        except TimeoutError:
            found = Availability(usable=False, reason=f"{output.name} does not answer.")
        self._found[output.name] = (dict(session.variables), found)
        return found

    async def survey(self, outputs: Sequence[TextOutput], others: Sequence[TextOutput], session: Session) -> Survey:
        """Ask all of them, each in a moment in which nothing is typed; a text that comes waits for one probe at most.

        While a text is typed for longer than `SURVEY_WAIT_S`, what was found last is the answer.
        """
        until = asyncio.get_running_loop().time() + SURVEY_WAIT_S
        chain, rest = [
            tuple([(output.name, await self._between_texts(output, session, until)) for output in some])
            for some in (outputs, others)
        ]
        return Survey(session, chain, rest)

    async def _between_texts(self, output: TextOutput, session: Session, until: float) -> Availability:
        try:
            async with asyncio.timeout_at(until):
                await self._typing.acquire()
        except TimeoutError:
            variables, found = self._found.get(output.name, ({}, BUSY))
            return found if variables == session.variables else BUSY
        try:
            return await self.ask(output, session)
        finally:
            self._typing.release()
