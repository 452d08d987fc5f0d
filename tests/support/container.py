"""The composition root with a memory for a desktop, and what a test does with it."""

import asyncio
from contextlib import asynccontextmanager

from support.audio import write_wav
from support.speech import clips
from v2m.core.di.container import Overrides, build_container
from v2m.core.ipc_protocol import Request
from v2m.domain.delivery import Session
from v2m.infrastructure.desktop.memory import MemoryGuard, MemoryNotifier, MemoryWindows
from v2m.infrastructure.output.memory import MemoryOutput


class NoDesktop:
    """A session without any display."""

    async def current(self, hint):
        return Session()


def private_home(folder, monkeypatch):
    """Point every folder of v2m into `folder`; return settings whose microphone is a WAV file, and what it says."""
    for name in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        (folder / name).mkdir(mode=0o700)
        monkeypatch.setenv(name, str(folder / name))
    monkeypatch.delenv("V2M_SOCKET", raising=False)
    monkeypatch.chdir(folder)
    clip = next(clip for clip in clips() if clip.kind == "speech" and 2 < len(clip.pcm) / 32000 < 5)
    wav = write_wav(folder / "voice.wav", pcm=clip.pcm + bytes(32000 * 2))
    return {"audio.backend": "wav", "audio.wav_path": str(wav)}, clip


@asynccontextmanager
async def contained(arguments, **overrides):
    """Yield a container whose desktop is a list of texts, that list, and the notices."""
    output, clipboard, notifier = MemoryOutput(), MemoryOutput(), MemoryNotifier()
    ports = {"outputs": [output], "clipboard": clipboard, "sessions": NoDesktop(), "notifier": notifier}
    ports |= {"windows": MemoryWindows(), "guard": MemoryGuard()}
    opening = build_container(arguments, shut_down=lambda finish: None, overrides=Overrides(**{**ports, **overrides}))
    async with opening as container, asyncio.TaskGroup() as group:
        jobs = [group.create_task(job()) for job in container.jobs]
        await asyncio.sleep(0)  # they are running when the first command comes
        try:
            yield container, output, notifier
        finally:
            await container.drain(True)
            for job in jobs:
                job.cancel()


def run(arguments, scenario, **overrides):
    """Run a scenario against a container of its own."""

    async def main():
        async with contained(arguments, **overrides) as (container, output, notifier):
            return await scenario(container, output, notifier)

    return asyncio.run(main())


async def ask(container, cmd, **data):
    return await container.dispatch(container.parse(Request(cmd, data)))
