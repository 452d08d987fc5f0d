"""The daemon in the foreground on a desktop: says where words go, which keys to bind, and reports each dictation."""

import contextlib
import shutil
import signal
import subprocess
import sys
import time

from report import show_dictation, show_outputs

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


def connect(process: subprocess.Popen[bytes]) -> Client:
    """Return a client once the daemon listens; exit with its status when it ends instead."""
    while process.poll() is None:
        with contextlib.suppress(ClientError):
            daemon = Client()
            daemon.call("PING")
            return daemon
        time.sleep(0.05)
    sys.exit(process.returncode)


def main() -> int:
    """Run the daemon until Ctrl-C; return its exit status."""
    process = subprocess.Popen(["toakd"])
    try:
        with connect(process) as daemon, Client() as events:
            show_outputs(daemon)
            print(HOTKEYS.format(toak=shutil.which("toak")), flush=True)
            for event in events.events(["delivered", "held", "failed", "suppressed"]):
                if event["event"] != "snapshot" and event["data"].get("dictation") is not None:
                    show_dictation(daemon.call("LIST_HISTORY", limit=1)["entries"][0])
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
    except ClientError as error:
        print(f"run: {error}", file=sys.stderr)
    return process.wait()


if __name__ == "__main__":
    sys.exit(main())
