"""Who hears what happens: subscribers, the user, the status; and what is asked before anybody can answer."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from v2m.application.announce import Announcer
from v2m.application.receipts import Receipts
from v2m.application.recorder import Open
from v2m.application.second_thoughts import SecondThoughts
from v2m.application.status import Degradations
from v2m.core.events import EventBus
from v2m.domain.delivery import Placed, Session
from v2m.domain.dictation import Sent
from v2m.domain.events import Degraded
from v2m.domain.ports import Notifier

Job = Callable[[], Awaitable[None]]  # runs as long as the daemon


class Ears:
    """Adapters are opened with these; the use cases fill in what they are asked for."""

    def __init__(self, notifier: Notifier, stack: AsyncExitStack) -> None:
        self.events = EventBus()
        self.announcer = Announcer(notifier)
        stack.push_async_callback(self.announcer.hang_up)
        self.degradations = Degradations()
        self.state_changed: Callable[[], None] = lambda: None  # until there is a state that can change
        self.recording: Callable[[], Open | None] = lambda: None
        self.thoughts: SecondThoughts | None = None
        self.receipts: Receipts | None = None
        self._loop = asyncio.get_running_loop()

    def dictating(self) -> bool:
        """Tell whether a hotkey is held for our own recording, so that it is nothing to lose patience with."""
        opened = self.recording()
        return opened is not None and not opened.wishes.hands_free

    async def typing(self, session: Session) -> None:
        """Pass on that a text is about to go out."""
        if self.thoughts is not None:
            await self.thoughts.typing(session)

    async def typed(self, placed: Placed) -> None:
        """Pass on that a text went out."""
        if self.thoughts is not None:
            await self.thoughts.remember(placed)

    def sent(self, dictation: int, sent: Sent) -> None:
        """Pass on what left the machine."""
        if self.receipts is not None:
            self.receipts.note(dictation, sent)

    def engine_changed(self) -> None:
        """Show the engine's new state."""
        self.state_changed()

    def degraded(self, what: str) -> Callable[[str], None]:
        """Return the listener that makes a weaker promise visible; may be called from any thread."""

        def tell(detail: str) -> None:
            if what not in self.degradations.active:
                self.announcer.say(f"Degraded: {what}", detail, urgent=True)
            self.degradations.note(what, detail)
            self.events.publish(Degraded(what, detail))

        def listen(detail: str) -> None:
            self._loop.call_soon_threadsafe(tell, detail)

        return listen

    def restored(self, what: str) -> Callable[[], None]:
        """Return the listener that takes a notice of `degraded` back; may be called from any thread."""

        def clear() -> None:
            if self.degradations.clear(what):
                self.events.publish(Degraded(what, ""))

        def listen() -> None:
            self._loop.call_soon_threadsafe(clear)

        return listen
