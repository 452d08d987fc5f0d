"""What pasting has in common on Wayland and X11: the key, what counts as text, how long is waited, what is put back."""

from typing import Final

from v2m.domain.chords import Chord, parse_chord
from v2m.infrastructure.output.failures import refused

RECEIPT_S: Final = 0.5  # measured: an application takes the text 1.1…1.4 ms after the key
# foot ignores a paste key while it still feeds the previous paste to its program.
REPEAT_GAP_S: Final = 0.05
# Browsers read twice; on a busy machine Firefox's second reading came more than 0.2 s after its first, and got what had
# been put back. Until then a paste by the user's hand brings the dictated text.
RESTORE_DELAY_S: Final = 0.6
SAVE_S: Final = 1.0  # a living owner answers in 0.2 ms, and needs longer only to encode pictures
SAVE_BYTES: Final = 64 << 20  # of everything that is to come back, over all its types
MAX_TYPES: Final = 128  # an office program offers about 30

TEXT_TYPES: Final = ("text/plain;charset=utf-8", "text/plain", "UTF8_STRING", "STRING", "TEXT")
SECRET_TYPE: Final = "x-kde-passwordManagerHint"  # noqa: S105 - a media type: clipboard managers skip such texts
SECRET: Final = b"secret"

# Shift+Insert pastes nearly everywhere and does nothing where it does not. Ctrl+V in a terminal takes
# the next key literally, in Emacs it scrolls, so it is no guess to make.
_SAFE_PASTE: Final = Chord(frozenset({"shift"}), "insert")

UNSAVED: Final = "What is on the clipboard cannot be kept whole, and pasting would lose it."
CHANGED: Final = "Something else was put on the clipboard at the same moment."
NOT_TAKEN: Final = "The window has not taken the text yet; it is on the clipboard."
LATE: Final = "The window has not taken the text in time."
TAKER_UNKNOWN: Final = "It is not known whether the window or another program took the text."


def paste_chord(wished: str) -> Chord:
    """Return the key that pastes: the wished one, else the one that does no harm.

    Raises:
        OutputError: REFUSED, the wish names no chord.
    """
    try:
        chord = parse_chord(wished)
    except ValueError as error:
        raise refused(f"The paste key {wished!r} {error}.") from error
    return chord if chord.key else _SAFE_PASTE


def wants_primary(chord: Chord) -> bool:
    """Tell whether terminals take the primary selection at this key; elsewhere it is left alone.

    An application that loses the primary selection drops its own, which the user may want to replace.
    """
    return chord.key == "insert"
