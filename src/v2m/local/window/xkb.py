"""What keys make, by libxkbcommon: groups, levels, dead keys and the Compose key, as in every toolkit."""

import ctypes
import unicodedata
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_uint32, c_void_p
from functools import cache
from typing import Final

from v2m.domain.errors import OutputError, OutputReason
from v2m.infrastructure._xkbcommon import KeymapError, Signatures, load_libxkbcommon

_TEXT_V1: Final = 1  # XKB_KEYMAP_FORMAT_TEXT_V1
_EFFECTIVE: Final = 8  # XKB_STATE_MODS_EFFECTIVE
_COMPOSING, _COMPOSED, _CANCELLED = 1, 2, 3  # enum xkb_compose_status
_EVDEV_OFFSET: Final = 8  # an XKB keycode is the kernel's plus 8
_FALLBACK_LOCALE: Final = b"en_US.UTF-8"
_UTF8_BYTES: Final = 64  # a composed text is a few characters
# Keys that make no printable character but mean one here; other controls are left out.
_MEANINGS: Final = {0xFF0D: "\n", 0xFF8D: "\n", 0xFF09: "\t", 0xFF08: "\b"}
_INSERT: Final = 0xFF63

_SIGNATURES: Final[Signatures] = {
    "xkb_context_new": (c_void_p, [c_int]),
    "xkb_keymap_new_from_string": (c_void_p, [c_void_p, c_char_p, c_int, c_int]),
    "xkb_keymap_unref": (None, [c_void_p]),
    "xkb_keymap_num_layouts_for_key": (c_uint32, [c_void_p, c_uint32]),
    "xkb_keymap_key_get_syms_by_level": (
        c_int,
        [c_void_p, c_uint32, c_uint32, c_uint32, POINTER(POINTER(c_uint32))],
    ),
    "xkb_state_new": (c_void_p, [c_void_p]),
    "xkb_state_unref": (None, [c_void_p]),
    "xkb_state_update_mask": (c_int, [c_void_p, *[c_uint32] * 6]),
    "xkb_state_key_get_one_sym": (c_uint32, [c_void_p, c_uint32]),
    "xkb_state_mod_name_is_active": (c_int, [c_void_p, c_char_p, c_int]),
    "xkb_keysym_to_utf8": (c_int, [c_uint32, c_char_p, c_size_t]),
    "xkb_compose_table_new_from_locale": (c_void_p, [c_void_p, c_char_p, c_int]),
    "xkb_compose_state_new": (c_void_p, [c_void_p, c_int]),
    "xkb_compose_state_feed": (c_int, [c_void_p, c_uint32]),
    "xkb_compose_state_get_status": (c_int, [c_void_p]),
    "xkb_compose_state_get_utf8": (c_int, [c_void_p, c_char_p, c_size_t]),
    "xkb_compose_state_reset": (None, [c_void_p]),
}


@cache
def _library() -> ctypes.CDLL:
    """Return the library. Raises OutputError when it is not there."""
    try:
        return load_libxkbcommon(_SIGNATURES)
    except KeymapError as error:
        raise OutputError(
            "A window of our own needs libxkbcommon.",
            reason=OutputReason.TOOL_MISSING,
            hint="apt install libxkbcommon0",
        ) from error


class Composer:
    """Turns the keysyms of pressed keys into text: dead keys and Compose sequences become one character."""

    def __init__(self, locale: str) -> None:
        """`locale` is the user's, such as de_DE.UTF-8. Raises OutputError without the library."""
        self._xkb = _library()
        context = self._xkb.xkb_context_new(0)
        table = None
        for name in (locale.encode(), _FALLBACK_LOCALE):
            table = table or self._xkb.xkb_compose_table_new_from_locale(context, name, 0)
        self._state = self._xkb.xkb_compose_state_new(table, 0) if table else None

    def text_of(self, sym: int) -> str:
        """Return the text that a keysym completes; empty while a sequence is not complete."""
        if self._state is not None and self._xkb.xkb_compose_state_feed(self._state, sym):
            status = self._xkb.xkb_compose_state_get_status(self._state)
            if status == _COMPOSING:
                return ""
            if status in (_COMPOSED, _CANCELLED):
                composed = self._composed() if status == _COMPOSED else ""
                self._xkb.xkb_compose_state_reset(self._state)
                return composed
        return self.alone(sym)

    def alone(self, sym: int) -> str:
        """Return what a keysym stands for by itself; empty for one that makes no text."""
        if sym in _MEANINGS:
            return _MEANINGS[sym]
        buffer = ctypes.create_string_buffer(_UTF8_BYTES)
        self._xkb.xkb_keysym_to_utf8(sym, buffer, _UTF8_BYTES)
        text = buffer.value.decode("utf-8", "replace")
        return "".join(character for character in text if unicodedata.category(character) != "Cc")

    def _composed(self) -> str:
        buffer = ctypes.create_string_buffer(_UTF8_BYTES)
        self._xkb.xkb_compose_state_get_utf8(self._state, buffer, _UTF8_BYTES)
        return buffer.value.decode("utf-8", "replace")


def pastes(syms: set[int], *, control: bool, shift: bool) -> bool:
    """Tell whether a key with these plain keysyms is a chord that pastes: Ctrl+V, Ctrl+Shift+V or Shift+Insert."""
    return (control and ord("v") in syms) or (shift and _INSERT in syms)


class Keymap:
    """One keymap of a Wayland seat and which modifiers and group are active."""

    def __init__(self, text: bytes) -> None:
        """Compile a keymap as the compositor sends it. Raises ValueError when it is none."""
        self._xkb = _library()
        self._keymap = self._xkb.xkb_keymap_new_from_string(_context(), text.rstrip(b"\0"), _TEXT_V1, 0)
        if not self._keymap:
            raise ValueError("the compositor sent a keymap that cannot be read")
        self._state = self._xkb.xkb_state_new(self._keymap)

    def close(self) -> None:
        """Free it; once."""
        self._xkb.xkb_state_unref(self._state)
        self._xkb.xkb_keymap_unref(self._keymap)

    def set_modifiers(self, depressed: int, latched: int, locked: int, group: int) -> None:
        """Take over what `wl_keyboard.modifiers` says."""
        self._xkb.xkb_state_update_mask(self._state, depressed, latched, locked, 0, 0, group)

    def sym(self, code: int) -> int:
        """Return the keysym of a pressed key (evdev code)."""
        return int(self._xkb.xkb_state_key_get_one_sym(self._state, code + _EVDEV_OFFSET))

    def holds(self, modifier: str) -> bool:
        """Tell whether `Shift` or `Control` is active."""
        return int(self._xkb.xkb_state_mod_name_is_active(self._state, modifier.encode(), _EFFECTIVE)) > 0

    def plain_syms(self, code: int) -> set[int]:
        """Return what a key makes without modifiers in any group: chords go by that under foreign scripts."""
        key, found, syms = code + _EVDEV_OFFSET, set[int](), POINTER(c_uint32)()
        for group in range(self._xkb.xkb_keymap_num_layouts_for_key(self._keymap, key)):
            count = self._xkb.xkb_keymap_key_get_syms_by_level(self._keymap, key, group, 0, ctypes.byref(syms))
            found |= {int(syms[index]) for index in range(count)}
        return found


@cache
def _context() -> int:
    return int(_library().xkb_context_new(0))
