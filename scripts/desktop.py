"""The daemon in the foreground on a desktop: says where words go, which keys to bind, and reports each dictation."""

import shutil
import sys

from report import show_dictation, show_outputs
from running import running_daemon

from v2m.client import Client, ClientError

HOTKEYS = """
Bind a key. For sway, in ~/.config/sway/config:
  bindsym --no-repeat F9 exec {toak} --start
  bindsym --release   F9 exec {toak} --stop
For Hyprland, in ~/.config/hypr/hyprland.conf:
  bind  = , F9, exec, {toak} --start
  bindr = , F9, exec, {toak} --stop
GNOME, KDE and others: bind one key to  {toak} --toggle   (docs/hotkeys.md)

Hold the key, speak, let go. Ctrl-C ends the daemon.
"""


def main() -> int:
    """Run the daemon until Ctrl-C or SHUTDOWN; return the exit status."""
    try:
        with running_daemon() as daemon, Client() as events:
            show_outputs(daemon)
            print(HOTKEYS.format(toak=shutil.which("toak")), flush=True)
            for event in events.events(["delivered", "held", "failed", "suppressed"]):
                dictation = event["event"] != "snapshot" and event["data"].get("dictation")
                if dictation:
                    show_dictation(daemon.call("LIST_HISTORY", before=dictation + 1, limit=1)["entries"][0])
    except KeyboardInterrupt:
        pass
    except ClientError as error:
        print(f"run: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
