"""A spool keeps every sample that was stored: in a file that survives a crash, or in memory when the disk refuses."""

import contextlib
import ctypes
import mmap
import os
import resource
import signal
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from support.daemon import wait_until
from support.mounts import on_small_disk, with_mounts
from v2m.domain import audio
from v2m.domain.audio import SPOOL_HEADER_BYTES, SpoolFlag
from v2m.domain.errors import StorageError
from v2m.infrastructure._spool import SpoolDirectory, SpoolReader
from v2m.infrastructure._spool_writer import MappedSpool

pytestmark = pytest.mark.integration

SECOND = os.urandom(2 * 16_000)
LAYOUT_IN_C = Path(__file__).resolve().parents[2] / "native" / "capture" / "spool.h"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SpoolDirectory]:
    with SpoolDirectory(tmp_path / "state" / "spool", max_recording_s=600, on_degraded=pytest.fail) as store:
        yield store


def read_all(fds: Sequence[int]) -> bytes:
    with SpoolReader(*fds) as reader:
        return bytes(reader.pcm(0, reader.head))


def test_the_worker_reads_what_has_been_stored_while_it_is_stored(store: SpoolDirectory) -> None:
    spool = store.take(42)
    with SpoolReader(*spool.reader_fds()) as reader:
        assert reader.dictation == 42
        assert reader.head == 0
        for seconds in range(1, 4):
            assert spool.append(SECOND) == 16_000
            assert reader.head == spool.head == seconds * 16_000
        with reader.pcm(16_000, 10**9) as pcm:
            assert bytes(pcm) == SECOND * 2, "never past the head"
        assert bytes(reader.pcm(5, 3)) == b""
        spool.close()
        assert bytes(reader.pcm(0, 16_000)) == SECOND, "a closed recording stays readable"


def test_a_recording_longer_than_what_was_prepared_is_kept_whole(store: SpoolDirectory) -> None:
    spool = store.take(1)
    for _ in range(400):  # beyond the first reserve of 5 minutes
        assert spool.append(SECOND) == 16_000
    assert spool.overrun == 0
    assert read_all(spool.reader_fds()) == SECOND * 400
    spool.close()


def test_beyond_the_longest_recording_samples_are_counted_not_written(tmp_path: Path) -> None:
    with SpoolDirectory(tmp_path / "spool", max_recording_s=1, on_degraded=pytest.fail) as store:
        spool = store.take(1)
        for _ in range(40):
            spool.append(SECOND)
        assert spool.head == spool.capacity
        assert spool.overrun == 40 * 16_000 - spool.capacity
        spool.close()


def test_only_the_user_may_read_recordings(store: SpoolDirectory) -> None:
    spool = store.take(1)
    assert spool.path is not None
    assert stat.S_IMODE(spool.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(spool.path.parent.stat().st_mode) == 0o700
    for fd in spool.reader_fds():
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.write(fd, b"x")
        os.close(fd)
    spool.close()


def test_a_folder_that_was_open_to_others_is_closed(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    folder.mkdir(mode=0o777)
    with SpoolDirectory(folder, max_recording_s=60, on_degraded=pytest.fail):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_symbolic_links_are_not_followed(tmp_path: Path, store: SpoolDirectory) -> None:
    elsewhere, told = tmp_path / "elsewhere", []
    elsewhere.mkdir()
    (tmp_path / "link").symlink_to(elsewhere)
    with SpoolDirectory(tmp_path / "link", max_recording_s=60, on_degraded=told.append) as linked:
        spool = linked.take(1)
        assert spool.path is None
        assert told
        spool.close()
    assert not list(elsewhere.iterdir())
    kept = store.take(2)
    kept.append(SECOND)
    kept.close()
    assert kept.path is not None
    alias = tmp_path / "alias.spool"
    alias.symlink_to(kept.path)
    with pytest.raises(StorageError):
        store.open_reader(alias)


def test_a_private_recording_is_in_no_file(store: SpoolDirectory, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    spool = store.take(1, private=True)
    assert spool.path is None
    spool.append(SECOND)
    assert read_all(spool.reader_fds()) == SECOND
    assert {path for path in tmp_path.rglob("*") if "spare" not in path.name} <= before
    spool.delete()


def test_a_closed_recording_takes_no_more_room_than_its_audio(store: SpoolDirectory) -> None:
    spool = store.take(1)
    spool.append(SECOND)
    spool.close()
    spool.close()
    assert spool.path is not None
    path = spool.path
    wait_until(lambda: path.stat().st_size == SPOOL_HEADER_BYTES + len(SECOND), what="the file to be cut")
    wait_until(lambda: path.stat().st_blocks * 512 < 2 * len(SECOND), what="its room to be given back")
    assert store.samples(path) == 16_000
    assert read_all(store.open_reader(path)) == SECOND
    assert spool.head == 16_000, "a closed spool still says what it holds"
    assert spool.append(SECOND) == 0


def test_deleting_leaves_nothing_and_twice_is_fine(store: SpoolDirectory) -> None:
    spool = store.take(1)
    spool.append(SECOND)
    assert spool.path is not None
    spool.delete()
    spool.delete()
    assert not spool.path.exists()
    store.delete(spool.path)
    with pytest.raises(StorageError) as failure:
        store.open_reader(spool.path)
    assert failure.value.hint


def test_peak_level_and_times_are_in_the_header(store: SpoolDirectory) -> None:
    spool = store.take(1)
    assert (spool.peak, spool.first_sample_ns) == (0, 0)
    before = time.monotonic_ns()
    spool.append(struct.pack("<3h", 5, -32768, 7))
    assert spool.peak == spool.take_level() == 32768
    assert spool.take_level() == 0
    spool.append(struct.pack("<2h", -3, 2))
    assert (spool.peak, spool.take_level()) == (32768, 3)
    assert before <= spool.first_sample_ns <= spool.last_sample_ns <= time.monotonic_ns()
    spool.set_flags(SpoolFlag.GAP)
    spool.set_flags(SpoolFlag.ABORTED)
    assert spool.flags == SpoolFlag.GAP | SpoolFlag.ABORTED
    spool.close()


CORRUPTIONS: dict[str, Callable[[bytearray], bytes]] = {
    "empty": lambda _: b"",
    "shorter than its header": lambda whole: bytes(whole[:4095]),
    "a wave file": lambda whole: b"RIFF" + bytes(whole[4:]),
    "of a later version": lambda whole: bytes(whole[:8]) + struct.pack("<I", 2) + bytes(whole[12:]),
    "of another rate": lambda whole: bytes(whole[:12]) + struct.pack("<I", 48_000) + bytes(whole[16:]),
}


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_a_file_that_is_no_recording_is_refused(kind: str, store: SpoolDirectory, tmp_path: Path) -> None:
    spool = store.take(1)
    spool.append(SECOND)
    spool.close()
    assert spool.path is not None
    bad = spool.path.with_name("bad.spool")
    bad.write_bytes(CORRUPTIONS[kind](bytearray(spool.path.read_bytes())))
    for act in (store.open_reader, store.samples):
        with pytest.raises(StorageError):
            act(bad)
    with pytest.raises(StorageError):
        SpoolReader(os.open(bad, os.O_RDONLY))
    assert bad not in [orphan[0] for orphan in store.orphans(set())]
    assert bad.exists(), "what is not ours is left alone"


def test_a_head_beyond_the_file_is_not_believed(store: SpoolDirectory) -> None:
    spool = store.take(1)
    spool.append(SECOND)
    spool.close()
    assert spool.path is not None
    path = spool.path
    wait_until(lambda: path.stat().st_size == SPOOL_HEADER_BYTES + len(SECOND), what="the file to be cut")
    with path.open("r+b") as file:
        file.seek(audio.OFFSET_HEAD)
        file.write(struct.pack("<Q", 2**63))
    assert store.samples(path) == 16_000
    assert read_all(store.open_reader(path)) == SECOND


def test_special_files_do_not_hang(store: SpoolDirectory, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.spool")
    for path in (tmp_path / "pipe.spool", tmp_path, Path("/dev/zero")):
        with pytest.raises(StorageError):
            store.open_reader(path)


WRITER = """
import os, sys, time
from pathlib import Path
from v2m.infrastructure._spool import SpoolDirectory
store = SpoolDirectory(Path(sys.argv[1]), max_recording_s=600, on_degraded=print)
store.open()
spool = store.take(9)
second = bytes(range(256)) * 125
print(spool.path, flush=True)
while True:
    spool.append(second[:3200])
    print(spool.head, flush=True)
"""


def test_kill_9_in_the_middle_of_a_recording_loses_nothing_that_was_stored(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    with writer(folder) as child:
        assert child.stdout is not None
        path = Path(child.stdout.readline().strip())
        stored = [int(child.stdout.readline()) for _ in range(500)][-1]
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    with SpoolDirectory(folder, max_recording_s=600, on_degraded=pytest.fail) as store:
        ((found, samples, started_ns),) = store.orphans(set())
        assert found == path
        assert samples >= stored
        assert abs(started_ns - time.time_ns()) < 60e9
        whole = (bytes(range(256)) * 125)[:3200] * (samples // 1600 + 1)
        assert read_all(store.open_reader(path)) == whole[: 2 * samples]
        assert store.orphans({str(path)}) == []
        spares = [each for each in folder.iterdir() if each != path]
        assert len(spares) == 1, "the spare of the dead daemon is cleared away, ours is there"


def test_open_and_spare_spools_are_no_orphans(store: SpoolDirectory) -> None:
    spool = store.take(1)
    spool.append(SECOND)
    assert store.orphans(set()) == []
    assert spool.path is not None
    spool.close()
    assert [orphan[:2] for orphan in store.orphans(set())] == [(spool.path, 16_000)]


def test_a_folder_that_cannot_be_written_means_memory_and_a_word_to_the_user(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    told: list[str] = []
    with SpoolDirectory(tmp_path / "file" / "spool", max_recording_s=60, on_degraded=told.append) as store:
        spool = store.take(1)
        assert spool.path is None
        assert spool.append(SECOND) == 16_000
        assert read_all(spool.reader_fds()) == SECOND
        assert len(told) == 1
        assert str(tmp_path) in told[0]
        spool.close()


def test_a_spare_whose_file_is_gone_is_not_used(store: SpoolDirectory, tmp_path: Path) -> None:
    for path in (tmp_path / "state" / "spool").iterdir():
        path.unlink()
    spool = store.take(1)
    assert spool.path is not None
    assert spool.path.exists()
    spool.close()


def test_a_spare_is_ready_for_the_next_recording(store: SpoolDirectory, tmp_path: Path) -> None:
    spool = store.take(1)
    wait_until(lambda: list((tmp_path / "state" / "spool").glob("spare-*")), what="the next spare")
    spool.close()


def test_nothing_runs_while_nothing_records(store: SpoolDirectory) -> None:
    spool = store.take(1)
    spool.append(SECOND)
    spool.close()
    thread = next(thread for thread in threading.enumerate() if thread.name == "v2m-spool")
    switches = f"/proc/self/task/{thread.native_id}/status"

    def woken() -> int:
        return sum(int(line.split()[1]) for line in Path(switches).read_text().splitlines() if "ctxt" in line)

    def quiet() -> bool:
        before = woken()
        time.sleep(0.5)
        return woken() == before

    wait_until(quiet, what="the helper thread to sleep")
    before = woken()
    time.sleep(1.5)  # longer than its period while recording
    assert woken() == before


def test_pages_are_there_before_they_may_be_written(store: SpoolDirectory) -> None:
    spool = store.take(1)
    allocated = 2 * struct.unpack("<Q", ctypes.string_at(spool.header_address + audio.OFFSET_ALLOCATED, 8))[0]
    pages = (SPOOL_HEADER_BYTES + allocated) // mmap.PAGESIZE
    resident = (ctypes.c_ubyte * pages)()
    libc = ctypes.CDLL(None)
    assert libc.mincore(ctypes.c_void_p(spool.header_address), pages * mmap.PAGESIZE, resident) == 0
    assert allocated >= 2 * 16_000 * 30
    assert all(page & 1 for page in resident)
    spool.close()


def recording_begins_on_a_full_disk(folder: Path) -> None:
    told: list[str] = []
    with SpoolDirectory(folder / "spool", max_recording_s=600, on_degraded=told.append) as store:
        spool = store.take(1)
        assert spool.path is None
        for _ in range(60):
            assert spool.append(SECOND) == 16_000
        assert read_all(spool.reader_fds()) == SECOND * 60
        spool.close()
    assert len(told) == 1
    print(told[0])


def test_a_disk_that_is_full_at_the_start_costs_no_word(tmp_path: Path) -> None:
    assert "memory" in on_small_disk(recording_begins_on_a_full_disk, tmp_path, size="1m")


READ_ONLY_FOLDER = """
import os, subprocess, sys, time
from pathlib import Path
from v2m.domain.errors import StorageError
from v2m.infrastructure._spool import SpoolDirectory, SpoolReader
from v2m.infrastructure._spool_writer import MappedSpool

def refused(act):
    try:
        act()
    except StorageError as error:
        assert error.hint
        return
    raise AssertionError("nothing was said")

folder, told = Path(sys.argv[1]) / "spool", []
second = os.urandom(32000)
with SpoolDirectory(folder, max_recording_s=600, on_degraded=told.append) as store:
    kept, unwanted = store.take(1), store.take(2)
    for spool in (kept, unwanted):
        assert spool.append(second) == 16000
    deadline = time.monotonic() + 10
    while not list(folder.glob("spare-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    # A mount over it: what is open stays writable, every name in it is read-only.
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
    assert kept.append(second) == 16000
    kept.close()
    kept.close()
    for _ in range(2):
        refused(unwanted.delete)
        assert unwanted.closed
    refused(lambda: store.delete(kept.path))
    store.delete(folder / "gone.spool")
    with SpoolReader(*store.open_reader(kept.path)) as reader:
        assert bytes(reader.pcm(0, reader.head)) == second * 2
    assert len(store.orphans(set())) == 2
    later = store.take(3)
    assert later.path is None and later.append(second) == 16000
    later.delete()
print(*told)
"""


def test_a_folder_that_becomes_read_only_while_somebody_speaks_costs_no_word(tmp_path: Path) -> None:
    assert "memory" in with_mounts('exec "$2" -c "$3" "$1"', tmp_path, READ_ONLY_FOLDER)


def test_too_many_open_files_only_put_off_the_sync() -> None:
    spool = MappedSpool(
        os.memfd_create("spool"), None, capacity=60 * 16_000, on_close=lambda _spool, leftover: leftover.close()
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
    try:
        assert spool.maintain() is None
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert spool.append(SECOND) == 16_000
    spool.close()


def test_the_c_callback_and_python_agree_on_the_layout() -> None:
    source = LAYOUT_IN_C.read_text()
    for name in ("HEAD", "ALLOCATED", "OVERRUN", "FIRST_NS", "LAST_NS", "PEAK", "LEVEL", "PREROLL"):
        assert f"#define OFFSET_{name} {getattr(audio, f'OFFSET_{name}')}\n" in source
    assert f"#define HEADER_BYTES {audio.SPOOL_HEADER_BYTES}\n" in source
    assert f"#define RATE_HZ {audio.SAMPLE_RATE_HZ}\n" in source
    assert f"#define SAMPLE_BYTES {audio.SAMPLE_BYTES}\n" in source


@contextlib.contextmanager
def writer(folder: Path) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()
