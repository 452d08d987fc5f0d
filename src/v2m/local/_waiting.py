"""Asks again and again, where nobody tells of changes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

POLL_S: Final = 0.02


async def until(holds: Callable[[], Awaitable[object]], seconds: float) -> bool:
    """Ask until it holds; False when it does not in time."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                if await holds():
                    return True
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        return False
