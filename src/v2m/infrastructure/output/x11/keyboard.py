"""Keys for every character on an X11 display; characters the layout lacks go to spare keycodes, all at once."""

import codecs
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from v2m.domain.chords import MODIFIERS, Chord
from v2m.infrastructure.output._keysyms import keysym
from v2m.infrastructure.output.failures import refused
from v2m.infrastructure.output.x11.user_keys import UserKeys
from v2m.infrastructure.output.x11.xkb import KeyboardLocks

if TYPE_CHECKING:
    from Xlib.display import Display

BATCH: Final = 16  # keys per roundtrip; also the most that a wrong window gets
# No application was lost, the queue is in the server. But measured: GTK takes 6 s to show 5,000 keys, Qt 2, and
# either 8 ms for a paste.
BURST_LIMIT: Final = 400  # characters; longer texts are better pasted
SETTLE_S: Final = 0.030  # applications fetch the changed keyboard map within this, measured
# An application looks at the map when it handles its first key after a change. Cleared right after
# the keys, the map was empty by then and xterm showed nothing.
CATCH_UP_S: Final = 0.25
CATCH_UP_CHARACTER_S: Final = 0.02  # to draw one it never drew; 0.25 s for 19 failed in xterm at load 4 on 2 cores
_SHIFT_L: Final = 0xFFE1
_INSERT: Final = 0xFF63
_MODIFIER_ROWS: Final = {"shift": 0, "ctrl": 2, "alt": 3}  # of the server's modifier map
# Layouts name letters by older numbers, too: their upper byte means an 8-bit character set (X11 protocol, appendix A).
_OLDER_SETS: Final = {0x01: "iso8859-2", 0x02: "iso8859-3", 0x03: "iso8859-4", 0x06: "koi8-u"}


class XtestKeyboard:
    """Keys on one display. Everything blocks: it belongs to the thread that calls it."""

    def __init__(self, display: "Display") -> None:
        self.display = display
        self.user = UserKeys(display)
        self.locks = KeyboardLocks(display)
        self._layout: dict[int, tuple[int, bool]] = {}  # keysym → keycode, whether with Shift
        self._spare: list[int] = []
        self._mapped: dict[int, int] = {}  # keysym → spare keycode
        self._last_key = 0.0
        self._unread = 0  # characters on spare keycodes that were pressed since those were empty
        self._shift = 0
        self.refresh()

    def refresh(self) -> None:
        """Read the layout, which the user may have changed; spare keycodes keep what we mapped."""
        info = self.display.display.info
        first = info.min_keycode
        ours = {keycode: symbol for symbol, keycode in self._mapped.items()}
        self._layout.clear()
        self._spare.clear()
        self._mapped.clear()
        for offset, row in enumerate(self.display.get_keyboard_mapping(first, info.max_keycode - first + 1)):
            keycode = first + offset
            if keycode in ours and row[0] == row[1] == ours[keycode]:
                self._spare.append(keycode)
                self._mapped[ours[keycode]] = keycode
                continue
            if not any(row) or _is_mapped(row):
                self._spare.append(keycode)
                if any(row):  # left by a process of ours that was killed
                    self.display.change_keyboard_mapping(keycode, [[0, 0]])
                continue
            for symbol, shifted in ((row[0], False), (row[1], True)):
                if symbol:
                    self._layout.setdefault(_modern(symbol), (keycode, shifted))
        self.user.refresh()
        self._shift = self.display.keysym_to_keycode(_SHIFT_L)

    def portions(self, text: str) -> Iterator[str]:
        """Cut the text so that the missing characters of each part fit on the spare keycodes."""
        start, missing = 0, set[int]()
        for index, symbol in enumerate(map(keysym, text)):
            if symbol in self._layout or symbol in missing:
                continue
            if len(missing) == len(self._spare):
                if not missing:
                    raise refused("The X server has no spare keys for characters outside the keyboard layout.")
                yield text[start:index]
                start, missing = index, set()
            missing.add(symbol)
        yield text[start:]

    def prepare(self, part: str) -> None:
        """Give each character of one of `portions` a key."""
        self._map(symbol for symbol in map(keysym, part) if symbol not in self._layout)

    def press(self, characters: str) -> None:
        """Queue the keys of characters that were prepared; they go with the next question to the server."""
        for character in characters:
            symbol = keysym(character)
            found = self._layout.get(symbol)
            self._unread += found is None
            keycode, shifted = found or (self._mapped[symbol], False)
            self._tap(keycode, [self._shift] if shifted else [])
        self._last_key = time.monotonic()

    def chord_keys(self, chord: Chord) -> tuple[int, list[int]]:
        """Return the key of a chord and its modifiers, as keycodes; a key the layout lacks is mapped."""
        rows = self.user.by_modifier
        held = [rows[_MODIFIER_ROWS[name]][:1] for name in MODIFIERS if name in chord.modifiers]
        if not all(held):
            raise refused(f"This keyboard has no key for a part of {chord}.")
        symbol = _INSERT if chord.key == "insert" else keysym(chord.key)
        found = self._layout.get(symbol)
        if found is None or found[1]:
            self._map([symbol])
            found = self._mapped[symbol], False
        return found[0], [keycode for (keycode,) in held]

    def press_chord(self, key: int, modifiers: Sequence[int]) -> None:
        """Queue one key while others are held."""
        self._tap(key, modifiers)
        self._last_key = time.monotonic()

    def clear(self) -> None:
        """Empty the spare keycodes again, once the application has had time to handle the last key."""
        if self._mapped:
            self.display.sync()  # the last keys may still be queued
            catch_up_s = CATCH_UP_S + min(self._unread, len(self._spare)) * CATCH_UP_CHARACTER_S
            time.sleep(max(0.0, self._last_key + catch_up_s - time.monotonic()))
        for keycode in self._mapped.values():
            self.display.change_keyboard_mapping(keycode, [[0, 0]])
        self._mapped.clear()
        self._unread = 0
        self.display.sync()

    def _map(self, symbols: Iterable[int]) -> None:
        needed = list(dict.fromkeys(symbols))
        new = [symbol for symbol in needed if symbol not in self._mapped]
        if not new:
            return
        if len(self._mapped) + len(new) > len(self._spare):
            self.clear()
            new = needed
        taken = set(self._mapped.values())
        free = [keycode for keycode in self._spare if keycode not in taken]
        if len(new) > len(free):
            raise refused("The X server has no spare keys for characters outside the keyboard layout.")
        for symbol, keycode in zip(new, free, strict=False):
            self.display.change_keyboard_mapping(keycode, [[symbol, symbol]])
            self._mapped[symbol] = keycode
        self.display.sync()
        time.sleep(SETTLE_S)

    def _tap(self, keycode: int, modifiers: Sequence[int]) -> None:
        from Xlib import X
        from Xlib.ext import xtest

        down = [(X.KeyPress, code) for code in (*modifiers, keycode)]
        up = [(X.KeyRelease, code) for code in (keycode, *reversed(modifiers))]
        for kind, code in (*down, *up):
            xtest.fake_input(self.display, kind, code)


def _is_mapped(row: Sequence[int]) -> bool:
    """Tell a keycode that we mapped: the same symbol on two levels and nothing else, outside a usual layout."""
    rest = {symbol for symbol in row[2:] if symbol}
    return row[0] == row[1] >= 0xA0 and row[0] not in range(0xFE00, 0x10000) and rest <= {row[0]}


def _modern(symbol: int) -> int:
    """Return the number that `keysym` has for the letter of an older one; others as they are."""
    charset = _OLDER_SETS.get(symbol >> 8)
    if charset is None:
        return symbol
    letter = codecs.decode(bytes([symbol & 0xFF]), charset, "replace")
    return keysym(letter) if letter.isalpha() else symbol
