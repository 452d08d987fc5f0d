"""Keys of the desktop that start and stop a recording: how users write them, how each desktop does."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

MODIFIERS: Final = ("super", "ctrl", "alt", "shift")
_OTHER_NAMES: Final = {"mod4": "super", "logo": "super", "win": "super", "control": "ctrl", "mod1": "alt"}
# A name of xkb such as F9, space, XF86AudioRecord: nothing that ends a word or begins a command in a configuration.
_KEY: Final = re.compile(r"[A-Za-z0-9_]{1,32}")
EXAMPLE: Final = "F9, super+space or ctrl+alt+d"


@dataclass(frozen=True, slots=True)
class KeyCombination:
    """A key by its xkb name and the modifiers held with it, in the order of MODIFIERS."""

    modifiers: tuple[str, ...]
    key: str

    def __str__(self) -> str:
        """Return it as `parse_keys` reads it."""
        return "+".join((*self.modifiers, self.key))

    def with_shift(self) -> "KeyCombination":
        """Return the same with Shift."""
        return KeyCombination(tuple(name for name in MODIFIERS if name in {*self.modifiers, "shift"}), self.key)

    def written(self, names: Mapping[str, str], joint: str = "+") -> str:
        """Return it as a desktop writes it, which calls the modifiers by these names."""
        return joint.join((*(names[name] for name in self.modifiers), self.key))


SWAY: Final[Mapping[str, str]] = {"super": "Mod4", "ctrl": "Ctrl", "alt": "Mod1", "shift": "Shift"}  # i3 too
# The shortcuts specification of freedesktop.org, which the portals use.
PORTAL: Final[Mapping[str, str]] = {"super": "LOGO", "ctrl": "CTRL", "alt": "ALT", "shift": "SHIFT"}


def parse_keys(text: str) -> KeyCombination:
    """Return the keys that a text names; case does not count in modifiers, spaces nowhere.

    Raises:
        ValueError: what is wrong with it, as the end of a sentence that begins with what holds it.
    """
    *held, key = (part.strip() for part in text.split("+"))
    names = [_OTHER_NAMES.get(name.lower(), name.lower()) for name in held]
    for name in names:
        if name not in MODIFIERS:
            raise ValueError(f"has no modifier {name!r}; there are {', '.join(MODIFIERS)}")
    if len(names) != len(set(names)):
        raise ValueError("names a modifier twice")
    if not _KEY.fullmatch(key):
        raise ValueError(f"ends in no name of a key; it is something like {EXAMPLE}")
    return KeyCombination(tuple(name for name in MODIFIERS if name in names), key)


@dataclass(frozen=True, slots=True)
class Shortcut:
    """One hotkey: what its press does, and its release if that does anything."""

    name: str  # as the settings call it
    keys: KeyCombination
    pressed: str  # `start`, `toggle` or `abort`
    released: str = ""  # `stop`
    description: str = ""  # shown by the desktop when it asks the user


@dataclass(frozen=True, slots=True)
class HotkeyState:
    """Which hotkeys are bound, for people: `triggers` says for each what the desktop calls its keys."""

    backend: str = ""  # `sway`, `portal`; empty: none is bound
    triggers: Mapping[str, str] = field(default_factory=dict)
