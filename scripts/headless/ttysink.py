#!/usr/bin/env python3
"""Records what a terminal sends: run it inside a terminal emulator.

usage: ttysink.py LOG [BANNER]

LOG gets one JSON line {"ready": NS, "pid": N} and then one line [NS, "HEX"] per read, NS being
CLOCK_MONOTONIC. Everything is shown in the terminal as well. Return arrives as a carriage return.
"""

import json
import os
import sys
import time
import tty

READ_BYTES = 65536


def main() -> None:
    """Record until the terminal closes."""
    log_path, *banner = sys.argv[1:]
    with open(log_path, "w", buffering=1, encoding="ascii") as log:
        tty.setraw(0)
        os.write(1, "".join(banner).encode() + b"\x1b[?25h")
        log.write(json.dumps({"ready": time.monotonic_ns(), "pid": os.getpid()}) + "\n")
        while data := _read():
            log.write(json.dumps([time.monotonic_ns(), data.hex()]) + "\n")
            os.write(1, data.replace(b"\r", b"\r\n"))


def _read() -> bytes:
    try:
        return os.read(0, READ_BYTES)
    except OSError:  # the terminal is gone
        return b""


if __name__ == "__main__":
    main()
