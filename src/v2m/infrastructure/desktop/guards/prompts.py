"""Windows that ask for a password, known by their application id or class."""

from fnmatch import fnmatchcase
from typing import Final

from v2m.domain.delivery import Session, Window

# Lower case, `*` matches anything. A password manager's own window is none of them: people dictate into it.
PROMPTS: Final = (
    # GnuPG: Pinentry-gtk-2, pinentry-qt, pinentry-qt5, org.gnupg.pinentry-qt, pinentry-fltk, pinentry-efl
    "*pinentry*",
    # polkit agents: polkit-gnome-authentication-agent-1, org.kde.polkit-kde-authentication-agent-1,
    # polkit-mate-authentication-agent-1, xfce-polkit, lxpolkit, lxqt-policykit-agent, hyprpolkitagent,
    # dde-polkit-agent, io.elementary.desktop.agent-polkit
    "*polkit*",
    "*policykit*",
    # OpenSSH, sudo -A: ssh-askpass, SshAskpass (x11-ssh-askpass), Gnome-ssh-askpass, ksshaskpass, org.kde.ksshaskpass,
    # lxqt-openssh-askpass, qt-askpass
    "*askpass*",
    # GNOME keyring, and pinentry-gnome3 outside of GNOME Shell (gcr); what they were before gcr
    "*gcr-prompter*",
    "gnome-keyring-prompt*",
    "gnome-keyring-ask",
    # KDE wallet: kwalletd5, org.kde.kwalletd6, org.kde.ksecretd. Its browser, org.kde.kwalletmanager, is none.
    "kwalletd*",
    "org.kde.kwalletd*",
    "*ksecretd",
    # programs as another user
    "kdesu",
    "kdesudo",
    "org.kde.kdesu",
    "gksu",
    "gksudo",
    "lxqt-sudo",
    "lxsu",
    "lxsudo",
)


class PromptGuard:
    """Tells a password prompt that has the focus; one drawn by the desktop itself (GNOME Shell) is no window."""

    async def secret(self, session: Session, window: Window | None) -> str:
        """Return which application asks."""
        del session
        app = window.app.lower() if window else ""
        if window is None or not any(fnmatchcase(app, pattern) for pattern in PROMPTS):
            return ""
        return f"The focused window asks for a password ({window.app})."
