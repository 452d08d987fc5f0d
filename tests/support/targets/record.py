"""What the target programs share: the log of what their field holds, and the orders they take.

LOG gets one JSON line per event: {"ready": NS, "pid": N}; [NS, KEPT, "REST"] when the text changed (its first KEPT
characters stayed, then comes REST); {"preedit": TEXT}; {"done": N} when order N was carried out. NS is CLOCK_MONOTONIC.
LOG.orders is a pipe of JSON lines: {"order": N, "set": TEXT, "anchor": AT, "cursor": AT}.
"""

import json
import os
import time


class Record:
    """The log and the pipe of one target."""

    def __init__(self, path):
        self._log = open(path, "w", buffering=1, encoding="ascii")  # noqa: SIM115 - open as long as the program runs
        self.text = ""
        self._rest = b""
        os.mkfifo(path + ".orders", 0o600)
        self.orders = os.open(path + ".orders", os.O_RDWR | os.O_NONBLOCK)

    def note(self, **facts):
        self._log.write(json.dumps(facts) + "\n")

    def ready(self):
        self.note(ready=time.monotonic_ns(), pid=os.getpid())

    def changed(self, text, at_ns=None):
        if text == self.text:
            return
        old, self.text = self.text, text
        kept = len(old)
        if not text.startswith(old):
            kept = next((at for at, pair in enumerate(zip(old, text, strict=False)) if pair[0] != pair[1]), len(text))
        self._log.write(json.dumps([at_ns or time.monotonic_ns(), kept, text[kept:]]) + "\n")

    def taken(self):
        """Return the orders that are complete in the pipe now."""
        try:
            self._rest += os.read(self.orders, 1 << 20)
        except BlockingIOError:
            return []
        *lines, self._rest = self._rest.split(b"\n")
        return [json.loads(line) for line in lines]
