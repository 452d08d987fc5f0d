"""Print what the daemon does while it does it."""

import asyncio

from v2m.client import AsyncClient


async def main() -> None:
    async with AsyncClient() as v2m:
        async for event in v2m.events():
            print(event["event"], event["data"])


asyncio.run(main())
