"""A microphone that exists only in PipeWire, and a recording that is played into it."""

import asyncio
import os
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from v2m.domain.errors import CaptureError, CaptureReason
from v2m.infrastructure._run import companion, find_tool, run
from v2m.local._waiting import until

TOOLS: Final = ("pw-cli", "pw-link", "pw-play")
ANSWER_S: Final = 2.0  # PipeWire answers within 20 ms; a client of one that hangs waits for ever
APPEAR_S: Final = 5.0
RESTART: Final = "systemctl --user restart pipewire wireplumber"
PACKAGE: Final = "apt install pipewire-bin"
# Never the default microphone of anybody: the lowest priority, and no session manager chooses a virtual source then.
_NODE: Final = (
    "create-node adapter {{ factory.name=support.null-audio-sink node.name={name} node.description={name}"
    " media.class=Audio/Source/Virtual audio.rate=48000 audio.position=[ MONO ] priority.session=1"
    " priority.driver=1 }}\n"
)


async def find_sound_server() -> str:
    """Return how PipeWire names itself. Raises CaptureError when it does not answer, or its tools are missing."""
    if missing := next((tool for tool in TOOLS if find_tool(tool) is None), None):
        raise CaptureError(f"{missing} is missing.", reason=CaptureReason.NO_SERVER, hint=PACKAGE)
    try:
        told = await run(["pw-cli", "info", "0"], timeout_s=ANSWER_S)
    except (TimeoutError, OSError) as error:
        raise _no_server() from error
    if told.status != 0 or b"version" not in told.stdout:
        raise _no_server()
    line = next(line for line in told.stdout.decode("utf-8", "replace").splitlines() if "version" in line)
    return f"PipeWire {line.partition(':')[2].strip().strip(chr(34))}"


class VirtualMicrophone:
    """A microphone by its name in the graph."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def play(self, wav: Path, *, duration_s: float) -> None:
        """Play a mono recording into the microphone, to its end.

        Raises:
            CaptureError: it cannot be linked.
        """
        feed = f"{self.name}_feed"
        # A playback stream is never linked to a virtual source by the session manager; it starts once it is linked.
        properties = f"{{ node.name = {feed} node.autoconnect = false }}"
        argv = ["pw-play", "--target", "0", "--quality", "10", "-P", properties, str(wav)]
        async with companion(argv) as player:
            if not await until(lambda: self._link(feed), APPEAR_S):
                raise CaptureError(
                    "The recording could not be played into the virtual microphone.",
                    reason=CaptureReason.NO_DEVICE,
                    hint=RESTART,
                )
            try:
                async with asyncio.timeout(duration_s + ANSWER_S):
                    await player.wait()
            except TimeoutError as error:
                raise CaptureError(
                    "PipeWire does not play: its graph stands still.", reason=CaptureReason.SILENT, hint=RESTART
                ) from error

    async def appeared(self) -> bool:
        """Wait until the session manager has taken it in; False when it does not in time."""
        return await until(self._input, APPEAR_S)

    async def _input(self) -> str:
        """Return the port that takes sound; empty while there is none."""
        ports = await _told("pw-link", "--input")
        return next((port for port in ports if port.startswith(f"{self.name}:input_")), "")

    async def _link(self, feed: str) -> bool:
        port = await self._input()
        mine = next((each for each in await _told("pw-link", "--output") if each.startswith(f"{feed}:output_")), "")
        if not (port and mine):
            return False
        return (await run(["pw-link", mine, port], timeout_s=ANSWER_S)).status == 0


@asynccontextmanager
async def virtual_microphone(name: str) -> AsyncIterator[VirtualMicrophone]:
    """Make a microphone; it is gone when this is left, and when this process is killed.

    Raises:
        CaptureError: PipeWire does not make it.
    """
    async with companion(["pw-cli"], stdin=PIPE) as keeper:
        assert keeper.stdin is not None
        keeper.stdin.write(_NODE.format(name=name).encode())
        microphone = VirtualMicrophone(name)
        if not await microphone.appeared():
            raise CaptureError("No virtual microphone could be made.", reason=CaptureReason.NO_DEVICE, hint=RESTART)
        yield microphone
        keeper.stdin.close()


def own_name() -> str:
    """Return a name that no other run of this command has."""
    return f"v2m_loop_{os.getpid()}"


async def _told(*argv: str) -> list[str]:
    try:
        return (await run(argv, timeout_s=ANSWER_S)).stdout.decode("utf-8", "replace").splitlines()
    except (TimeoutError, OSError):
        return []


def _no_server() -> CaptureError:
    return CaptureError("PipeWire does not answer.", reason=CaptureReason.NO_SERVER, hint=RESTART)
