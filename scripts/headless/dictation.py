"""The hands and eyes of the headless dictation: presses the key, speaks, lets go, and reads what the terminal got."""

import argparse
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from v2m.client import Client

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from report import show_dictation, show_outputs
from running import running_daemon  # beside this folder: shared with the desktop's script

PATIENCE_S = 60.0


def received(sink: Path) -> str:
    """Return what the terminal was sent so far."""
    text = b""
    for line in sink.read_text().splitlines():
        entry = json.loads(line)
        if isinstance(entry, list):
            text += bytes.fromhex(entry[1])
    return text.decode("utf-8", "replace")


def await_end(events: Client, ended: threading.Event) -> None:
    """Set `ended` when the dictation has come to its end, whatever that is."""
    for event in events.events(["delivered", "held", "failed", "suppressed", "discarded"]):
        if event["event"] != "snapshot":
            ended.set()
            return


def dictate(daemon: Client, options: argparse.Namespace) -> dict[str, Any]:
    """Press, speak and let go as a user does; return the dictation's row once it has come to its end."""
    ended = threading.Event()
    with Client() as events:
        threading.Thread(target=await_end, args=(events, ended), daemon=True).start()
        print("\n$ toak --start", flush=True)
        subprocess.run(["toak", "--start"], check=True)
        while daemon.call("GET_STATUS")["recording"] is None:
            time.sleep(0.01)
        print("  (a recorded voice speaks into the microphone)", flush=True)
        subprocess.run([options.feed, str(options.speech)], check=True)
        time.sleep(0.2)  # as a speaker lets go a moment after the last word
        print("$ toak --stop", flush=True)
        subprocess.run(["toak", "--stop"], check=True)
        if not ended.wait(PATIENCE_S):
            sys.exit("run: nothing came back")
    row: dict[str, Any] = daemon.call("LIST_HISTORY", limit=1)["entries"][0]
    return row


def main() -> int:
    """Dictate once; return 0 when the terminal received exactly what the history says was typed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--speech", type=Path, required=True)
    parser.add_argument("--sink", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--feed", required=True)
    options = parser.parse_args()
    with options.log.open("wb") as log, running_daemon(log) as daemon:
        show_outputs(daemon)
        entry = dictate(daemon, options)
    show_dictation(entry)
    deadline = time.monotonic() + 5
    while (text := received(options.sink)) != entry["text"] and time.monotonic() < deadline:
        time.sleep(0.02)
    if not text or text != entry["text"]:
        print(f"run: the terminal received {text!r}", file=sys.stderr)
        return 1
    print("The terminal received exactly this text.", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
