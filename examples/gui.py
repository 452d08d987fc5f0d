"""Everything a window for v2m needs, over the socket alone: each line on standard input is a button."""

import asyncio
import json
import sys

from v2m.client import AsyncClient, ClientError


async def watch() -> None:
    """Show what is, then what happens: how loud it is, the words so far, every change of state."""
    async for event in AsyncClient().events():
        match event["event"], event["data"]:
            case "level", now:
                print("level", "#" * max(0, int(now["peak_db"] + 60) // 4), flush=True)
            case "partial", now:
                print("heard", now["text"], flush=True)
            case name, now:
                print(name, json.dumps(now), flush=True)


async def press(v2m: AsyncClient, line: str) -> object:
    """Do what a button does."""
    match line.split(maxsplit=2):
        case ["start" | "stop" | "abort" | "toggle" as verb]:
            return await v2m.call(f"{verb.upper()}_RECORDING")
        case ["undo"]:
            return await v2m.call("UNDO_DELIVERY")
        case ["history", *words]:
            return (await v2m.call("LIST_HISTORY", grep=" ".join(words)))["entries"]
        case ["get", *keys]:
            return (await v2m.call("GET_CONFIG", keys=keys))["settings"]
        case ["set", key, value]:
            return await v2m.call("UPDATE_CONFIG", changes={key: json.loads(value)})
        case _:
            return "start, stop, abort, toggle, undo, history [WORD], get KEY, set KEY JSON"


async def main() -> None:
    watching = asyncio.get_running_loop().create_task(watch())
    async with AsyncClient() as v2m:
        while line := await asyncio.to_thread(sys.stdin.readline):
            try:
                print("answer", json.dumps(await press(v2m, line)), flush=True)
            except (ClientError, ValueError) as error:
                print("refused", error, flush=True)
    watching.cancel()


asyncio.run(main())
