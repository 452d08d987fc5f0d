"""Keys that are pressed together, as users write them: `ctrl+shift+v`."""

from dataclasses import dataclass
from typing import Final

MODIFIERS: Final = ("ctrl", "shift", "alt")  # not the logo key: its chords belong to the desktop, not to applications
NAMED_KEYS: Final = ("insert",)
_KEYS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789") | frozenset(NAMED_KEYS)
EXAMPLE: Final = "ctrl+v, ctrl+shift+v or shift+insert"


@dataclass(frozen=True, slots=True)
class Chord:
    """One key and the modifiers that are held while it is pressed."""

    modifiers: frozenset[str]  # of MODIFIERS
    key: str  # a small letter, a digit, or one of NAMED_KEYS; empty: no key at all

    def __str__(self) -> str:
        """Return it as `parse_chord` reads it, modifiers in the usual order."""
        return "+".join((*(name for name in MODIFIERS if name in self.modifiers), self.key))


NO_CHORD: Final = Chord(frozenset(), "")


def parse_chord(text: str) -> Chord:
    """Return the chord that a text names; case and spaces do not count, an empty text is NO_CHORD.

    Raises:
        ValueError: what is wrong with it, as the end of a sentence that begins with what holds it.
    """
    if not text.strip():
        return NO_CHORD
    *names, key = (part.strip().lower() for part in text.split("+"))
    for name in names:
        if name not in MODIFIERS:
            raise ValueError(f"has no modifier {name!r}; there are {', '.join(MODIFIERS)}")
    if len(names) != len(set(names)):
        raise ValueError("names a modifier twice")
    if key not in _KEYS:
        raise ValueError(f"ends in no key that pastes: a letter, a digit or {NAMED_KEYS[0]}, as in {EXAMPLE}")
    held = frozenset(names)
    if not held or (held == {"shift"} and key not in NAMED_KEYS):
        raise ValueError(f"would type or overwrite instead of pasting; it is something like {EXAMPLE}")
    return Chord(held, key)
