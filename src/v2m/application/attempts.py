"""What one output made of the text it was offered: how much went out, how surely, and whether the next may go on."""

import logging
from dataclasses import dataclass, field

from v2m.domain.delivery import Attempt, Certainty, Delivery
from v2m.domain.errors import OutputError, OutputReason

log = logging.getLogger(__name__)

_SURE = (Certainty.CONFIRMED, Certainty.SENT)  # the weaker comes later


@dataclass(frozen=True, slots=True)
class Part:
    """One output's part, judged."""

    attempt: Attempt
    ended: bool  # nothing more may be offered to any output
    target: str = ""
    secret: bool = False


@dataclass(slots=True)
class Course:
    """A delivery on its way: the parts so far."""

    text: str
    parts: list[Part] = field(default_factory=list)

    @property
    def done(self) -> int:
        """Characters that went out, as far as is known."""
        return sum(part.attempt.characters or 0 for part in self.parts)

    @property
    def rest(self) -> str:
        """What has not been typed yet."""
        return self.text[self.done :]

    @property
    def uncertain(self) -> Part | None:
        """The part that nobody knows the end of."""
        return next((part for part in self.parts if part.attempt.certainty is Certainty.UNCERTAIN), None)

    @property
    def last(self) -> Part | None:
        """The latest part of which something went out, or may have."""
        return next((part for part in reversed(self.parts) if part.attempt.characters != 0), None)

    @property
    def failures(self) -> list[str]:
        """Why outputs typed less than all of it."""
        return [part.attempt.detail for part in self.parts if part.attempt.detail]

    def delivery(self, certainty: Certainty, detail: str = "") -> Delivery:
        """Return what went out as a delivery."""
        last = self.last or (self.parts[-1] if self.parts else None)
        return Delivery(
            last.attempt.method if last else "none",
            certainty,
            self.done,
            last.target if last else "",
            detail,
            tuple(part.attempt for part in self.parts),
            secret=any(part.secret for part in self.parts),
        )

    def weakest(self) -> Certainty:
        """Return how sure the least sure part is, of those in which something went out."""
        found = [part.attempt.certainty for part in self.parts if part.attempt.characters]
        return max(found, key=_SURE.index, default=Certainty.HELD)


def taken(name: str, text: str, delivery: Delivery) -> Part:
    """Judge what an output says that it did."""
    offered, typed, certainty = len(text), delivery.characters, delivery.certainty
    if certainty is Certainty.HELD and typed == 0:
        return Part(Attempt(name, offered, 0, certainty, delivery.detail), ended=False)
    if certainty in _SURE and typed == offered:
        return Part(Attempt(name, offered, typed, certainty, delivery.detail), ended=True, target=delivery.target)
    attempt = Attempt(name, offered, _within(typed, offered), Certainty.UNCERTAIN, delivery.detail)
    return Part(attempt, ended=True, target=delivery.target)


def failed(name: str, text: str, error: OutputError) -> Part:
    """Judge a failure: what went out for certain is not typed again, and what is not known ends the delivery."""
    log.warning("output %s: %s, %s characters went out", name, error.reason, error.delivered)
    offered, detail = len(text), str(error)
    secret = error.reason is OutputReason.SECRET_FIELD
    typed = _within(error.delivered, offered)
    if typed is None or typed == offered > 0:
        return Part(Attempt(name, offered, typed, Certainty.UNCERTAIN, detail), ended=True, secret=secret)
    certainty = Certainty.SENT if typed else Certainty.HELD
    return Part(Attempt(name, offered, typed, certainty, detail), ended=secret, secret=secret)


def silent(name: str, text: str) -> Part:
    """Judge an output that never came back."""
    log.warning("output %s never came back", name)
    detail = f"{name} has not answered and was given up."
    return Part(Attempt(name, len(text), None, Certainty.UNCERTAIN, detail), ended=True)


def _within(typed: int | None, offered: int) -> int | None:
    """Return a count that can be true, else that it is not known."""
    return typed if typed is not None and 0 <= typed <= offered else None
