"""What stands in a window of our own, and whether that has the focus; both windows write here."""

import asyncio
from collections.abc import Callable
from typing import Final

QUIET_S: Final = 0.5  # nothing new for so long: what is still missing will not come
SETTLE_S: Final = 0.03  # a second copy of a text would have begun by then: applications answer within 21 ms


class Page:
    """A text with the cursor at its end. Lives on the loop that made it."""

    def __init__(self) -> None:
        self.text = ""
        self.has_focus = False
        self.losses = 0  # how often another window became the active one
        self._changed = asyncio.Event()
        self._watchers: list[Callable[[], None]] = []

    def watch(self, on_text: Callable[[], None]) -> None:
        """Call `on_text` after each change of the text."""
        self._watchers.append(on_text)

    def insert(self, text: str) -> None:
        """Put a text at the end; the Backspace character takes the last one away."""
        for character in text:
            self.text = self.text[:-1] if character == "\b" else self.text + character
        self._tell()

    def erase(self, size_bytes: int) -> None:
        """Take so many bytes of UTF-8 off the end."""
        data = self.text.encode()
        self.text = data[: max(0, len(data) - size_bytes)].decode("utf-8", "ignore")
        self._tell()

    def clear(self) -> None:
        """Begin anew."""
        self.text = ""
        self._tell()

    def set_focus(self, *, has_focus: bool) -> None:
        """Note whether keys come here."""
        self.has_focus = has_focus
        self._changed.set()

    async def focused(self, timeout_s: float) -> bool:
        """Wait for the focus; False when it does not come in time."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self.has_focus:
                    await self._change()
        except TimeoutError:
            return False
        return True

    async def reads(self, expected: str, timeout_s: float) -> str:
        """Return what stands here once that is `expected` and stays so, or nothing new comes any more."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            patience_s = SETTLE_S if self.text == expected else QUIET_S
            left_s = deadline - asyncio.get_running_loop().time()
            if left_s <= 0 or not await self._changes_within(min(patience_s, left_s)):
                return self.text

    def _tell(self) -> None:
        self._changed.set()
        for watcher in self._watchers:
            watcher()

    async def _changes_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._change()
        except TimeoutError:
            return False
        return True

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()
