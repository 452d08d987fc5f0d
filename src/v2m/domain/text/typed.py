"""What of a text may be typed: characters that show something, and nothing that could act as a command."""

import re
import unicodedata
from typing import Final

_NEVER: Final = {"Cc", "Cs", "Cn", "Co"}  # controls, halves of pairs, unassigned, private use
_FORMAT: Final = "Cf"  # bidi controls, zero-width characters, tags
# Joiners are letters' business in Persian and Indic scripts and hold emoji together. (Variation
# selectors, which emoji need as well, are marks and pass anyway.)
_KEPT_FORMAT: Final = {"\u200c", "\u200d"}
_LINE_BREAKS: Final = re.compile(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_BREAK_RUN: Final = re.compile(r" *\n[ \n]*")
_OUTER_BREAKS: Final = re.compile(r"\A *\n[ \n]*|(?<! ) *\n[ \n]*\Z")


def typeable(text: str, *, newline: str = " ") -> str:
    """Return what is typed for a text: NFC, visible characters only, each run of line breaks as `newline`.

    `newline` is a space, or a line break where the user wants Return pressed; line breaks at either end
    are dropped, so that nothing is ever sent off or run by the last key. A tab becomes a space.
    """
    lines = _LINE_BREAKS.sub("\n", text).replace("\t", " ")
    visible = "".join(character for character in lines if character == "\n" or _is_typeable(character))
    composed = unicodedata.normalize("NFC", visible)
    return _BREAK_RUN.sub(newline, _OUTER_BREAKS.sub("", composed))


def _is_typeable(character: str) -> bool:
    category = unicodedata.category(character)
    return category not in _NEVER and (category != _FORMAT or character in _KEPT_FORMAT)
