"""Takes the last text back exactly, or not at all; and puts another version of it in its place.

Every refusal leaves the window as it is. A removal that broke off is told, and nothing is typed after it.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from v2m.application.aim import Aimed, Sight
from v2m.application.deliver import Deliverer
from v2m.application.handover import Handover, refusal
from v2m.application.ledger import Ledger
from v2m.core.events import EventBus
from v2m.domain.aiming import has_moved
from v2m.domain.delivery import LONGEST_UNDO_S, Certainty, Deliver, Delivery, Destination, Placed, Session, Window
from v2m.domain.dictation import FINAL, HistoryEntry, Phase
from v2m.domain.errors import OutputError, OutputReason, ProtocolError, StateError, V2mError
from v2m.domain.events import Undone
from v2m.domain.policy import Manner, worded
from v2m.domain.ports import Eraser, History, InputWatch, SessionEnvironment, Windows

HOTKEY_S: Final = 0.5  # from the first key of a hotkey until its command has reached us; a spawned v2m takes 0.15
# How long a text waits for the watch. Measured: 1 ms on Wayland, 7…15 ms on X11, the first time in a process 95 ms.
READY_S: Final = 0.25
PATIENCE_S: Final = 60.0  # every eraser has deadlines of its own; the longest text takes BackSpace 10 s
TAKEN_BACK: Final = "It was taken back; v2m again types it anew."
# What these took stands in no window.
ELSEWHERE: Final = frozenset({"file", "clipboard", "none"})
UNTOLD: Final = "It is not certain that nothing was touched since, and the window does not show its text."


class Version(StrEnum):
    """What a dictation can be put as."""

    RAW = "raw"  # what the engine heard
    REFINED = "refined"  # with every rule and refinement


@dataclass(frozen=True, slots=True)
class Removal:
    """A text that was taken back."""

    dictation: int | None
    method: str
    certainty: Certainty
    characters: int


@dataclass(frozen=True, slots=True)
class Swap:
    """What became of another version; `taken_back`: it stands in the place of the first."""

    dictation: int
    text: str
    delivery: Delivery
    taken_back: bool


class SecondThoughts:
    """Remembers what was typed last; `run` must be running for keys to be noticed."""

    def __init__(
        self,
        *,
        erasers: Sequence[Eraser],
        watch: InputWatch,
        windows: Windows,
        sessions: SessionEnvironment,
        handover: Handover,
        deliverer: Deliverer,
        ledger: Ledger,
        history: History,
        events: EventBus,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`erasers` in the order in which they are tried."""
        self._erasers = tuple(erasers)
        self._watch = watch
        self._windows = windows
        self._sessions = sessions
        self._handover = handover
        self._deliverer = deliverer
        self._ledger = ledger
        self._history = history
        self._events = events
        self._clock = clock
        self._last: Placed | None = None
        self._at = 0.0
        self._watched: Placed | None = None  # since this one every touch is noticed
        self._session = Session()
        self._wanted, self._begun = asyncio.Event(), asyncio.Event()
        self._in_time = False  # the watch had begun before the first key

    def use(self, erasers: Sequence[Eraser]) -> None:
        """Take texts back by other ways, in this order."""
        self._erasers = tuple(erasers)

    async def typing(self, session: Session) -> None:
        """Begin to watch: a text is about to go out. Returns soon, also where the desktop does not answer."""
        self._watched, self._session = None, session
        self._begun.clear()
        self._wanted.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(READY_S):
                await self._begun.wait()
        self._in_time = self._begun.is_set()

    async def remember(self, placed: Placed) -> None:
        """Take note of a text that went out just now; it takes the place of the one before."""
        self._last, self._at, self._watched = placed, self._clock(), None
        if self._in_time:
            await self._watch.settled()
            self._watched = placed

    async def run(self) -> None:
        """Watch the keyboard from each text on, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await self._watch.begin(self._session)
            if not self._wanted.is_set():
                self._begun.set()

    async def undo(self, hint: Mapping[str, str]) -> Removal:
        """Remove what was typed last.

        Raises:
            StateError: it cannot be removed exactly, so nothing was.
            OutputError: the removal broke off; the text is on the clipboard.
        """
        async with self._handover.turn:
            return await self._take_back(hint)

    async def swap(self, version: Version, hint: Mapping[str, str]) -> Swap:
        """Put another version of the newest dictation in the place of what was typed.

        Where that cannot be taken back, nothing is typed and the version goes to the clipboard.

        Raises:
            ProtocolError: there is no such version.
            StateError: this version was typed.
            OutputError: the window asks for a secret.
        """
        async with self._handover.turn:
            entry = await self._newest(version)
            aimed = await self._aim(self._last.to.window if self._last else None, hint, entry)
            text = worded(entry.raw if version is Version.RAW else entry.text, aimed.manner)
            if self._stands(entry, text):
                raise StateError(f"The {version.value} text is what was typed.", hint="v2m history")
            try:
                if self._last is None or self._last.dictation != entry.dictation:
                    raise StateError("The newest dictation is not what was typed last.")
                await self._take_back(hint)
            except (StateError, OutputError) as error:
                return Swap(entry.dictation, text, await self._copy(text, aimed, version, error), taken_back=False)
            return Swap(entry.dictation, text, await self._put(entry, text, aimed, hint), taken_back=True)

    # --- taking back ---

    async def _take_back(self, hint: Mapping[str, str]) -> Removal:
        last = self._known()
        to, untouched = await self._still_there(last, hint)
        refused: list[str] = []
        begun = False
        before = await self._phase(last)
        for eraser in self._erasers:
            if not (eraser.looks or untouched):
                refused.append(UNTOLD)
                continue
            if not (await eraser.probe(to.session)).usable:
                continue
            if not begun:
                begun = True
                await self._move(last, Phase.DELIVERING)
            removed = await self._erase(eraser, last, to)
            if isinstance(removed, Delivery):
                return await self._gone(last, removed)
            refused.append(str(removed))
            if eraser.looks and removed.reason is not OutputReason.UNSEEN:
                break
        if begun:
            await self._move(last, before)
        raise _refusal(refused[-1] if refused else "No way of removing text can be used here.")

    def _known(self) -> Placed:
        """Return what was typed last, if it is known exactly. Raises StateError."""
        last = self._last
        if last is None:
            raise _refusal("Nothing was typed that could be taken back.")
        if last.delivery.certainty not in (Certainty.CONFIRMED, Certainty.SENT):
            raise _refusal("It is not known exactly what was typed.")
        used = {attempt.method for attempt in last.delivery.attempts if attempt.characters} or {last.delivery.method}
        if used & ELSEWHERE:
            raise _refusal("The last text was not typed into a window.")
        if self._clock() - self._at > LONGEST_UNDO_S:
            raise _refusal("The last text was typed too long ago.")
        return last

    async def _still_there(self, last: Placed, hint: Mapping[str, str]) -> tuple[Destination, bool]:
        """Return where the text stands, and whether nobody can have touched it since. Raises StateError."""
        session = await self._sessions.current(hint)
        if (session.wayland, session.x11) != (last.to.session.wayland, last.to.session.x11):
            raise _refusal("The text was typed in another desktop session.")
        now = await self._windows.focused(session)
        if has_moved(last.to.window, now):
            raise _refusal("Another window has the focus than the one that was typed into.")
        touched = await self._watch.touched(within_s=HOTKEY_S) if self._watched is last else None
        if touched:
            raise _refusal("Something was pressed since.")
        same = last.to.window is not None and now is not None
        return replace(last.to, session=session), same and touched is False

    async def _erase(self, eraser: Eraser, last: Placed, to: Destination) -> Delivery | OutputError:
        """Return how the text was removed, or why nothing was. Raises OutputError when it broke off."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await eraser.erase(last.text, to)
        except TimeoutError:
            error = OutputError(f"{eraser.name} does not answer.", reason=OutputReason.TIMEOUT, delivered=None)
        except OutputError as failure:
            if failure.delivered == 0:
                return failure
            error = failure
        raise await self._torn(eraser, last, error) from error

    async def _torn(self, eraser: Eraser, last: Placed, error: OutputError) -> OutputError:
        """Tell that a part may be gone, and have the whole on the clipboard; return the error that says so."""
        self._forget()
        copied = await self._deliverer.deliver(last.text, Deliver.COPY, last.to, _PLAIN)
        detail = f"Perhaps only a part was removed: {error} {copied.detail}".strip()
        uncertain = Delivery(eraser.name, Certainty.UNCERTAIN, last.delivery.characters, detail=detail)
        if last.dictation is not None:
            await self._handover.settle(last.dictation, Deliver.TYPE, replace(uncertain, copied=copied.copied))
        return OutputError(detail, reason=error.reason, delivered=None, hint="v2m last shows the text.")

    async def _gone(self, last: Placed, removed: Delivery) -> Removal:
        self._forget()
        await self._watch.aclose()
        await self._move(last, Phase.HELD, certainty=Certainty.HELD, characters=0, reason=TAKEN_BACK)
        self._events.publish(Undone(last.dictation, removed.method, removed.certainty.value))
        return Removal(last.dictation, removed.method, removed.certainty, len(last.text))

    def _forget(self) -> None:
        self._last = self._watched = None

    async def _phase(self, last: Placed) -> Phase:
        """Return where the row rests: `v2m again` may have held since what was typed before."""
        entry = await self._history.get(last.dictation) if last.dictation is not None else None
        return entry.phase if entry is not None and entry.phase in FINAL else Phase.DELIVERED

    async def _move(self, last: Placed, phase: Phase, **changes: Any) -> None:  # noqa: ANN401 - row fields
        if last.dictation is not None:
            await self._ledger.move(last.dictation, phase, **changes)

    # --- another version ---

    async def _newest(self, version: Version) -> HistoryEntry:
        entry = await self._history.get(None)
        if entry is None:
            raise ProtocolError("There is no dictation with text in the history.", hint="v2m history")
        if not (entry.raw if version is Version.RAW else entry.text):
            raise ProtocolError(f"Dictation {entry.dictation} has no {version.value} text.", hint="v2m history")
        return entry

    def _stands(self, entry: HistoryEntry, text: str) -> bool:
        last = self._last
        return last is not None and last.dictation == entry.dictation and last.text == text

    async def _aim(self, window: Window | None, hint: Mapping[str, str], entry: HistoryEntry) -> Aimed:
        """Return where the other version goes: to the window of the first or nowhere. Raises OutputError."""
        sight = Sight(window)
        sight.answered.set()
        aimed = await self._handover.aim.take(hint, Deliver.TYPE, sight=sight, language=entry.language)
        if aimed.secret:
            raise refusal(aimed.secret)
        return aimed

    async def _put(self, entry: HistoryEntry, text: str, aimed: Aimed, hint: Mapping[str, str]) -> Delivery:
        """Type it where the first version was, as any dictation is."""
        now = await self._aim(aimed.to.window, hint, entry)
        delivery = await self._handover.bring(entry.dictation, text, Deliver.TYPE, now)
        await self._handover.settle(entry.dictation, Deliver.TYPE, delivery)
        return delivery

    async def _copy(self, text: str, aimed: Aimed, version: Version, why: V2mError) -> Delivery:
        copied = Delivery("none", Certainty.HELD, 0)
        if aimed.copyable:
            copied = await self._deliverer.deliver(text, Deliver.COPY, aimed.to, aimed.manner)
        where = f"The {version.value} text is on the clipboard." if copied.copied else ""
        return replace(copied, certainty=Certainty.HELD, detail=f"{why} Nothing was typed. {where}".strip())


_PLAIN: Final = Manner()


def _refusal(why: str) -> StateError:
    return StateError(why, hint="v2m last shows the text.")
