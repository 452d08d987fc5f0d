"""The real daemon, whose keys go to a file one by one: each waits until the test lets it be pressed.

Started as a program: `piped_daemon.py FOLDER`. `FOLDER/keys` gets the keys; `FOLDER/gate` is a FIFO of which one byte
is read before each.
"""

import asyncio
import os
import sys
from pathlib import Path
from types import SimpleNamespace

from v2m import daemon
from v2m.core.di.container import Overrides, build_container
from v2m.domain.delivery import Certainty, Delivery
from v2m.domain.ports import AtBest, Availability
from v2m.infrastructure.desktop.memory import MemoryGuard, MemoryWindows


class GatedOutput:
    """Presses one key for each byte in the gate."""

    name = "gated"
    at_best = AtBest()

    def __init__(self, folder: Path) -> None:
        self._keys = os.open(folder / "keys", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._gate = os.open(folder / "gate", os.O_RDWR)

    async def probe(self, session):
        return Availability(usable=True, reason="The gate is there.")

    async def deliver(self, text, to):
        for key in text:
            await asyncio.to_thread(os.read, self._gate, 1)
            os.write(self._keys, key.encode())
        return Delivery(self.name, Certainty.SENT, len(text))

    async def aclose(self):
        pass


def main() -> int:
    output = GatedOutput(Path(sys.argv[1]))

    def build(arguments, **how):
        ports = Overrides(outputs=[output], windows=MemoryWindows(), guard=MemoryGuard())
        return build_container(arguments, **how, overrides=ports)

    daemon._composition_root = lambda: SimpleNamespace(build_container=build)
    return daemon.run([])


if __name__ == "__main__":
    sys.exit(main())
