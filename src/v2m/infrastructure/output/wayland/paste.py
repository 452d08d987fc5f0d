"""Long texts at once: the text goes on the clipboard, the paste key is pressed, the clipboard is put back."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from v2m.domain.chords import Chord
from v2m.domain.delivery import Certainty, Delivery, Destination, Session
from v2m.domain.ports import AtBest, Availability
from v2m.infrastructure._wayland.connection import Connection, WaylandError
from v2m.infrastructure._wayland.toplevels import FocusWatch
from v2m.infrastructure.output.failures import (
    FOCUS_MOVED,
    FOCUS_UNKNOWN,
    MOVED_BEFORE,
    NO_WAYLAND,
    broken,
    no_display,
    refused,
)
from v2m.infrastructure.output.pasting import (
    CHANGED,
    NOT_TAKEN,
    RECEIPT_S,
    REPEAT_GAP_S,
    RESTORE_DELAY_S,
    TAKER_UNKNOWN,
    UNSAVED,
    paste_chord,
    wants_primary,
)
from v2m.infrastructure.output.wayland import virtual_keyboard
from v2m.infrastructure.output.wayland.data_control import (
    CLIPBOARD,
    PRIMARY,
    Allowance,
    Contents,
    DataControl,
    Source,
    offered,
    text_contents,
)
from v2m.infrastructure.output.wayland.keymap import INSERT
from v2m.infrastructure.output.wayland.receipt import Receipt
from v2m.infrastructure.output.wayland.virtual_keyboard import CONTROL, SHIFT, VirtualKeyboard

READ_PER_S: Final = 4 << 20  # characters of long texts; a tenth of what GTK and foot take
HANDOVER_S: Final = 0.1  # a clipboard manager asks within milliseconds for what is new
_MASKS: Final = {"shift": SHIFT, "ctrl": CONTROL, "alt": 8}
_KEYS: Final = {"insert": INSERT}


@dataclass(slots=True)
class _Loan:
    """One selection: what we have there, and what comes back."""

    selection: int
    source: Source | None = None  # the text while `lent`, else what was put back
    saved: Contents = field(default_factory=dict)
    lent: bool = False

    @property
    def ours(self) -> bool:
        """Whether nobody has put something else there since."""
        return self.source is not None and self.source.owned


@dataclass(slots=True)
class _Desk:
    """What stays connected, because the clipboard has to be served after a delivery."""

    connection: Connection
    keyboard: VirtualKeyboard
    clipboard: DataControl
    loans: dict[int, _Loan] = field(default_factory=lambda: {name: _Loan(name) for name in (CLIPBOARD, PRIMARY)})
    restoring: asyncio.TimerHandle | None = None
    free_at: float = 0.0  # CLOCK_MONOTONIC: when the next text may take the place of the last one
    read_by: float = 0.0  # CLOCK_MONOTONIC: when the clipboard may be given back


class PasteOutput:
    """Clipboard and paste key; confirmed where the kernel shows that the focused application took the text."""

    name = "paste"
    at_best = AtBest()

    def __init__(self) -> None:
        self._desk: _Desk | None = None

    async def probe(self, session: Session) -> Availability:
        """Say whether the compositor has what pasting needs; connects, touches nothing."""
        if session.wayland is None:
            return NO_WAYLAND
        try:
            connection = await Connection.open(session.wayland)
        except WaylandError as error:
            return Availability(usable=False, reason=f"Cannot paste: {error}.")
        keys, clipboard = virtual_keyboard.MANAGER in connection.globals, offered(connection)
        connection.close()
        if not keys or clipboard is None:
            lacking = "its clipboard" if keys else "its keyboard"
            return Availability(usable=False, reason=f"This compositor lets no other program reach {lacking}.")
        return Availability(usable=True, reason="The compositor takes texts for the clipboard and a paste key.")

    async def deliver(self, text: str, to: Destination) -> Delivery:
        """Paste it; what was on the clipboard comes back while nobody else has put something there."""
        if to.session.wayland is None:
            raise no_display("there is no Wayland compositor")
        chord = paste_chord(to.paste_key)
        try:
            desk = await self._connected(to.session.wayland)
            focus = FocusWatch(desk.connection)
        except WaylandError as error:
            raise no_display(str(error)) from error
        receipt = Receipt(to.window.pid if to.window else 0, desk.connection.peer_pid)
        try:
            await asyncio.sleep(max(0.0, desk.free_at - time.monotonic()))
            await focus.start(to)
            if focus.nothing_active:
                raise refused("No window has the focus.")
            await _lend(desk, text, chord, focus, receipt)
            receipt.pressed = True
            modifiers = sum(_MASKS[name] for name in chord.modifiers)
            await desk.keyboard.chord(modifiers, _KEYS.get(chord.key, chord.key), handled=receipt.acknowledge)
            await desk.connection.until(lambda: receipt.taken, RECEIPT_S)
            if receipt.by_window:
                await receipt.read_to_the_end(RECEIPT_S + len(text) / READ_PER_S)
            await desk.connection.roundtrip()  # what the focus did meanwhile is known then
            desk.free_at = time.monotonic() + (REPEAT_GAP_S if receipt.confirmed else RESTORE_DELAY_S)
        except WaylandError as error:
            raise broken(str(error), delivered=None if receipt.pressed else 0) from error
        finally:
            focus.stop()
            if receipt.complete or (receipt.pressed and to.keep_clipboard):
                delay_s = RESTORE_DELAY_S if receipt.complete else RECEIPT_S
                desk.read_by = time.monotonic() + delay_s
                desk.restoring = asyncio.get_running_loop().call_later(delay_s, _give_back, desk)
        return self._judge(text, focus, receipt)

    async def aclose(self) -> None:
        """Put back what the user had, and disconnect: from then on only a clipboard manager still has it."""
        desk, self._desk = self._desk, None
        if desk is None:
            return
        if desk.connection.alive and any(loan.lent for loan in desk.loans.values()):
            with suppress(WaylandError):
                await desk.connection.until(lambda: False, max(0.0, desk.read_by - time.monotonic()))
                await desk.connection.roundtrip()
                _give_back(desk)
                await desk.connection.until(lambda: False, HANDOVER_S)
        if desk.restoring is not None:
            desk.restoring.cancel()
        desk.keyboard.destroy()
        desk.connection.close()

    def _judge(self, text: str, focus: FocusWatch, receipt: Receipt) -> Delivery:
        if not receipt.complete:  # the key may still be handled, then the text has to be there
            typed, detail = (len(text), TAKER_UNKNOWN) if receipt.taken and not receipt.by_window else (0, NOT_TAKEN)
            return Delivery(self.name, Certainty.UNCERTAIN, typed, focus.app, detail)
        if focus.moved:
            return Delivery(self.name, Certainty.UNCERTAIN, len(text), focus.app, FOCUS_MOVED)
        if receipt.confirmed:
            return Delivery(self.name, Certainty.CONFIRMED, len(text), focus.app)
        if not focus.available:
            return Delivery(self.name, Certainty.UNCERTAIN, len(text), detail=FOCUS_UNKNOWN)
        return Delivery(self.name, Certainty.SENT, len(text), focus.app)

    async def _connected(self, path: str) -> _Desk:
        desk = self._desk
        if desk and desk.connection.path == path:
            try:
                await desk.connection.roundtrip()
            except WaylandError:
                pass
            else:
                return desk
        await self.aclose()
        connection = await Connection.open(path)
        try:
            desk = _Desk(connection, VirtualKeyboard(connection), DataControl(connection))
            await connection.roundtrip()
        except BaseException:
            connection.close()
            raise
        self._desk = desk
        return desk


async def _lend(desk: _Desk, text: str, chord: Chord, focus: FocusWatch, receipt: Receipt) -> None:
    """Keep what the user has, and put the text in its place; when it raises, everything is as it was.

    Raises:
        OutputError: REFUSED, what is there cannot be kept whole, was just changed, or the focus is elsewhere.
        WaylandError: the compositor is gone.
    """
    if desk.restoring is not None:
        desk.restoring.cancel()
        desk.restoring = None
    primary = wants_primary(chord)
    if primary and not desk.clipboard.has_primary:
        raise refused("This compositor lets no other program reach the selection that the paste key may take.")
    loans = [desk.loans[CLIPBOARD], *([desk.loans[PRIMARY]] if primary else [])]
    allowance = Allowance.full()
    try:
        for loan in loans:
            await _keep(desk, loan, allowance)
        for loan in loans:
            loan.source, loan.lent = desk.clipboard.own(loan.selection, text_contents(text, secret=True)), True
            if loan.source is not None:
                loan.source.on_read = receipt.note
        await desk.connection.roundtrip()
        if focus.moved:
            raise refused(MOVED_BEFORE)
        if not all(loan.ours for loan in loans):
            raise refused(CHANGED)
    except BaseException:
        if desk.connection.alive:
            _give_back(desk)
        raise


async def _keep(desk: _Desk, loan: _Loan, allowance: Allowance) -> None:
    """Save what is on a selection, unless it is what we put there ourselves."""
    if loan.ours:
        if not loan.lent and loan.source is not None:
            loan.saved = loan.source.contents
        return
    loan.source, loan.lent = None, False
    saved = await desk.clipboard.save(loan.selection, allowance)
    if saved is None:
        raise refused(UNSAVED)
    loan.saved = saved


def _give_back(desk: _Desk) -> None:
    """Put back what the user had, unless somebody has put something else there since."""
    desk.restoring = None
    for loan in desk.loans.values():
        if loan.lent and loan.ours and desk.connection.alive:
            loan.source = desk.clipboard.own(loan.selection, loan.saved)
        loan.lent, loan.saved = False, {}
