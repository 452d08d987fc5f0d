"""The lines that bind keys to `toak`, desktop by desktop; docs/hotkeys.md shows the same."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from v2m.domain.hotkeys import SWAY, KeyCombination

DESKTOPS: Final = ("sway", "hyprland", "i3", "kde", "gnome")
_HYPRLAND: Final[Mapping[str, str]] = {"super": "SUPER", "ctrl": "CTRL", "alt": "ALT", "shift": "SHIFT"}
_GNOME: Final[Mapping[str, str]] = {"super": "<Super>", "ctrl": "<Ctrl>", "alt": "<Alt>", "shift": "<Shift>"}
_QT: Final[Mapping[str, str]] = {"super": "Meta", "ctrl": "Ctrl", "alt": "Alt", "shift": "Shift"}
_MEDIA_KEYS: Final = "org.gnome.settings-daemon.plugins.media-keys"
_CUSTOM: Final = "/org/gnome/settings-daemon/plugins/media-keys/custom-keybindings/"


@dataclass(frozen=True, slots=True)
class Advice:
    """What to put where; `reason` says why there is only a toggle, if there is."""

    file: str  # empty: the lines are commands, or there is nothing but the comments
    comments: list[str]
    lines: list[str]
    reason: str = ""


def advice(desktop: str, keys: KeyCombination, *, toak: str, has_portal: bool = False) -> Advice:
    """Return how to bind these keys; `toak` is the trigger's path, `has_portal` whether GlobalShortcuts is there."""
    match desktop:
        case "sway":
            return _sway(keys, shlex.quote(toak))
        case "i3":
            return _i3(keys, shlex.quote(toak))
        case "hyprland":
            return _hyprland(keys, shlex.quote(toak))
        case "kde":
            return _portal("KDE Plasma", keys) if has_portal else _kde(keys, shlex.quote(toak))
        case _:
            return _portal("GNOME", keys) if has_portal else _gnome(keys, shlex.quote(toak))


def _sway(keys: KeyCombination, toak: str) -> Advice:
    held, other = keys.written(SWAY), keys.with_shift().written(SWAY)
    return Advice(
        "~/.config/sway/config",
        [f"Hold {held} and speak. Put this into ~/.config/sway/config, then: swaymsg reload"],
        [
            f"bindsym --no-repeat {held} exec {toak} --start",
            f"bindsym --release {held} exec {toak} --stop",
            *([f"bindsym {other} exec {toak} --abort"] if other != held else []),
        ],
    )


def _i3(keys: KeyCombination, toak: str) -> Advice:
    held, other = keys.written(SWAY), keys.with_shift().written(SWAY)
    return Advice(
        "~/.config/i3/config",
        [
            f"Hold {held} and speak. Put this into ~/.config/i3/config, then: i3-msg reload",
            "A held key sends START again and again; v2m knows key repeat and ignores it.",
        ],
        [
            f"bindsym {held} exec --no-startup-id {toak} --start",
            f"bindsym --release {held} exec --no-startup-id {toak} --stop",
            *([f"bindsym {other} exec --no-startup-id {toak} --abort"] if other != held else []),
        ],
    )


def _hyprland(keys: KeyCombination, toak: str) -> Advice:
    def bound(kind: str, combination: KeyCombination, verb: str) -> str:
        held = " ".join(_HYPRLAND[name] for name in combination.modifiers)
        return f"{kind} = {held}, {combination.key}, exec, {toak} {verb}"

    lines = [bound("bind", keys, "--start"), bound("bindr", keys, "--stop")]
    if keys.with_shift() != keys:
        lines.append(bound("bind", keys.with_shift(), "--abort"))
    file = "~/.config/hypr/hyprland.conf"
    return Advice(file, [f"Hold {keys.written(_QT)} and speak. Put this into {file}; it is read at once."], lines)


def _portal(desktop: str, keys: KeyCombination) -> Advice:
    return Advice(
        "~/.config/v2m/config.toml",
        [
            f"Hold {keys.written(_QT)} and speak. {desktop} tells programs of keys through its portal.",
            "Put this into ~/.config/v2m/config.toml and start the daemon again; the desktop then asks you once.",
        ],
        ["[hotkeys]", 'backend = "portal"', f'push_to_talk = "{keys}"', 'abort = ""'],
    )


def _kde(keys: KeyCombination, toak: str) -> Advice:
    reason = (
        "A custom shortcut of KDE Plasma has a press and no release, and this session has no GlobalShortcuts portal."
    )
    return Advice(
        "",
        [
            f"{reason} So the key toggles: press, speak, press again.",
            f"System Settings, Shortcuts, Add New, Command; give it {keys.written(_QT)} and this command:",
        ],
        [f"{toak} --toggle"],
        reason,
    )


def _gnome(keys: KeyCombination, toak: str) -> Advice:
    reason = "A custom shortcut of GNOME has a press and no release, and this session has no GlobalShortcuts portal."
    key = f"{_CUSTOM}v2m/"
    custom = f"{_MEDIA_KEYS}.custom-keybinding:{key}"
    command = shlex.quote(f"{toak} --toggle")
    return Advice(
        "",
        [
            f"{reason} So the key toggles: press, speak, press again.",
            "Run these lines in a terminal; shortcuts that you have already stay.",
        ],
        [
            f"LIST=$(gsettings get {_MEDIA_KEYS} custom-keybindings)",
            'LIST=${LIST#@as }; LIST=${LIST%]}; [ "$LIST" = "[" ] || LIST="$LIST, "',
            f"case $LIST in *\"'{key}'\"*) ;; *)",
            f"  gsettings set {_MEDIA_KEYS} custom-keybindings \"$LIST'{key}']\" ;; esac",
            f"gsettings set {custom} name Dictation",
            f"gsettings set {custom} command {command}",
            f"gsettings set {custom} binding {shlex.quote(keys.written(_GNOME, joint=''))}",
        ],
        reason,
    )
