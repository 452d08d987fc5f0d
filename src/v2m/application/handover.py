"""Brings texts to windows one at a time, writes down before and after it what happens, and tells the user.

The order of writes: the text is in the history before it is offered anywhere; `delivering` is on the disk before
the first key; how it ended is written last. A text that is meant for a field that asks for a secret is in neither.
"""

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from v2m.application.aim import Aim, Aimed
from v2m.application.announce import Announcer
from v2m.application.deliver import Deliverer
from v2m.application.ledger import Ledger
from v2m.application.preview import Turn
from v2m.core.events import EventBus
from v2m.domain.delivery import Certainty, Deliver, Delivery
from v2m.domain.dictation import Phase
from v2m.domain.errors import OutputError, OutputReason, StorageError
from v2m.domain.events import Delivered, Discarded, Held
from v2m.domain.policy import Manner, worded
from v2m.domain.ports import SpoolStore

log = logging.getLogger(__name__)

# What an earlier delivery of the same row was like says nothing about this one.
_BEGINNING: Final[Mapping[str, Any]] = {"method": "", "certainty": None, "characters": 0, "target": "", "attempts": ()}


class Handover:
    """From a text to a window. Whoever calls holds `turn` from the aim to the end, so that no two texts mix."""

    def __init__(
        self,
        *,
        aim: Aim,
        deliverer: Deliverer,
        ledger: Ledger,
        events: EventBus,
        announcer: Announcer,
        spools: SpoolStore,
        turn: asyncio.Lock | Turn,
    ) -> None:
        self.aim = aim
        self.turn = turn
        self._deliverer = deliverer
        self._ledger = ledger
        self._events = events
        self._announcer = announcer
        self._spools = spools

    async def type(self, text: str, where: Deliver, hint: Mapping[str, str], *, only: str = "") -> Delivery:
        """Deliver a text that is no dictation; in no history. With `only` it is not reworded: a probe has to stay one.

        Raises:
            OutputError: the window asks for a secret.
        """
        async with self.turn:
            aimed = await self.aim.take(hint, where)
            if aimed.secret:
                raise refusal(aimed.secret)
            delivery = await self._deliverer.deliver(
                worded(text, Manner() if only else aimed.manner), where, aimed.to, aimed.manner, only=only
            )
        if delivery.secret:
            raise refusal(delivery.detail)
        return delivery

    async def again(
        self, dictation: int, text: str, where: Deliver, hint: Mapping[str, str], *, language: str = ""
    ) -> Delivery:
        """Deliver the text of an earlier dictation once more, to whatever has the focus.

        Raises:
            OutputError: the window asks for a secret; the row keeps its words.
        """
        async with self.turn:
            aimed = await self.aim.take(hint, where, language=language)
            if aimed.secret:
                raise refusal(aimed.secret)
            typed = worded(text, aimed.manner) if where is Deliver.TYPE else text
            delivery = await self.bring(dictation, typed, where, aimed)
            await self.settle(dictation, where, delivery)
        if delivery.secret:
            raise refusal(delivery.detail)
        return delivery

    async def bring(self, dictation: int, text: str, where: Deliver, aimed: Aimed) -> Delivery:
        """Deliver; that it begins is on the disk before the first key. The row is the caller's to settle.

        A programming error leaves the row uncertain and goes on to the caller.
        """
        if aimed.hold and aimed.copyable:
            return await self._deliverer.hold(text, aimed.to, aimed.hold)
        if aimed.hold:
            return Delivery("none", Certainty.HELD, 0, detail=aimed.hold)
        await self._ledger.move(dictation, Phase.DELIVERING, **_BEGINNING)
        try:
            return await self._deliverer.deliver(text, where, aimed.to, aimed.manner, dictation=dictation)
        except Exception as error:
            reason = type(error).__name__
            await self._ledger.move(dictation, Phase.UNCERTAIN, certainty=Certainty.UNCERTAIN, reason=reason)
            raise

    async def settle(
        self,
        dictation: int,
        where: Deliver,
        delivery: Delivery,
        **changes: Any,  # noqa: ANN401 - row fields
    ) -> None:
        """Write down and tell how a delivery went."""
        phase = _phase(where, delivery)
        reason = "" if phase is Phase.DELIVERED else _reason(delivery)
        await self._ledger.move(
            dictation,
            phase,
            method=delivery.method,
            certainty=delivery.certainty,
            characters=delivery.characters,
            target=delivery.target,
            attempts=delivery.attempts,
            reason=reason,
            **changes,
        )
        self._tell(dictation, phase, delivery, reason)

    async def forget(self, dictation: int, spool: Path | None, reason: str, *, written: bool, **changes: Any) -> None:  # noqa: ANN401 - row fields
        """Leave nothing of a dictation that was meant for a secret but its row; `written`: its text is in the row."""
        kept = None if spool is None or self._delete(spool) else str(spool)
        if written:
            await self._ledger.scrub(dictation, reason=reason, spool=kept, **changes)
        else:
            await self._ledger.move(dictation, Phase.DISCARDED, reason=reason, spool=kept, **changes)
        self._events.publish(Discarded(dictation, "secret"))
        self._announcer.say("Not typed", f"{reason} Nothing was kept.", urgent=True, sound="failed")

    def _delete(self, spool: Path) -> bool:
        """Delete audio; tell whether it is gone."""
        try:
            self._spools.delete(spool)
        except StorageError as error:
            log.warning("audio stays that should be gone: %s", error)
            return False
        return True

    def _tell(self, dictation: int, phase: Phase, delivery: Delivery, reason: str) -> None:
        if phase is Phase.DELIVERED:
            certainty = delivery.certainty
            self._events.publish(
                Delivered(dictation, delivery.method, certainty is Certainty.CONFIRMED, certainty.value)
            )
            self._announcer.dismiss()
            return
        self._events.publish(Held(dictation, reason))
        title, again = ("Not typed", "v2m again types it.")
        if phase is Phase.UNCERTAIN:
            title, again = ("Perhaps not typed", "v2m again types it once more.")
        self._announcer.say(title, f"{reason} {again}", urgent=True, sound="failed")


def refusal(reason: str) -> OutputError:
    """Return the error for a window that asks for a secret, where nothing is typed or kept."""
    return OutputError(reason, reason=OutputReason.SECRET_FIELD, hint="Go to another field or window first.")


def _reason(delivery: Delivery) -> str:
    """Say why a text was not plainly delivered, and where it is."""
    kept = "" if delivery.copied else "The text is kept: v2m last shows it."
    return " ".join(filter(None, (delivery.detail, kept)))


def _phase(where: Deliver, delivery: Delivery) -> Phase:
    if delivery.certainty is Certainty.UNCERTAIN:
        return Phase.UNCERTAIN
    held = where is not Deliver.NONE and delivery.certainty is Certainty.HELD
    return Phase.HELD if held else Phase.DELIVERED
