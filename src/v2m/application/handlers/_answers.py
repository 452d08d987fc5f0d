"""What several commands answer with."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from v2m.application.job import Outcome
from v2m.application.outbox import Ticket
from v2m.domain.delivery import Certainty, Delivery
from v2m.domain.errors import DeadlineError, OutputError, OutputReason

Answer = dict[str, Any]
Table = dict[type, Callable[[Any], Awaitable[Answer]]]


async def outcome_of(ticket: Ticket, timeout_s: float | None) -> Answer:
    """Wait for a dictation's end and return it as an answer; the dictation goes on whatever happens here."""
    try:
        async with asyncio.timeout(timeout_s):
            outcome: Outcome = await asyncio.shield(ticket.outcome)
    except TimeoutError as error:
        raise DeadlineError(
            f"Dictation {ticket.job.dictation} is not ready after {timeout_s} s; the work goes on.", hint="v2m last"
        ) from error
    if outcome.error is not None:
        raise outcome.error
    delivery = outcome.delivery
    return {
        "dictation": outcome.dictation,
        "transcription": outcome.text,
        "refined": False,
        "delivered": delivery_data(delivery) if delivery else None,
        "stages": dict(outcome.stages),
    }


def delivery_data(delivery: Delivery) -> Answer:
    """Return a delivery as clients see it."""
    return {
        "method": delivery.method,
        "certainty": delivery.certainty.value,
        "confirmed": delivery.certainty is Certainty.CONFIRMED,
        "characters": delivery.characters,
        "target": delivery.target,
        "detail": delivery.detail,
        "attempts": [asdict(attempt) for attempt in delivery.attempts],
    }


def delivered(delivery: Delivery) -> Answer:
    """Return a delivery as an answer. Raises OutputError when the text reached nothing at all."""
    if delivery.method == "none" and delivery.detail:
        raise OutputError(delivery.detail, reason=OutputReason.REFUSED, hint="v2m outputs")
    return delivery_data(delivery)
