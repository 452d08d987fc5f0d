"""An output that has to be left alone while it types, as one whose connection a probe may close."""

import asyncio

from v2m.infrastructure.output.memory import MemoryOutput


class Exclusive(MemoryOutput):
    """It notices who asks while it types."""

    def __init__(self, **how):
        super().__init__(**how)
        self.typing, self.disturbed, self.probed = asyncio.Event(), False, 0
        self.go_on = asyncio.Event()

    async def probe(self, session):
        self.disturbed |= self.typing.is_set()
        self.probed += 1
        return await super().probe(session)

    async def deliver(self, text, to):
        self.typing.set()
        await self.go_on.wait()
        self.typing.clear()
        return await super().deliver(text, to)
