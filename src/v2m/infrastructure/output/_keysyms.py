"""X11's numbers for characters; the portal and XTEST take them."""

from typing import Final

_KEYS: Final = {"\n": 0xFF0D, "\t": 0xFF09, "\b": 0xFF08}  # Return, Tab and BackSpace


def keysym(character: str) -> int:
    """Return the keysym of a character."""
    point = ord(character)
    if character in _KEYS:
        return _KEYS[character]
    latin = 0x20 <= point <= 0x7E or 0xA0 <= point <= 0xFF
    return point if latin else 0x01000000 | point
