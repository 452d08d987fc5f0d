"""How many BackSpaces take a text back: one per grapheme cluster (UAX #29), where every application agrees on that.

Applications disagree about the rest. Measured over every character with GTK 3.24.38 (Pango 1.50), Qt 6.11 and the
kernel's line editing, which a terminal shows:

    cluster                                        GTK        Qt and terminal
    e + combining accent                           both       the accent only
    family emoji, joined by U+200D                 all        its last member
    flag: two regional indicators                  both       the second
    thumbs up + skin tone                          both       the tone
    composed letter of most other scripts, U+0929  its mark   all
    any other single code point                    it         it

So a text that has one of the former is taken back only where the application shows what stands there.
"""

import unicodedata
from typing import Final

_JOINING: Final = ("M", "C")  # marks; format, control and unassigned characters
# Letters and symbols that belong to the cluster before or after them (Unicode 16, GraphemeBreakProperty.txt).
_CLINGING: Final = (
    range(0x0D4E, 0x0D4F), range(0x0E33, 0x0E34), range(0x0EB3, 0x0EB4), range(0x1100, 0x1200),
    range(0xA960, 0xA980), range(0xD7B0, 0xD800), range(0xFF9E, 0xFFA0), range(0x111C2, 0x111C4),
    range(0x113D1, 0x113D2), range(0x1193F, 0x11942), range(0x11A3A, 0x11A3B), range(0x11A84, 0x11A8A),
    range(0x11D46, 0x11D47), range(0x11F02, 0x11F03), range(0x1F1E6, 0x1F200), range(0x1F3FB, 0x1F400),
)  # fmt: skip
# GTK takes only the mark off a composed character of any other script.
_COMPOSED_AS_ONE: Final = (
    range(0x00C0, 0x0530), range(0x1E00, 0x2000), range(0x2C60, 0x2C80), range(0xA640, 0xA6A0),
    range(0xA720, 0xA800), range(0xAC00, 0xD7A4), range(0x3040, 0x3100),
)  # fmt: skip


def backspaces(text: str) -> int | None:
    """Return how many BackSpaces remove exactly this text in every application; None: they differ, or it is unsure.

    A line break is unsure: it may have run or sent something.
    """
    return len(text) if all(map(_stands_alone, text)) else None


def _stands_alone(character: str) -> bool:
    """Tell whether one BackSpace removes this character and nothing else, whatever stands around it."""
    point = ord(character)
    if unicodedata.category(character)[0] in _JOINING or any(point in span for span in _CLINGING):
        return False
    composed = unicodedata.decomposition(character)
    return not composed or composed.startswith("<") or any(point in span for span in _COMPOSED_AS_ONE)
