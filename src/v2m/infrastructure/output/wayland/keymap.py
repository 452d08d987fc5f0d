"""Keymaps for the virtual keyboard: one character per key, one level, so that no modifier is ever needed."""

from collections.abc import Iterable
from typing import Final

# These keys keep the codes they have on a US keyboard: some applications know keys by code, Ctrl+V among them.
_ROWS: Final = {2: "1234567890-=", 16: "qwertyuiop[]", 30: "asdfghjkl;'`", 43: "\\zxcvbnm,./"}
TRUE_CODES: Final = {"\n": 28, "\t": 15, " ": 57, "\b": 14} | {
    character: first + place for first, row in _ROWS.items() for place, character in enumerate(row)
}
INSERT: Final = "\ue000"  # private-use stand-in: the Insert key, which has no character
INSERT_CODE: Final = 110

# A character on the code of a function, lock, media or power key would fire the user's `bindcode`
# (measured: F6). The main block has the true codes and 86; then keypad and codes no keyboard has; evdev 247 + 8 = 255
# is the last one an X11 application can see. These typed all of ASCII and 60 CJK without firing a binding.
_QUIET: Final = (
    *range(71, 84), 55, 98, 84, 85, *range(89, 96), 101, 112, 117, 118, *range(120, 125), *range(195, 200),
    179, 180
)  # fmt: skip
_BOUND: Final = {
    142, 143, 152, *range(163, 169), 171, 172, *range(183, 195), 205, 224, 225, 236, 237, 238, 239, 240
}  # fmt: skip
SAFE_CODES: Final = (
    86,
    *_QUIET,
    *(code for code in range(128, 247) if code not in _BOUND and code not in _QUIET),
)
ASCII: Final = "".join(map(chr, range(32, 127))) + "\n\t\b" + INSERT
CAPACITY: Final = len(SAFE_CODES) + len(TRUE_CODES) + 1
_NAMES: Final = {"\n": "Return", "\t": "Tab", "\b": "BackSpace", INSERT: "Insert"}


def keysym(character: str) -> str:
    """Return the name XKB knows the character by."""
    if character in _NAMES:
        return _NAMES[character]
    if character.isascii() and character.isalnum():
        return character
    return f"U{ord(character):04X}"


def key_codes(characters: Iterable[str]) -> dict[str, int]:
    """Give each character an evdev code, in order.

    Raises:
        ValueError: more characters than one keymap carries.
    """
    codes = dict(TRUE_CODES) | {INSERT: INSERT_CODE}
    free = iter(SAFE_CODES)
    for character in dict.fromkeys(characters):
        if character not in codes:
            code = next(free, None)
            if code is None:
                raise ValueError(f"One keymap carries {CAPACITY} characters.")
            codes[character] = code
    return codes


def xkb_keymap(codes: dict[str, int]) -> bytes:
    """Return the keymap as text that libxkbcommon compiles, with the NUL the protocol wants."""
    names = "".join(f"<K{code}> = {code + 8};\n" for code in sorted(set(codes.values())))
    keys = "".join(f"key <K{code}> {{[{keysym(character)}]}};\n" for character, code in codes.items())
    text = (
        'xkb_keymap {\nxkb_keycodes "v2m" {\nminimum = 8;\nmaximum = 255;\n' + names + "};\n"
        'xkb_types "v2m" { include "complete" };\n'
        'xkb_compatibility "v2m" { include "complete" };\n'
        'xkb_symbols "v2m" {\n' + keys + "};\n};\n"
    )
    return text.encode() + b"\0"


def portions(text: str) -> list[str]:
    """Cut a text so that each part, together with ASCII, fits into one keymap."""
    room = CAPACITY - len(ASCII)
    parts: list[str] = []
    start, extra = 0, set[str]()
    for index, character in enumerate(text):
        if character in ASCII or character in extra:
            continue
        if len(extra) == room:
            parts.append(text[start:index])
            start, extra = index, set()
        extra.add(character)
    parts.append(text[start:])
    return parts
