"""`v2m stop --pipe`: the text on standard output while it is still being decoded, and nothing else."""

import sys
from typing import Any, Final

from v2m.client import AsyncClient, ClientError
from v2m.ui import ask

PIPED: Final = ("STOP_RECORDING", "TOGGLE_RECORDING")
CHANGED: Final = "The text was changed after a part of it was printed; the last line is the whole text."


class Printed:
    """What of the open dictation's text stands on standard output already."""

    def __init__(self) -> None:
        self._dictation: int | None = None
        self._text = ""
        self._broken: BrokenPipeError | None = None

    def about(self, dictation: int | None) -> None:
        """Listen to this dictation from now on."""
        self._dictation = dictation

    def heard(self, partial: dict[str, Any]) -> None:
        """Print what has become stable; never raises: whoever stops reading must not keep us from stopping."""
        if self._dictation is None or partial.get("dictation") != self._dictation:
            return
        stable = str(partial.get("text", ""))[: int(partial.get("stable", 0))]
        ready = stable[: max(0, stable.rfind(" "))]  # a rule may still change the end of a word
        if len(ready) > len(self._text) and ready.startswith(self._text):
            self._put(ready)

    def ends(self, text: str | None) -> bool:
        """Print the rest and a line break; False when all is printed anew, since it is not what had been promised.

        None: there will be no text; what was begun gets its line break. Raises BrokenPipeError.
        """
        as_promised = text is None or text.startswith(self._text)
        if not as_promised:
            self._put(self._text + "\n")
            self._text = ""
        whole = self._text if text is None else text
        if whole or self._text:
            self._put(whole + "\n")
        if self._broken is not None:
            raise self._broken
        return as_promised

    def _put(self, text: str) -> None:
        """Print what is new."""
        fresh, self._text = text[len(self._text) :], text
        if self._broken is None:
            try:
                sys.stdout.write(fresh)
                sys.stdout.flush()
            except BrokenPipeError as error:
                self._broken = error


def run(cmd: str, data: dict[str, Any]) -> int:
    """Stop, print the text as it becomes stable, return the exit status. Raises UsageError, BrokenPipeError."""
    if data.get("wait") is False:
        raise ask.UsageError("--pipe prints the text, so it waits for it.", "v2m stop --pipe")
    import asyncio

    printed = Printed()
    reply = asyncio.run(_stop(cmd, ask.complete(cmd, {**data, "deliver": "none"}), printed))
    text = reply.get("data", {}).get("transcription") if reply.get("status") == "success" else None
    as_promised = printed.ends(text)
    if text is None:
        return ask.show(cmd, reply, as_json=False)
    if not as_promised:
        ask.complain(CHANGED, None)
    return 0


async def _stop(cmd: str, data: dict[str, Any], printed: Printed) -> dict[str, Any]:
    """Listen, then stop, so that no word is missed; return the whole answer."""
    import asyncio

    listening = asyncio.Event()

    async def listen() -> None:
        try:
            async for event in AsyncClient().events(["partial"]):
                if event["event"] == "snapshot":
                    printed.about((event["data"].get("recording") or {}).get("dictation"))
                    listening.set()
                else:
                    printed.heard(event["data"])
        except ClientError:  # the answer tells what is wrong; without events the text comes in one piece
            pass
        finally:
            listening.set()

    async with asyncio.TaskGroup() as group:
        listener = group.create_task(listen())
        await listening.wait()
        try:
            async with AsyncClient() as client:
                reply = await client.request(cmd, data)
        except ClientError as error:
            reply = ask.refusal(error)
        listener.cancel()
    return reply
