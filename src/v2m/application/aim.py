"""Which window a text is for: looked at when its recording starts, decided when the text is there."""

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from v2m.domain.aiming import Move, WhenMoved, choose, has_moved, whereabouts
from v2m.domain.delivery import Deliver, Destination, Session, Window
from v2m.domain.policy import Manner, Policy, Target
from v2m.domain.ports import Guard, SessionEnvironment, Windows

log = logging.getLogger(__name__)

T = TypeVar("T")

# Each question to the desktop has a deadline of its own, at most half of this; START's look has been answered
# long before a text is there, except after the shortest dictations.
ANSWER_S: Final = 1.0


@dataclass(slots=True)
class Sight:
    """What had the focus when a recording started, as soon as the desktop has answered."""

    window: Window | None = None
    secret: str = ""  # why nothing of the recording may be kept, as a sentence
    answered: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class Aimed:
    """Where a text goes and how; or why it goes nowhere."""

    to: Destination
    manner: Manner
    hold: str = ""  # why it may not be typed: it is kept
    secret: str = ""  # why it may not be anywhere: it is forgotten
    copyable: bool = True  # whether what is held may lie on the clipboard


class Aim:
    """Looks at the desktop for one text at a time."""

    def __init__(
        self,
        *,
        sessions: SessionEnvironment,
        windows: Windows,
        guard: Guard,
        policy: Policy,
        when_moved: WhenMoved,
    ) -> None:
        self._sessions = sessions
        self._windows = windows
        self._guard = guard
        self._policy = policy
        self._when_moved: WhenMoved = when_moved

    def use(self, policy: Policy, when_moved: WhenMoved) -> None:
        """Decide by other rules from now on."""
        self._policy, self._when_moved = policy, when_moved

    async def remember(self, hint: Mapping[str, str], sight: Sight) -> None:
        """Fill in what has the focus now. Never raises: a recording goes on without knowing its window."""
        try:
            _, sight.window, sight.secret = await self._look(hint)
        except Exception:  # the wall of a look at the desktop
            log.exception("the window of a recording is not known")
        finally:
            sight.answered.set()

    async def take(
        self,
        hint: Mapping[str, str],
        where: Deliver,
        *,
        sight: Sight | None = None,
        held: bool = False,
        language: str = "",
    ) -> Aimed:
        """Decide for a text that is there now.

        Without a `sight` it goes to whatever has the focus. `held`: it will not be typed anyway, so that what has
        the focus now is not what it was spoken for.
        """
        seen = await _settled(sight)
        if seen.secret or where is Deliver.NONE:
            return replace(self._aimed(Session(), None, language), secret=seen.secret)
        session, now, secret = await self._look(hint)
        move = choose(seen.window, now, self._when_moved) if where is Deliver.TYPE and not held else Move.GO
        hold = ""
        if move is Move.RETURN and seen.window is not None and await self._go_back(session, seen.window):
            now, move = seen.window, Move.GO
            secret = await _in_time(self._guard.secret(session, now), "")
        if move is not Move.GO and seen.window is not None:
            hold = whereabouts(seen.window, now)
        if secret:
            return self._guarded(session, secret, seen, now, held=held, language=language)
        window = now
        if seen.window is not None and (hold or held or (now is None and self._when_moved != "follow")):
            window = seen.window  # where the desktop does not tell now, outputs still keep to where it was
        return replace(self._aimed(session, window if where is Deliver.TYPE else None, language), hold=hold)

    async def _look(self, hint: Mapping[str, str]) -> tuple[Session, Window | None, str]:
        """Return the session, what has the focus in it, and why that is secret."""
        session = await _in_time(self._sessions.current(hint), Session())
        window = await _in_time(self._windows.focused(session), None)
        return session, window, await _in_time(self._guard.secret(session, window), "")

    async def _go_back(self, session: Session, window: Window) -> bool:
        return await _in_time(self._windows.activate(session, window), default=False)

    def _guarded(
        self, session: Session, secret: str, seen: Sight, now: Window | None, *, held: bool, language: str
    ) -> Aimed:
        """A prompt that came up meanwhile costs no text that was spoken for another window; but it gets nothing."""
        meant_elsewhere = held or (has_moved(seen.window, now) and self._when_moved != "follow")
        if meant_elsewhere and seen.answered.is_set():
            return replace(self._aimed(session, seen.window, language), hold=secret, copyable=False)
        return replace(self._aimed(session, now, language), secret=secret)

    def _aimed(self, session: Session, window: Window | None, language: str) -> Aimed:
        target = Target(window.app, window.title, language=language) if window else Target(language=language)
        manner = self._policy.decide(target).manner
        return Aimed(Destination(session, window, manner.paste_key or ""), manner)


async def _in_time(answer: Awaitable[T], default: T) -> T:
    """Wait for an answer of the desktop, but not for ever: then it is taken for one that does not tell."""
    try:
        async with asyncio.timeout(ANSWER_S):
            return await answer
    except TimeoutError:
        log.warning("the desktop does not answer")
        return default


async def _settled(sight: Sight | None) -> Sight:
    """Wait until START's look at the desktop has an answer, if there was one."""
    if sight is None:
        return Sight()
    with suppress(TimeoutError):
        async with asyncio.timeout(ANSWER_S):
            await sight.answered.wait()
    return sight
