"""Brings a text to the focused window by the first way that works, and never types a character twice.

What one output certainly typed before it failed is not typed again: the next gets the rest. Where it is not
known how much went out, nothing more is typed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Final

from v2m.application.attempts import Course, Part, failed, silent, taken
from v2m.application.survey import PROBE_S, Probes, Survey
from v2m.domain.aiming import has_moved
from v2m.domain.delivery import Attempt, Certainty, Deliver, Delivery, Destination, Placed, Session
from v2m.domain.errors import OutputError
from v2m.domain.policy import Manner
from v2m.domain.ports import Availability, SessionEnvironment, TextOutput, Windows

CLIPBOARD: Final = "clipboard"
# Outputs in which a line break is the Return key; the others would insert a character, or paste one.
PRESS_RETURN: Final = frozenset({"virtual-keyboard", "xtest", "wtype", "xdotool", "portal", "ydotool", "dotool"})
NO_WINDOWS: Final = frozenset({"file"})  # a text that is elsewhere is no reason to press Return in a window
COPY_S: Final = 10.0  # the clipboard has them too
ON_CLIPBOARD: Final = "The text is on the clipboard."
MOVED: Final = "Another window got the focus."
NO_WINDOW: Final = "Return was not pressed: it is not known which window has the focus."


def patience_s(characters: int) -> float:
    """Return after which time an output is given up that has missed all deadlines of its own.

    The slowest way, xdotool with foreign characters, allows itself 0.225 s for each.
    """
    return 120.0 + 0.25 * characters


async def _nothing(_: object) -> None:
    """Hear of it and do nothing."""


class Deliverer:
    """The ordered chain of outputs; the clipboard is the last resort of every chain.

    One text at a time: whoever calls `deliver` holds the turn (`Handover.turn`).
    """

    def __init__(
        self,
        *,
        outputs: Sequence[TextOutput],
        clipboard: TextOutput,
        sessions: SessionEnvironment,
        windows: Windows,
        others: Sequence[TextOutput] = (),
        refuses: Callable[[str, str], str] = lambda output, text: "",
        on_typing: Callable[[Session], Awaitable[None]] = _nothing,
        on_placed: Callable[[Placed], Awaitable[None]] = _nothing,
        patience_s: Callable[[int], float] = patience_s,
        dictating: Callable[[], bool] = lambda: False,
        typing: asyncio.Lock | None = None,
    ) -> None:
        """`others` type only where they are named; `refuses` says why an output is not to be used for a text.

        `on_typing` hears before the first output is asked, `on_placed` after the last; `dictating`: a hotkey of ours
        is held; `typing` is locked by whoever has the turn.
        """
        self._outputs = tuple(outputs)
        self._others = tuple(others)
        self._clipboard = clipboard
        self._sessions = sessions
        self._windows = windows
        self._refuses = refuses
        self._on_typing = on_typing
        self._on_placed = on_placed
        self._patience_s = patience_s
        self._dictating = dictating
        self._probes = Probes(typing or asyncio.Lock())

    def use(self, outputs: Sequence[TextOutput], others: Sequence[TextOutput]) -> list[TextOutput]:
        """Take other outputs; return those that are not among them, for the caller to close."""
        former = (*self._outputs, *self._others)
        self._outputs, self._others = tuple(outputs), tuple(others)
        return [output for output in former if output not in (*outputs, *others)]

    @property
    def outputs(self) -> tuple[TextOutput, ...]:
        """Every output but the clipboard."""
        return (*self._outputs, *self._others)

    @property
    def names(self) -> tuple[str, ...]:
        """The outputs that can be asked for by name."""
        return tuple(output.name for output in (*self._outputs, *self._others))

    async def survey(self, hint: Mapping[str, str]) -> Survey:
        """Probe the live session; types nothing, and disturbs nothing that is being typed."""
        session = await self._sessions.current(hint)
        return await self._probes.survey((*self._outputs, self._clipboard), self._others, session)

    async def deliver(
        self,
        text: str,
        where: Deliver,
        to: Destination,
        manner: Manner,
        *,
        dictation: int | None = None,
        only: str = "",
    ) -> Delivery:
        """Bring `text` (from `worded`) where the user wants it; a failure is a value, never an exception.

        With `only` that output types it or nobody, whatever is known of its exactness, and the clipboard stays.
        """
        if where is Deliver.NONE or not text:
            return Delivery("none", Certainty.HELD, 0)
        if where is Deliver.COPY:
            return await self._copy(text, to.session, Certainty.SENT)
        delivery = await self._type(text, to, manner, only)
        if (delivery.characters or delivery.certainty is Certainty.UNCERTAIN) and not delivery.secret:
            entered = bool(delivery.attempts) and delivery.characters > len(text)
            went_out = f"{text}\n" if entered else text[: delivery.characters]
            await self._on_placed(Placed(dictation, went_out, delivery, to))
        return delivery

    async def hold(self, text: str, to: Destination, reason: str) -> Delivery:
        """Bring a text that may not be typed to the clipboard."""
        return await self._copy(text, to.session, Certainty.HELD, reason)

    async def _type(self, text: str, to: Destination, manner: Manner, only: str) -> Delivery:
        course = Course(text)
        unusable: list[Availability] = []
        to = replace(to, keep_clipboard=bool(only))
        for output in self._chain(manner, only, text):
            if output is self._clipboard:
                if course.done == 0:
                    return await self._copy(text, to.session, Certainty.SENT)
                break
            found = await self._usable(output, course.rest, to, known=not only)
            if not found.usable:
                unusable.append(found)
                continue
            if not course.parts:
                await self._on_typing(to.session)
            if await self._left(to):
                course.parts.append(_untouched(output, course.rest))
                break
            part = await self._offer(output, course.rest, to)
            course.parts.append(part)
            if part.ended:
                break
        return await self._conclude(course, to, manner, unusable, only)

    async def _conclude(
        self, course: Course, to: Destination, manner: Manner, unusable: Sequence[Availability], only: str
    ) -> Delivery:
        """Say how it ended, and bring to the clipboard what may not have arrived."""
        if any(part.secret for part in course.parts):
            return course.delivery(Certainty.UNCERTAIN if course.done else Certainty.HELD, course.failures[-1])
        if course.done == 0 and course.uncertain is None:
            return await self._hold(course, to, _why(to.session, course.failures, unusable), only)
        if course.uncertain is not None:
            detail = f"{course.uncertain.attempt.detail} Perhaps not all was typed."
        elif course.rest:
            typed = f"Only the first {course.done} of {len(course.text)} characters were typed."
            detail = f"{_why(to.session, course.failures, unusable)} {typed}"
        elif await self._left(to):  # which of the two windows has it is not known
            detail = f"{MOVED} Perhaps not all was typed."
        else:
            delivery = course.delivery(course.weakest())
            return await self._submit(delivery, to, manner) if manner.submit and not only else delivery
        uncertain = course.delivery(Certainty.UNCERTAIN, detail.strip())
        if only:
            return uncertain
        copied = await self._copy(course.text, to.session, Certainty.UNCERTAIN)
        return replace(uncertain, detail=f"{uncertain.detail} {copied.detail}".strip(), copied=copied.copied)

    async def _hold(self, course: Course, to: Destination, why: str, only: str) -> Delivery:
        """Nothing went out: the text goes to the clipboard."""
        if only:
            return replace(course.delivery(Certainty.HELD, why), method="none")
        copied = await self._copy(course.text, to.session, Certainty.HELD, why)
        return replace(copied, attempts=course.delivery(Certainty.HELD).attempts)

    async def _submit(self, delivery: Delivery, to: Destination, manner: Manner) -> Delivery:
        """Press Return after a text that certainly stands there, in the same window or not at all."""
        if delivery.method in NO_WINDOWS:
            return delivery
        if to.window is None:
            return replace(delivery, detail=NO_WINDOW)
        wished, usual = self._chain(manner, "", "\n"), self._chain(Manner(), "", "\n")
        for output in dict.fromkeys((*wished, *usual)):
            if output.name not in PRESS_RETURN or not (await self._usable(output, "\n", to, known=False)).usable:
                continue
            if await self._left(to):
                return replace(delivery, detail=f"{MOVED} Return was not pressed.")
            part = await self._offer(output, "\n", to)
            attempts = (*delivery.attempts, part.attempt)
            delivery = replace(
                delivery, attempts=attempts, characters=delivery.characters + (part.attempt.characters or 0)
            )
            if part.ended:
                sure = part.attempt.certainty is not Certainty.UNCERTAIN
                return delivery if sure else replace(delivery, detail="Perhaps Return was not pressed.")
        return replace(delivery, detail="Return was not pressed: no output that presses keys can be used.")

    def _chain(self, manner: Manner, only: str, text: str) -> list[TextOutput]:
        """Return the outputs in the wished order, those that are not at their best with the text behind the others."""
        if only:
            return [output for output in (*self._outputs, *self._others) if output.name == only]
        chain = list(self._outputs)
        if manner.outputs is not None:
            known = {output.name: output for output in (*self._others, *self._outputs, self._clipboard)}
            chain = [known[name] for name in manner.outputs if name in known]
        typing = list(takewhile(lambda output: output is not self._clipboard, chain))
        typing.sort(key=lambda output: not output.at_best.with_text(text))
        return [*typing, *chain[len(typing) :]]

    async def _usable(self, output: TextOutput, text: str, to: Destination, *, known: bool) -> Availability:
        """Tell whether an output can bring the text there; `known`: its record of exactness counts too."""
        found = await self._probes.ask(output, to.session)
        if found.usable and known and (reason := self._refuses(output.name, text)):
            return Availability(usable=False, reason=reason)
        return found

    async def _offer(self, output: TextOutput, text: str, to: Destination) -> Part:
        async def stays() -> bool:
            return not await self._left(to)

        watched = replace(to, stays=stays)
        try:
            delivery = await self._walled(output.deliver(text, watched), self._patience_s(len(text)))
        except TimeoutError:
            return silent(output.name, text)
        except OutputError as error:
            return failed(output.name, text, error)
        return taken(output.name, text, delivery)

    async def _walled(self, work: Awaitable[Delivery], patience_s: float) -> Delivery:
        """Give an output its time; it may wait for the hotkey that is held for the next recording, without limit.

        Raises:
            TimeoutError: it missed every deadline of its own, and this one.
        """
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(patience_s) as wall:
            timer: asyncio.Handle | None = None

            def look() -> None:
                nonlocal timer
                if self._dictating():
                    wall.reschedule(loop.time() + patience_s)
                timer = loop.call_later(patience_s / 2, look)

            look()
            try:
                return await work
            finally:
                if timer is not None:
                    timer.cancel()

    async def _left(self, to: Destination) -> bool:
        """Tell whether the focus is known to be elsewhere than the text is meant for."""
        if to.window is None:
            return False
        try:
            async with asyncio.timeout(PROBE_S):
                return has_moved(to.window, await self._windows.focused(to.session))
        except TimeoutError:
            return False

    async def _copy(self, text: str, session: Session, certainty: Certainty, reason: str = "") -> Delivery:
        try:
            async with asyncio.timeout(COPY_S):
                await self._clipboard.deliver(text, Destination(session))
        except (OutputError, TimeoutError) as error:
            why = str(error) or "The clipboard does not answer."
            return Delivery("none", Certainty.HELD, 0, detail=reason or why)
        return Delivery(CLIPBOARD, certainty, 0, detail=f"{reason} {ON_CLIPBOARD}".strip(), copied=True)

    async def aclose(self) -> None:
        """Release every output."""
        for output in (*self._outputs, *self._others, self._clipboard):
            await output.aclose()


def _untouched(output: TextOutput, text: str) -> Part:
    """Return the part of an output that was not asked any more."""
    return Part(Attempt(output.name, len(text), 0, Certainty.HELD, MOVED), ended=True)


def _why(session: Session, failures: Sequence[str], unusable: Sequence[Availability]) -> str:
    """Say why nothing could be typed: what failed counts before what was not there to be tried."""
    if not (session.wayland or session.x11):
        return "There is no desktop session to type into."
    if MOVED in failures:
        return MOVED
    reasons = [found.reason for found in sorted(unusable, key=lambda found: found.foreign)]
    return [*failures, *reasons, "No way of typing is switched on."][0]
