"""What kind of application a window belongs to, by its Wayland app id or X11 class: data.

Names are those of the programs' desktop files and WM_CLASS, in small letters. An id in reverse DNS form also
counts by its last part, so `konsole` stands for `org.kde.konsole` too.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final, Literal

RoleName = Literal["terminal", "ide", "editor", "office", "mail", "chat", "browser"]


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


TERMINAL: Final[RoleName] = "terminal"

# An `ide` is an editor with a terminal or a command line inside, where a line break may run something: so it is no
# `editor`.
ROLES: Final[Mapping[RoleName, tuple[str, ...]]] = {
    TERMINAL: _names(
        "alacritty aterm blackbox contour cool-retro-term deepin-terminal eterm foot footclient foot-* ghostty"
        " gnome-terminal gnome-terminal-* guake havoc hyper io.elementary.terminal kgx kitty koi8rxterm konsole"
        " lxterm lxterminal mate-terminal mlterm org.gnome.console org.gnome.terminal pterm ptyxis putty qterminal"
        " rio roxterm rxvt rxvt-* sakura st st-*color tabby terminator terminology termite termius tilda tilix"
        " urxvt urxvtc urxvt-* uxterm warp wezterm wezterm-gui xfce4-terminal xterm xterm-* yakuake"
    ),
    "ide": _names(
        "android-studio arduino atom code code-* codeblocks codium cursor eclipse emacs emacs-* geany gnome-builder"
        " org.gnome.builder goneovim gvim jetbrains-* kate kdevelop lapce neovide netbeans* nvim-qt positron"
        " qtcreator rstudio spyder vim vscode vscodium windsurf zed zed-*"
    ),
    "editor": _names(
        "apostrophe bluefish cherrytree featherpad focuswriter gedit ghostwriter gnome-text-editor joplin kwrite"
        " l3afpad leafpad manuskript marktext medit mousepad notepadqq obsidian org.gnome.texteditor pluma qownnotes"
        " scite sublime_text texmaker texstudio typora xed zettlr zim"
    ),
    "office": _names(
        "abiword calligra* gnumeric libreoffice libreoffice-* onlyoffice* desktopeditors scribus soffice*"
    ),
    "mail": _names(
        "betterbird claws-mail evolution geary kmail kmail2 mailspring sylpheed thunderbird thunderbird-* tutanota*"
    ),
    "chat": _names(
        "beeper caprine cinny dino discord discord-* element element-desktop element-nightly ferdium fluffychat"
        " fractal gajim hexchat konversation legcord mattermost* microsoft*teams* neochat nheko org.telegram.desktop*"
        " pidgin polari quassel* riot rocket.chat rocketchat* schildichat session-desktop signal signal-desktop"
        " skype* slack slack-* teams-for-linux telegram telegram-desktop telegramdesktop vesktop viber webcord"
        " whatsapp* wire zapzap zulip"
    ),
    "browser": _names(
        "brave brave-* chromium chromium-* epiphany falkon firefox firefox-* floorp google-chrome google-chrome-*"
        " icecat konqueror librewolf microsoft-edge microsoft-edge-* midori mullvadbrowser navigator opera opera-*"
        " palemoon qutebrowser tor-browser torbrowser* ungoogled-chromium vivaldi vivaldi-* waterfox waterfox-* zen"
        " zen-*"
    ),
}


_EXACT: Final = {name: role for role, names in ROLES.items() for name in names if "*" not in name}
_PATTERNS: Final = [(name, role) for role, names in ROLES.items() for name in names if "*" in name]


def names_of(app: str) -> tuple[str, ...]:
    """Return what an application is known by, in small letters: its id, and the last part of a reverse DNS one."""
    known = app.strip().lower()
    last = known.rpartition(".")[2]
    return (known, last) if known.count(".") > 1 and last else (known,)


def role_of(app: str) -> str:
    """Return the role of an application, empty for one that is not known."""
    for name in names_of(app):
        if name in _EXACT:
            return _EXACT[name]
        for pattern, role in _PATTERNS:
            if fnmatchcase(name, pattern):
                return role
    return ""
