"""The disk fills up while somebody speaks: microphone, speech process and daemon go on, and what is lost is known."""

import asyncio
import contextlib
import os
import signal
import struct
import subprocess
import sys
import time
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.audio import write_wav
from support.daemon import Home, new_home, running_daemon, wait_until
from support.mounts import fill, on_small_disk
from support.pipewire import PipewireSession
from support.speech import RATE, hum, running, silence, until, wheel_clips, word_error_rate
from v2m.domain import audio
from v2m.domain.audio import SPOOL_HEADER_BYTES
from v2m.domain.ports import TranscribeOptions
from v2m.infrastructure import _spool_writer
from v2m.infrastructure._spool import SpoolDirectory, SpoolReader
from v2m.infrastructure._spool_writer import MappedSpool
from v2m.infrastructure.capture.pipewire import PipewireMicrophone

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]


def speech() -> tuple[bytes, str]:
    """Return the utterances of one speaker and what they say."""
    clips = [clip for clip in wheel_clips() if clip.id.startswith("two_cities")][:3]
    return b"".join(clip.pcm for clip in clips), " ".join(clip.text for clip in clips)


# Two seconds are reserved ahead instead of five minutes, so that the end of the file is reached in a test.
SHORT_BYTES = 1 << 16
FILE_S = 2 * SHORT_BYTES / 2 / RATE  # the reserve and the step with which it is made
SHORT_RESERVE = f"""
import sys
from v2m.infrastructure import _spool_writer
_spool_writer._POPULATED_AHEAD_BYTES = _spool_writer._RESERVED_AHEAD_BYTES = {SHORT_BYTES}
from v2m.main import main
sys.exit(main(["--daemon"]))
"""


@contextlib.contextmanager
def almost_at_the_end_of_its_file(folder: Path, before: int) -> Iterator[tuple[SpoolDirectory, MappedSpool, int]]:
    """Yield a spool whose file has room for `before` more samples on a full disk, and where that is."""
    with SpoolDirectory(folder / "spool", max_recording_s=1200, on_degraded=print) as store:
        spool = store.take(5)
        fill(folder)
        end = round(spool.seconds_left()[0] * RATE)
        assert spool.append(silence((end - before) / RATE)) == end - before
        wait_until(lambda: spool.continued, what="the memory to be ready")
        yield store, spool, end


# --- the speech process -------------------------------------------------------------------------------


def somebody_speaks_across_the_end(folder: Path) -> None:
    _spool_writer._POPULATED_AHEAD_BYTES = _spool_writer._RESERVED_AHEAD_BYTES = SHORT_BYTES
    pcm, text = speech()

    async def scene(store: SpoolDirectory, spool: MappedSpool, end: int) -> None:
        async with running() as transcriber:
            utterance = transcriber.open(5, spool.reader_fds(), TranscribeOptions())
            spool.append(pcm[: 4 * 2 * RATE])
            assert spool.head > end
            await until(lambda: utterance.speech_until > end)
            pid = transcriber.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            spool.append(pcm[4 * 2 * RATE :])
            spool.close()
            heard = await utterance.finish(spool.head)
            assert transcriber.pid != pid
            assert heard.duration_s == spool.head / RATE, "to the sample"
            assert word_error_rate([(text, heard.text)]) <= 0.1, heard.text
            assert spool.path is not None
            again = transcriber.open(5, store.open_reader(spool.path), TranscribeOptions())
            assert (await again.finish(store.samples(spool.path))).text == heard.text

    with almost_at_the_end_of_its_file(folder, RATE) as prepared:
        asyncio.run(scene(*prepared))


def test_what_is_said_across_the_end_of_the_file_is_text_though_the_speech_process_dies(tmp_path: Path) -> None:
    on_small_disk(somebody_speaks_across_the_end, tmp_path)


# --- the C callback -----------------------------------------------------------------------------------


def pipewire_records_across_the_end(folder: Path) -> None:
    async def scene(spool: MappedSpool, end: int) -> None:
        microphone = PipewireMicrophone()
        recording = await microphone.open(spool)
        await until(lambda: spool.head > end + 2 * RATE)
        report = await recording.close()
        await microphone.aclose()
        assert (report.overrun, report.gap, report.lost) == (0, False, None)

    with almost_at_the_end_of_its_file(folder, 2 * RATE) as (_, spool, end):
        asyncio.run(scene(spool, end))
        assert spool.continued
        with SpoolReader(*spool.reader_fds()) as reader:
            tone = array("h", bytes(reader.pcm(end - RATE, end + RATE)))
        assert len(tone) == 2 * RATE
        assert all(max(tone[at : at + RATE // 10]) > 1000 for at in range(0, len(tone), RATE // 10)), "it was heard"
        near = tone[RATE - 200 : RATE + 200]
        bend = max(abs(near[at] - 2 * near[at + 1] + near[at + 2]) for at in range(len(near) - 2))
        assert bend < 100, "a tone, without a step where the file ends"
        spool.delete()


def test_the_callback_writes_on_where_the_file_ends_on_a_full_disk(tmp_path: Path) -> None:
    tone = write_wav(tmp_path / "tone.wav", pcm=hum(40))
    (tmp_path / "disk").mkdir()
    with PipewireSession() as session, session.feeding(tone):
        on_small_disk(pipewire_records_across_the_end, tmp_path / "disk", env=session.env)


# --- the daemon ---------------------------------------------------------------------------------------


class Disk:
    """A mount namespace in which the spool directory of a home is on a disk with room for one short reserve."""

    def __init__(self, home: Home) -> None:
        self.folder = home.state / "v2m" / "spool"
        self.folder.mkdir(mode=0o700, parents=True)
        mount = 'mount -t tmpfs -o mode=700,size=160k none "$1" && exec cat'
        self._holder = subprocess.Popen(["unshare", "-m", "sh", "-c", mount, "sh", self.folder], stdin=subprocess.PIPE)
        wait_until(lambda: self.folder in self._mounts() or self._holder.poll() is not None, what="the mount")
        self.inside = ["nsenter", "-m", "-t", str(self._holder.pid)]

    def _mounts(self) -> list[Path]:
        lines = Path(f"/proc/{self._holder.pid}/mounts").read_text().splitlines()
        return [Path(line.split()[1].encode().decode("unicode_escape")) for line in lines]

    def make_room(self) -> None:
        subprocess.run([*self.inside, "mount", "-o", "remount,size=8m", self.folder], check=True)

    def boundary(self) -> int:
        """Return from which sample the one recording is in memory, 0: it is not."""
        place = Path(f"/proc/{self._holder.pid}/root") / self.folder.relative_to("/")
        (path,) = place.glob("dictation-*")
        with path.open("rb") as file:
            header = file.read(SPOOL_HEADER_BYTES)
        return int(struct.unpack_from("=Q", header, audio.OFFSET_CONTINUED_AT)[0])

    def close(self) -> None:
        assert self._holder.stdin is not None
        self._holder.stdin.close()
        self._holder.wait()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    if os.getuid() != 0:
        pytest.skip("needs root to mount; runs in CI")
    wav = write_wav(tmp_path / "voice.wav", pcm=speech()[0])
    with new_home(V2M_AUDIO__BACKEND="wav", V2M_AUDIO__WAV_PATH=str(wav)) as home:
        yield home


@pytest.fixture
def disk(home: Home) -> Iterator[Disk]:
    disk = Disk(home)
    yield disk
    disk.close()


def row(home: Home, dictation: int) -> dict:
    return next(entry for entry in home.history() if entry["dictation"] == dictation)


def status(home: Home) -> dict:
    return home.ask("GET_STATUS")["data"]


def assert_says(text: str, answer: dict) -> None:
    heard = answer["data"]["transcription"]
    assert word_error_rate([(text, heard)]) <= 0.1, heard


def test_a_dictation_that_outgrows_the_disk_is_text_and_comes_back_to_the_disk(home: Home, disk: Disk) -> None:
    pcm, text = speech()
    with running_daemon(home, argv=[*disk.inside, sys.executable, "-c", SHORT_RESERVE]) as daemon:
        dictation = home.ask("START_RECORDING")["data"]["dictation"]
        wait_until(lambda: status(home)["recording"]["seconds"] > FILE_S + 2, what="the end of the file")
        assert "in memory" in status(home)["degraded"]["storage"]
        os.kill(daemon.worker_pid(), signal.SIGKILL)
        wait_until(lambda: status(home)["recording"]["seconds"] > len(pcm) / 32000 + 0.2, what="the last word")
        assert_says(text, home.ask("STOP_RECORDING", deliver="none"))
        assert row(home, dictation)["duration_s"] > len(pcm) / 32000
        assert disk.boundary() == FILE_S * RATE
        assert "storage" in status(home)["degraded"]
        assert_says(text, home.ask("RETRY_DICTATION", dictation=dictation, deliver="none"))

        disk.make_room()
        home.ask("RETRY_DICTATION", dictation=dictation, deliver="none")
        wait_until(lambda: disk.boundary() == 0, what="the whole recording on the disk")
        wait_until(lambda: "storage" not in status(home)["degraded"], what="the notice to be taken back")
        daemon.kill()
    with running_daemon(home, argv=[*disk.inside, sys.executable, "-m", "v2m.main", "--daemon"]):
        assert_says(text, home.ask("RETRY_DICTATION", dictation=dictation, deliver="none"))


def test_kill_of_the_daemon_costs_what_was_in_memory_only(home: Home, disk: Disk) -> None:
    command = [*disk.inside, sys.executable, "-c", SHORT_RESERVE]
    with running_daemon(home, argv=command) as daemon:
        dictation = home.ask("START_RECORDING")["data"]["dictation"]
        wait_until(lambda: status(home)["recording"]["seconds"] > FILE_S + 2, what="the end of the file")
        daemon.kill()
    with running_daemon(home, argv=command):
        assert row(home, dictation)["duration_s"] == round(FILE_S, 3)
        again = home.ask("RETRY_DICTATION", dictation=dictation, deliver="none")["data"]["transcription"]
        assert again.lower().startswith("it was the best of times"), again


def test_the_next_recording_on_the_disk_takes_the_notice_back(home: Home, disk: Disk) -> None:
    with running_daemon(home, argv=[*disk.inside, sys.executable, "-c", SHORT_RESERVE]):
        home.ask("START_RECORDING")
        wait_until(lambda: "storage" in status(home)["degraded"], what="a notice")
        home.ask("ABORT_RECORDING")
        disk.make_room()
        home.ask("START_RECORDING")
        wait_until(lambda: "storage" not in status(home)["degraded"], what="the notice to be taken back")
        time.sleep(0.4)  # more than a tap
        home.ask("ABORT_RECORDING")
