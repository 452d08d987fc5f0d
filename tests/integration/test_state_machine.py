"""Any order of requests: what was not thrown away is typed once, in order, and nothing is left open."""

import asyncio
import itertools
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.audio import murmur, write_wav
from v2m.core.di.container import Overrides, build_container
from v2m.core.ipc_protocol import Request
from v2m.domain.delivery import Session
from v2m.domain.dictation import FINAL, Phase
from v2m.domain.errors import V2mError
from v2m.infrastructure.capture.wav_file import WavFileMicrophone
from v2m.infrastructure.desktop.memory import MemoryGuard, MemoryNotifier, MemoryWindows
from v2m.infrastructure.engines.scripted import ScriptedTranscriber
from v2m.infrastructure.history.memory import MemoryHistory
from v2m.infrastructure.output.memory import MemoryOutput

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

REQUESTS = ["START_RECORDING", "STOP_RECORDING", "ABORT_RECORDING", "TOGGLE_RECORDING", "PAUSE_DAEMON", "RESUME_DAEMON"]
PRESSES = ["start", "stop", "abort", "toggle"]
STEPS = st.lists(st.tuples(st.sampled_from(REQUESTS + PRESSES), st.sampled_from([0, 0.005, 0.03])), max_size=25)


class NoDesktop:
    """A session without any display."""

    async def current(self, hint):
        return Session()


async def walk(folder: Path, steps) -> tuple[list[str], list, list[Path]]:
    """Ask for everything at these intervals, end, and return what was typed, the rows, and the audio that is left."""
    output, history = MemoryOutput(), MemoryHistory()
    microphone = WavFileMicrophone(write_wav(folder / "voice.wav", pcm=murmur(1.0)))
    ports = Overrides(
        microphone=microphone,
        transcriber=ScriptedTranscriber(["text {n}"], delay_s=0.01),
        outputs=[output],
        clipboard=MemoryOutput(),
        sessions=NoDesktop(),
        windows=MemoryWindows(),
        guard=MemoryGuard(),
        history=history,
        notifier=MemoryNotifier(),
    )
    arguments = {"audio.min_recording_ms": 10, "paths.state_dir": str(folder)}
    clock = itertools.count(10**10, 3 * 10**9)  # presses of a patient user: no race rule applies
    opening = build_container(arguments, shut_down=lambda finish: None, overrides=ports)
    async with opening as container, asyncio.TaskGroup() as group:
        jobs = [group.create_task(job()) for job in container.jobs]

        async def ask(name):
            data = {"wait": False} if name in ("STOP_RECORDING", "TOGGLE_RECORDING") else {}
            try:
                await container.dispatch(container.parse(Request(name, data)))
            except V2mError:
                pass  # a refusal is an answer

        for name, pause in steps:
            if name in REQUESTS:
                await ask(name)
            else:
                container.hotkey.press(name, next(clock), lambda error: None)
            await asyncio.sleep(pause)
        async with asyncio.timeout(20):
            await container.drain(True)
        assert container.dictations.recording is None
        assert container.dictations.queue == 0
        rows = await history.entries(limit=1000)
        for job in jobs:
            job.cancel()
    return output.texts, list(reversed(rows)), sorted((folder / "spool").glob("dictation-*"))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_every_order_of_requests_ends_with_each_dictation_typed_once_or_thrown_away(steps):
    with tempfile.TemporaryDirectory(prefix="v2m") as folder:
        typed, rows, audio = asyncio.run(walk(Path(folder), steps))
        assert all(row.phase in FINAL for row in rows)
        assert typed == [row.text for row in rows if row.phase is Phase.DELIVERED]
        assert len(set(typed)) == len(typed)
        kept = {row.spool for row in rows if row.spool}
        assert {str(path) for path in audio} == kept
        assert not any(row.spool or row.text for row in rows if row.phase in (Phase.ABORTED, Phase.DISCARDED))


def test_a_walk_can_be_long():
    steps = [("start", 0.02), ("stop", 0.02)] * 40
    with tempfile.TemporaryDirectory(prefix="v2m") as folder:
        began = time.monotonic()
        typed, rows, _ = asyncio.run(walk(Path(folder), steps))
    assert typed == [f"text {number}" for number in range(1, 41)]
    assert len(rows) == 40
    assert time.monotonic() - began < 60
