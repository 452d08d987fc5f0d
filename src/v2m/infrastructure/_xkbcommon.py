"""What each key of a keyboard types, as libxkbcommon computes it for applications.

Through ctypes: every Wayland desktop has the library, and nothing has to be built. It is loaded when first asked.
"""

import ctypes
from collections.abc import Iterator, Mapping, Sequence
from ctypes import c_char_p, c_int, c_size_t, c_uint32, c_void_p
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

SHIFT_CODE: Final = 42  # evdev: left Shift
ALTGR_CODE: Final = 100  # evdev: right Alt
ENTER_CODE: Final = 28
# evdev codes of the keys that every keyboard has for text: the main block, the key beside left Shift, Space, Enter
TEXT_CODES: Final = (*range(2, 14), *range(16, 28), ENTER_CODE, *range(30, 42), *range(43, 54), 57, 86)

_LIBRARY: Final = "libxkbcommon.so.0"
_EVDEV_TO_XKB: Final = 8
_TEXT_V1: Final = 1
_PURE: Final = 3  # no includes from the disk, no names from the environment: a compositor's keymap is complete
_CRITICAL: Final = 10  # log level: a keymap that does not compile is our caller's message, not one on stderr
_DOWN: Final = 1
_DEPRESSED: Final = 1
_SHIFT_L: Final = 0xFFE1
_LEVEL3_SHIFT: Final = 0xFE03
_RETURN: Final = 0xFF0D

Signatures = Mapping[str, tuple[type | None, Sequence[Any]]]  # function → what it returns and takes, as ctypes
_SIGNATURES: Final[Signatures] = {
    "xkb_context_new": (c_void_p, [c_int]),
    "xkb_context_set_log_level": (None, [c_void_p, c_int]),
    "xkb_context_unref": (None, [c_void_p]),
    "xkb_keymap_new_from_buffer": (c_void_p, [c_void_p, c_char_p, c_size_t, c_int, c_int]),
    "xkb_keymap_num_layouts": (c_uint32, [c_void_p]),
    "xkb_keymap_unref": (None, [c_void_p]),
    "xkb_state_new": (c_void_p, [c_void_p]),
    "xkb_state_unref": (None, [c_void_p]),
    "xkb_state_update_key": (c_int, [c_void_p, c_uint32, c_int]),
    "xkb_state_update_mask": (c_int, [c_void_p, *[c_uint32] * 6]),
    "xkb_state_serialize_mods": (c_uint32, [c_void_p, c_int]),
    "xkb_state_key_get_one_sym": (c_uint32, [c_void_p, c_uint32]),
    "xkb_state_key_get_utf32": (c_uint32, [c_void_p, c_uint32]),
}


class KeymapError(Exception):
    """The library is missing, or does not understand the keymap."""


@dataclass(frozen=True, slots=True)
class Stroke:
    """One key, and what is held with it."""

    code: int  # evdev
    shift: bool = False
    altgr: bool = False


def typed_by_keys(keymap: bytes) -> Sequence[Mapping[Stroke, str]]:
    """Return, for each of a keymap's layouts, the character that each stroke types; dead keys type none.

    Blocks for some milliseconds.

    Raises:
        KeymapError: there is no libxkbcommon, or the keymap does not compile.
    """
    xkb = _library()
    context = xkb.xkb_context_new(_PURE)
    xkb.xkb_context_set_log_level(context, _CRITICAL)
    compiled = xkb.xkb_keymap_new_from_buffer(context, keymap, len(keymap), _TEXT_V1, 0)
    try:
        if not compiled:
            raise KeymapError("the keyboard layout is not a complete one")
        return [dict(_strokes(xkb, compiled, group)) for group in range(xkb.xkb_keymap_num_layouts(compiled))]
    finally:
        xkb.xkb_keymap_unref(compiled)
        xkb.xkb_context_unref(context)


def _strokes(xkb: ctypes.CDLL, keymap: int, group: int) -> Iterator[tuple[Stroke, str]]:
    """Yield what one layout types, the strokes with the fewest keys first."""
    shift_works = _symbol(xkb, keymap, group, SHIFT_CODE) == _SHIFT_L
    altgr_works = _symbol(xkb, keymap, group, ALTGR_CODE) == _LEVEL3_SHIFT  # elsewhere it is a second Alt
    for altgr in (False, True)[: 1 + altgr_works]:
        for shift in (False, True)[: 1 + shift_works]:
            state = _state(xkb, keymap, group, [SHIFT_CODE] * shift + [ALTGR_CODE] * altgr)
            for code in TEXT_CODES:
                if character := _character(xkb, state, code):
                    yield Stroke(code, shift=shift, altgr=altgr), character
            xkb.xkb_state_unref(state)


def _state(xkb: ctypes.CDLL, keymap: int, group: int, held: Sequence[int]) -> int:
    """Return the state of a keyboard on which these keys are held, in one layout."""
    pressed = xkb.xkb_state_new(keymap)
    xkb.xkb_state_update_mask(pressed, 0, 0, 0, 0, 0, group)
    for code in held:
        xkb.xkb_state_update_key(pressed, code + _EVDEV_TO_XKB, _DOWN)
    modifiers = xkb.xkb_state_serialize_mods(pressed, _DEPRESSED)
    xkb.xkb_state_unref(pressed)
    state: int = xkb.xkb_state_new(keymap)
    xkb.xkb_state_update_mask(state, modifiers, 0, 0, 0, 0, group)
    return state


def _symbol(xkb: ctypes.CDLL, keymap: int, group: int, code: int) -> int:
    state = _state(xkb, keymap, group, ())
    symbol: int = xkb.xkb_state_key_get_one_sym(state, code + _EVDEV_TO_XKB)
    xkb.xkb_state_unref(state)
    return symbol


def _character(xkb: ctypes.CDLL, state: int, code: int) -> str:
    """Return what a key types; empty for none, and for what only controls."""
    if xkb.xkb_state_key_get_one_sym(state, code + _EVDEV_TO_XKB) == _RETURN:
        return "\n" if code == ENTER_CODE else ""
    character = chr(xkb.xkb_state_key_get_utf32(state, code + _EVDEV_TO_XKB))
    return character if character.isprintable() else ""


@cache
def _library() -> ctypes.CDLL:
    return load_libxkbcommon(_SIGNATURES)


def load_libxkbcommon(signatures: Signatures) -> ctypes.CDLL:
    """Return the library with these functions ready to be called. Raises KeymapError: it is not installed."""
    try:
        xkb = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise KeymapError(f"{_LIBRARY} is not installed") from error
    for name, (result, arguments) in signatures.items():
        function = getattr(xkb, name)
        function.restype, function.argtypes = result, arguments
    return xkb
