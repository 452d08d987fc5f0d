"""Long texts at once: the text goes on the clipboard, the paste key is pressed, the clipboard is put back."""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from v2m.domain.delivery import Certainty, Delivery, Destination, Session
from v2m.domain.ports import Availability
from v2m.infrastructure._wayland.connection import Connection, WaylandError
from v2m.infrastructure._wayland.toplevels import FocusWatch
from v2m.infrastructure.output.failures import FOCUS_MOVED, NO_WAYLAND, broken, no_display, refused
from v2m.infrastructure.output.wayland import virtual_keyboard
from v2m.infrastructure.output.wayland.data_control import DataControl, Source, offered
from v2m.infrastructure.output.wayland.keymap import INSERT
from v2m.infrastructure.output.wayland.virtual_keyboard import CONTROL, SHIFT, VirtualKeyboard

RECEIPT_S: Final = 0.5  # measured: an application takes the text 1.1…1.4 ms after the key
# foot ignores a paste key while it still feeds the previous paste to its program.
REPEAT_GAP_S: Final = 0.05
RESTORE_DELAY_S: Final = 0.2  # browsers read twice

Chord = tuple[int, str]  # modifiers, key
_TERMINAL_PASTE: Final[Chord] = (CONTROL | SHIFT, "v")
_USUAL_PASTE: Final[Chord] = (CONTROL, "v")
# Shift+Insert pastes nearly everywhere and does nothing where it does not. Ctrl+V in a terminal takes
# the next key literally, in Emacs it scrolls, so it is no guess to make. Terminals paste the primary
# selection with Shift+Insert: the text is put there as well.
_SAFE_PASTE: Final[Chord] = (SHIFT, INSERT)
_TERMINALS: Final = {
    "foot", "footclient", "alacritty", "kitty", "org.wezfurlong.wezterm", "com.mitchellh.ghostty",
    "org.gnome.terminal", "gnome-terminal-server", "org.gnome.console", "org.gnome.ptyxis", "org.kde.konsole",
    "xfce4-terminal", "terminator", "tilix", "io.elementary.terminal", "lxterminal", "mate-terminal",
}  # fmt: skip
_SAFE_ONLY: Final = {"", "emacs", "gvim", "xterm", "uxterm", "urxvt", "st", "st-256color"}


def paste_chord(app: str) -> Chord:
    """Return the key that pastes in an application, by its id."""
    known = app.lower()
    if known in _TERMINALS:
        return _TERMINAL_PASTE
    return _SAFE_PASTE if known in _SAFE_ONLY else _USUAL_PASTE


@dataclass(slots=True)
class _Desk:
    """What stays connected, because the clipboard has to be served after a delivery."""

    connection: Connection
    keyboard: VirtualKeyboard
    clipboard: DataControl
    ours: Source | None = None
    saved: str | None = None  # what the user had there
    saved_secret: bool = False
    restoring: asyncio.TimerHandle | None = None
    pasted_at: float = 0.0  # CLOCK_MONOTONIC


class PasteOutput:
    """Clipboard and paste key; the receipt is that somebody took the text after the key."""

    name = "paste"
    burst_limit: int | None = None

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
        session = to.session
        if session.wayland is None:
            raise no_display("there is no Wayland compositor")
        pressed = False
        try:
            desk = await self._connected(session.wayland)
            focus = FocusWatch(desk.connection)
        except WaylandError as error:
            raise no_display(str(error)) from error
        try:
            await asyncio.sleep(max(0.0, desk.pasted_at + REPEAT_GAP_S - time.monotonic()))
            await focus.start()
            if focus.nothing_active:
                raise refused("No window has the focus.")
            source = await _take_clipboard(desk, text)
            if focus.moved:
                _restore(desk)
                raise refused("The window that had the focus lost it before anything was pasted.")
            reads, pressed = source.reads, True
            await desk.keyboard.chord(*paste_chord(focus.app))
            taken = await desk.connection.until(lambda: source.reads > reads, RECEIPT_S)
            desk.pasted_at = time.monotonic()
        except WaylandError as error:
            raise broken(str(error), delivered=None if pressed else 0) from error
        finally:
            focus.stop()
        return self._judge(desk, text, focus, taken=taken)

    async def aclose(self) -> None:
        """Disconnect. What we put on the clipboard, or put back there, goes with us: nobody else has it."""
        desk, self._desk = self._desk, None
        if desk is None:
            return
        if desk.restoring is not None:
            desk.restoring.cancel()
        desk.keyboard.destroy()
        desk.connection.close()

    def _judge(self, desk: _Desk, text: str, focus: FocusWatch, *, taken: bool) -> Delivery:
        if not taken:  # the key may still be handled, then the text has to be there
            note = "The window has not taken the text yet; it is on the clipboard."
            return Delivery(self.name, Certainty.UNCERTAIN, 0, focus.app, note)
        if focus.moved:
            return Delivery(self.name, Certainty.UNCERTAIN, len(text), focus.app, FOCUS_MOVED)
        desk.restoring = asyncio.get_running_loop().call_later(RESTORE_DELAY_S, _restore, desk)
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


async def _take_clipboard(desk: _Desk, text: str) -> Source:
    """Remember what is on the clipboard and put the text there."""
    if desk.restoring is not None:
        desk.restoring.cancel()
        desk.restoring = None
    if desk.ours is None or not desk.ours.owned:
        offer = desk.clipboard.current
        if offer is not None and offer.types and not offer.is_text:
            raise refused("The clipboard holds something that is not text, which pasting would lose.")
        desk.saved = await desk.clipboard.read()
        desk.saved_secret = offer is not None and offer.secret
    desk.ours = desk.clipboard.own(text, secret=True, primary=True)
    await desk.connection.roundtrip()
    return desk.ours


def _restore(desk: _Desk) -> None:
    """Put back what the user had, unless somebody has put something else there since."""
    desk.restoring = None
    if desk.ours and desk.ours.owned and desk.saved is not None and desk.connection.alive:
        desk.clipboard.own(desk.saved, secret=desk.saved_secret)
    desk.ours = desk.saved = None
