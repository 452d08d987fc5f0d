"""Tells the user, in order, without any dictation waiting for it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from v2m.domain.ports import Notifier


class Announcer:
    """Queues what the notifier shall show; `run` hands it over one by one."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._queue: asyncio.Queue[Callable[[], Awaitable[None]] | None] = asyncio.Queue()
        self._ended = asyncio.Event()

    def say(
        self,
        title: str,
        body: str = "",
        *,
        urgent: bool = False,
        sound: str = "",
        choices: Mapping[str, Callable[[], None]] = MappingProxyType({}),
    ) -> None:
        """Show this after what was said before; returns at once."""
        self._queue.put_nowait(lambda: self._notifier.show(title, body, urgent=urgent, sound=sound, choices=choices))

    def dismiss(self) -> None:
        """Take the notification away after what was said before; returns at once."""
        self._queue.put_nowait(self._notifier.dismiss)

    def use(self, notifier: Notifier) -> None:
        """Tell by another notifier after what was said before; the one until then is closed."""

        async def change() -> None:
            former, self._notifier = self._notifier, notifier
            await former.aclose()

        self._queue.put_nowait(change)

    async def hang_up(self) -> None:
        """Close the notifier; twice is fine."""
        await self._notifier.aclose()

    async def aclose(self) -> None:
        """Return once everything has been shown and `run` has returned."""
        self._queue.put_nowait(None)
        await self._ended.wait()

    async def run(self) -> None:
        """Show what is queued until `aclose`."""
        try:
            while (notice := await self._queue.get()) is not None:
                await notice()
        finally:
            self._ended.set()
