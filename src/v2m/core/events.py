"""Fan-out to subscribers: publishing never waits, a slow subscriber loses its oldest events and sees the gap."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from v2m.domain.events import Event, event_data, event_name

QUEUE_LENGTH = 256  # about a minute of states and levels; a subscriber that far behind wants the newest


class Subscription:
    """One subscriber's queue; iterate it to get frames."""

    def __init__(self, wanted: frozenset[str]) -> None:
        self._wanted = wanted
        self._queue: deque[dict[str, Any]] = deque(maxlen=QUEUE_LENGTH)
        self._ready = asyncio.Event()
        self._closed = False

    def wants(self, names: set[str]) -> bool:
        """Tell whether one of these events would be queued."""
        return not self._wanted or not self._wanted.isdisjoint(names)

    def offer(self, name: str, frame: dict[str, Any]) -> None:
        """Queue a frame unless it is unwanted; the oldest falls out when the queue is full."""
        if not self._wanted or name in self._wanted:
            self._queue.append(frame)
            self._ready.set()

    def close(self) -> None:
        """End the iteration after what is queued."""
        self._closed = True
        self._ready.set()

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        """Yield frames as they come, until closed."""
        while True:
            while self._queue:
                yield self._queue.popleft()
            if self._closed:
                return
            self._ready.clear()
            await self._ready.wait()


class EventBus:
    """All subscriptions; `seq` counts every event, so that a gap shows."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()
        self._seq = 0

    @property
    def seq(self) -> int:
        """Number of the latest event."""
        return self._seq

    def has_listeners(self, *kinds: type[Event]) -> bool:
        """Tell whether anybody would see an event, of one of these kinds if any is named."""
        names = {event_name(kind) for kind in kinds}
        return any(not names or subscription.wants(names) for subscription in self._subscriptions)

    def publish(self, event: Event) -> None:
        """Hand an event to every subscriber; never waits, never fails."""
        self._seq += 1
        name = event_name(type(event))
        frame = {"event": name, "data": event_data(event), "seq": self._seq}
        for subscription in self._subscriptions:
            subscription.offer(name, frame)

    @contextmanager
    def subscribe(self, wanted: frozenset[str] = frozenset()) -> Iterator[Subscription]:
        """Open a subscription; an empty set means every event."""
        subscription = Subscription(wanted)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
