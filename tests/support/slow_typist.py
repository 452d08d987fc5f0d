"""The real daemon, whose keys go to a file one by one, so slowly that a kill can come between two.

Started as a program: `slow_typist.py FOLDER`. `FOLDER/keys` gets the keys.
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

KEY_S = 0.002


class SlowTypist:
    """Presses a key every 2 ms."""

    name = "slow"
    at_best = AtBest()

    def __init__(self, folder: Path) -> None:
        self._keys = os.open(folder / "keys", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def probe(self, session):
        return Availability(usable=True, reason="There is a file.")

    async def deliver(self, text, to):
        for key in text:
            await asyncio.sleep(KEY_S)
            os.write(self._keys, key.encode())
        return Delivery(self.name, Certainty.SENT, len(text))

    async def aclose(self):
        os.close(self._keys)


def main() -> int:
    output = SlowTypist(Path(sys.argv[1]))

    def build(arguments, **how):
        ports = Overrides(outputs=[output], windows=MemoryWindows(), guard=MemoryGuard())
        return build_container(arguments, **how, overrides=ports)

    daemon._composition_root = lambda: SimpleNamespace(build_container=build)
    return daemon.run([])


if __name__ == "__main__":
    sys.exit(main())
