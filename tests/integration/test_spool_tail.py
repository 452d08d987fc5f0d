"""A disk fills up while somebody speaks: the recording goes on in memory, whole for every reader, and comes back."""

import contextlib
import ctypes
import mmap
import os
import re
import signal
import struct
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.daemon import wait_until
from support.mounts import fill, on_small_disk, on_small_ext4, resize
from v2m.domain import audio
from v2m.domain.audio import SPOOL_HEADER_BYTES
from v2m.domain.errors import StorageError
from v2m.infrastructure._spool import SpoolDirectory, SpoolReader
from v2m.infrastructure._spool_tail import Tail, memory_to_spare
from v2m.infrastructure._spool_writer import MappedSpool

pytestmark = pytest.mark.integration

RATE = 16_000
BLOCK_S = 20  # as a WAV file is appended, only more at once


class Disk:
    """A spool directory on the small disk of a scene, and what it told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: list[str] = []
        self.restored = 0
        self.store = SpoolDirectory(
            folder / "spool", max_recording_s=1800, on_degraded=self.told.append, on_restored=self._restored
        )

    def _restored(self) -> None:
        self.restored += 1

    def wait_told(self, count: int) -> str:
        wait_until(lambda: len(self.told) >= count, what="a notice")
        return self.told[count - 1]


def speak(spool: MappedSpool, seconds: int) -> bytes:
    """Append noise, which is never the same twice; nothing of it may be refused."""
    said = []
    for _ in range(0, seconds, BLOCK_S):
        said.append(os.urandom(BLOCK_S * RATE * 2))
        assert spool.append(said[-1]) == BLOCK_S * RATE
    return b"".join(said)


def read_all(fds: Sequence[int]) -> bytes:
    with SpoolReader(*fds) as reader:
        return bytes(reader.pcm(0, reader.head))


def read_file(path: Path) -> bytes:
    """Return what a daemon that knows nothing of the memory finds."""
    return read_all([os.open(path, os.O_RDONLY)])


def boundary(path: Path) -> int:
    """Return from which sample on a recording is not in its file, as the file says; 0: it has everything."""
    with path.open("rb") as file:
        header = file.read(SPOOL_HEADER_BYTES)
    return int(struct.unpack_from("=Q", header, audio.OFFSET_CONTINUED_AT)[0])


def descriptors() -> list[str]:
    """Name what this process has open, but for the folder that is being listed."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return sorted(each for each in found if not each.startswith("/proc/"))


def own_path(spool: MappedSpool) -> Path:
    assert spool.path is not None
    return spool.path


# --- while it is recorded and after -------------------------------------------------------------------


def recording_outgrows_the_disk(folder: Path) -> None:
    disk = Disk(folder)
    with disk.store as store:
        spool = store.take(1)
        path = own_path(spool)
        with SpoolReader(*spool.reader_fds()) as worker:
            said = speak(spool, 600)
            assert bytes(worker.pcm(0, spool.head)) == said, "a reader that was there before"
            end = boundary(path)
            assert 0 < end < spool.head
            assert bytes(worker.pcm(end - 160, end + 160)) == said[2 * end - 320 : 2 * end + 320]
            assert read_all(spool.reader_fds()) == said, "a reader that comes later"
            assert read_all(spool.reader_fds()[:1]) == said[: 2 * end], "a reader of the file alone"
            assert "continued in memory" in disk.wait_told(1)
            spool.close()
            assert spool.overrun == 0
            assert bytes(worker.pcm(0, 10**9)) == said, "after the end"
        for _ in range(2):
            assert store.samples(path) == len(said) // 2
            assert read_all(store.open_reader(path)) == said, "kept, as for a retry"
        wait_until(lambda: path.stat().st_size == SPOOL_HEADER_BYTES + 2 * end, what="the file to be cut")
        assert read_file(path) == said[: 2 * end]
        assert boundary(path) == end
        assert [found[:2] for found in store.orphans(set())] == [(path, len(said) // 2)]
    assert disk.restored == 0


def test_a_recording_that_outgrows_the_disk_is_whole_for_every_reader(tmp_path: Path) -> None:
    on_small_disk(recording_outgrows_the_disk, tmp_path)


def room_comes_back_after_the_recording(folder: Path) -> None:
    disk = Disk(folder)
    with disk.store as store:
        spool = store.take(1)
        path, said = own_path(spool), speak(spool, 600)
        disk.wait_told(1)
        worker, late = SpoolReader(*spool.reader_fds()), SpoolReader(*spool.reader_fds())
        assert worker.head == spool.head
        spool.close()
        kept = SpoolReader(*store.open_reader(path))
        other = store.take(2)  # its end is an occasion, and so is asking for the audio
        resize(folder, "64m")
        speak(other, BLOCK_S)
        assert disk.restored == 0, "a part is in memory only"
        assert boundary(path) > 0, "nothing is copied while somebody speaks"
        other.close()
        wait_until(lambda: boundary(path) == 0, what="the whole recording in the file")
        wait_until(lambda: disk.restored == 1, what="the notice to be taken back")
        assert read_file(path) == read_all(store.open_reader(path)) == said
        for reader in (worker, late, kept):
            assert bytes(reader.pcm(0, reader.head)) == said, "a reader that was there before"
            reader.close()
    assert [each for each in descriptors() if "tail" in each or ".spool" in each] == []


def test_as_soon_as_there_is_room_the_file_is_made_whole(tmp_path: Path) -> None:
    on_small_disk(room_comes_back_after_the_recording, tmp_path)


def retry_is_an_occasion(folder: Path) -> None:
    disk = Disk(folder)
    with disk.store as store:
        filler = folder / "filler"
        filler.write_bytes(bytes(4 << 20))
        spool = store.take(1)
        path, said = own_path(spool), speak(spool, 400)
        spool.close()
        wait_until(lambda: path.stat().st_size < SPOOL_HEADER_BYTES + len(said), what="the file to be cut")
        filler.unlink()
        for _ in range(2):
            assert read_all(store.open_reader(path)) == said
            wait_until(lambda: boundary(path) == 0, what="the whole recording in the file")


def test_asking_for_the_audio_is_an_occasion_to_make_it_whole(tmp_path: Path) -> None:
    on_small_disk(retry_is_an_occasion, tmp_path)


def room_comes_back_in_time(folder: Path) -> None:
    disk = Disk(folder)
    with disk.store as store:
        spool = store.take(1)
        fill(folder)
        said = speak(spool, 3 * BLOCK_S)
        assert re.search(r"in [56] min this recording is continued in memory", disk.wait_told(1))
        resize(folder, "64m")
        wait_until(lambda: disk.restored == 1, what="the notice to be taken back")
        said += speak(spool, 600)
        assert not spool.continued
        spool.close()
        assert boundary(own_path(spool)) == 0
        assert read_file(own_path(spool)) == said
        assert len(disk.told) == 1


def test_room_that_comes_back_in_time_keeps_the_recording_on_the_disk(tmp_path: Path) -> None:
    on_small_disk(room_comes_back_in_time, tmp_path)


def shutdown_brings_it_back(folder: Path) -> None:
    disk = Disk(folder)
    with disk.store as store:
        spool = store.take(1)
        said = speak(spool, 600)
        assert spool.continued
        spool.close()
        resize(folder, "64m")
    assert read_file(own_path(spool)) == said


def test_the_end_of_the_daemon_is_the_last_occasion(tmp_path: Path) -> None:
    on_small_disk(shutdown_brings_it_back, tmp_path)


# --- what is lost, and what must not stay -------------------------------------------------------------


def daemon_is_killed(folder: Path) -> None:
    said_fd = os.memfd_create("said")
    child = os.fork()
    if child == 0:
        disk = Disk(folder)
        disk.store.open()
        spool = disk.store.take(7)
        os.write(said_fd, speak(spool, 600))
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    said = os.pread(said_fd, 1 << 30, 0)
    with Disk(folder).store as store:
        ((path, samples, _),) = store.orphans(set())
        assert samples == boundary(path) > 300 * RATE
        assert store.samples(path) == samples < len(said) // 2
        assert read_all(store.open_reader(path)) == said[: 2 * samples]


def test_kill_9_of_the_daemon_costs_what_was_in_memory_and_no_more(tmp_path: Path) -> None:
    on_small_disk(daemon_is_killed, tmp_path)


def while_open(_store: SpoolDirectory, spool: MappedSpool) -> None:
    spool.delete()


def when_closed(_store: SpoolDirectory, spool: MappedSpool) -> None:
    spool.close()
    spool.delete()


def by_its_path(store: SpoolDirectory, spool: MappedSpool) -> None:
    spool.close()
    store.delete(own_path(spool))


def deleted_recordings_leave_nothing(folder: Path) -> None:
    disk = Disk(folder)
    with disk.store as store:
        for delete in (while_open, when_closed, by_its_path):
            spool = store.take(1)
            path = own_path(spool)
            speak(spool, 900)
            assert spool.continued
            delete(store, spool)
            delete(store, spool)
            assert not path.exists()
            wait_until(
                lambda path=path: not any(str(path) in each for each in descriptors()), what="the file to be closed"
            )
            spare = [each for each in descriptors() if "tail" in each]
            assert len(spare) <= 1, "of the spare"
            with pytest.raises(StorageError):
                store.open_reader(path)
    assert not any("spool" in each for each in descriptors())


def test_a_deleted_recording_leaves_no_memory(tmp_path: Path) -> None:
    on_small_disk(deleted_recordings_leave_nothing, tmp_path, size="26m")  # for a spare that is being made, too


def test_a_recording_that_fits_leaves_no_memory(tmp_path: Path) -> None:
    before = descriptors()
    with SpoolDirectory(tmp_path / "spool", max_recording_s=60, on_degraded=pytest.fail) as store:
        for number in range(5):
            spool = store.take(number)
            speak(spool, BLOCK_S)
            fds = spool.reader_fds()
            assert len(fds) == 2
            with SpoolReader(*fds) as reader:
                assert reader.head == BLOCK_S * RATE
            spool.close()
    assert descriptors() == before


# --- limits -------------------------------------------------------------------------------------------


def there_is_little_memory(folder: Path) -> None:
    report = folder / "meminfo"
    report.write_text("MemAvailable:       8000 kB\n")
    subprocess.run(["mount", "--bind", report, "/proc/meminfo"], check=True)
    disk = Disk(folder)
    with disk.store as store:
        spool = store.take(1)
        block = os.urandom(BLOCK_S * RATE * 2)
        stored = sum(spool.append(block) for _ in range(60))
        assert stored == spool.head == boundary(own_path(spool)) + 2000 * 1024 // 2
        assert spool.overrun == 60 * BLOCK_S * RATE - stored
        said = (block * 60)[: 2 * stored]
        assert read_all(spool.reader_fds()) == said
        assert spool.seconds_left() == (0, 0)
        assert re.search(r"It can go on for [0-9] min\.", disk.wait_told(1)), disk.told
        spool.close()
        assert read_all(store.open_reader(own_path(spool))) == said


def test_no_more_memory_is_taken_than_can_be_spared(tmp_path: Path) -> None:
    on_small_disk(there_is_little_memory, tmp_path)


def test_a_quarter_of_the_available_memory_may_be_used(tmp_path: Path) -> None:
    report = tmp_path / "meminfo"
    report.write_text("MemTotal:       16000000 kB\nMemFree: 1 kB\nMemAvailable:    8000000 kB\n")
    assert memory_to_spare(report) == 2000000 * 1024
    report.write_text("MemTotal:       16000000 kB\n")
    assert memory_to_spare(report) > 1 << 40
    assert memory_to_spare(tmp_path / "none") > 1 << 40
    assert 0 < memory_to_spare() < 1 << 50


def test_memory_is_taken_up_to_the_limit() -> None:
    size, page = 1 << 20, mmap.PAGESIZE
    place = mmap.mmap(-1, size)
    tail = Tail(size)
    assert tail.limit(page) == size
    with memoryview(place) as view:
        view[:] = b"f" * size
    anchor = ctypes.c_char.from_buffer(place)
    tail.begin(ctypes.addressof(anchor), 2 * page)
    assert place[: 2 * page] == b"f" * 2 * page
    tail.end = 5 * page
    assert tail.reserve(2 * page, 4 * page) == 4 * page
    assert tail.reserve(4 * page, 9 * page) == 5 * page
    assert tail.reserve(5 * page, 9 * page) == 5 * page
    fd = tail.reader_fd()
    assert fd is not None
    assert os.fstat(fd).st_blocks * 512 == 3 * page
    os.close(fd)
    tail.close()
    tail.close()
    assert tail.reader_fd() is None
    del anchor
    place.close()


# --- the reader, at every place -----------------------------------------------------------------------

LENGTH = 5_000


@contextlib.contextmanager
def divided(
    pcm: bytes, boundary: int, *, told: int | None = None, head: int | None = None
) -> Iterator[tuple[int, int]]:
    """Yield the descriptors of a spool by hand: the file cut at the boundary, the tail a hole before it."""
    header = bytearray(SPOOL_HEADER_BYTES)
    struct.pack_into("=8sII", header, audio.OFFSET_MAGIC, audio.SPOOL_MAGIC, audio.SPOOL_VERSION, RATE)
    struct.pack_into("=Q", header, audio.OFFSET_HEAD, len(pcm) // 2 if head is None else head)
    struct.pack_into("=Q", header, audio.OFFSET_CONTINUED_AT, boundary if told is None else told)
    file, tail = os.memfd_create("file"), os.memfd_create("tail")
    os.pwrite(file, header + pcm[: 2 * boundary], 0)
    os.pwrite(tail, pcm[2 * boundary :], SPOOL_HEADER_BYTES + 2 * boundary)
    try:
        yield file, tail
    finally:
        for fd in (file, tail):
            os.close(fd)


places = st.integers(-10, LENGTH + 10)


@settings(max_examples=200)
@given(st.integers(1, LENGTH - 1), st.lists(st.tuples(places, places), min_size=1), st.binary(min_size=1, max_size=64))
def test_any_window_is_what_was_said(at: int, windows: list[tuple[int, int]], seed: bytes) -> None:
    pcm = (seed * (2 * LENGTH))[: 2 * LENGTH]
    with (
        divided(pcm, at) as (file, tail),
        SpoolReader(os.dup(file), os.dup(tail)) as whole,
        SpoolReader(os.dup(file)) as alone,
    ):
        assert (whole.head, alone.head) == (LENGTH, at)
        for start, end in [*windows, (at - 1, at), (at, at + 1), (at - 1, at + 1), (0, LENGTH)]:
            low, high = max(0, start), max(0, end)
            assert bytes(whole.pcm(start, end)) == pcm[2 * low : 2 * high]
            assert bytes(alone.pcm(start, end)) == pcm[2 * low : 2 * min(high, at)]


def test_only_a_window_across_the_boundary_is_copied() -> None:
    with divided(bytes(2 * LENGTH), 1000) as (file, tail), SpoolReader(os.dup(file), os.dup(tail)) as reader:
        assert isinstance(reader.pcm(0, 1000).obj, mmap.mmap)
        assert isinstance(reader.pcm(1000, 2000).obj, mmap.mmap)
        assert isinstance(reader.pcm(999, 1001).obj, bytes)


def test_a_view_outlives_its_reader() -> None:
    with divided(os.urandom(2 * LENGTH), 1000) as (file, tail):
        reader = SpoolReader(os.dup(file), os.dup(tail))
        view = reader.pcm(1000, 2000)
        said = bytes(view)
        reader.close()
        reader.close()
        assert bytes(view) == said


HEADERS: dict[str, tuple[int, int]] = {
    "a boundary beyond everything": (2**62, LENGTH),
    "a head beyond everything": (1000, 2**63),
    "both": (2**62, 2**63),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_a_header_that_says_nonsense_is_not_believed(kind: str) -> None:
    told, head = HEADERS[kind]
    pcm = os.urandom(2 * LENGTH)
    with divided(pcm, 1000, told=told, head=head) as fds:
        for count in (1, 2):
            with SpoolReader(*map(os.dup, fds[:count])) as reader:
                assert reader.head <= LENGTH
                for start in range(0, LENGTH, 100):
                    assert bytes(reader.pcm(start, start + 100)) in pcm


def test_a_tail_that_is_none_is_refused() -> None:
    with divided(bytes(2 * LENGTH), 1000) as (file, _), pytest.raises(StorageError):
        SpoolReader(os.dup(file), os.memfd_create("empty"))


def the_disk_is_filled_by_somebody_else(folder: Path) -> None:
    disk = Disk(folder)
    with disk.store as store:
        spool = store.take(1)
        path, said = own_path(spool), speak(spool, 2 * BLOCK_S)
        filler = fill(folder)
        for _ in range(30):
            said += speak(spool, BLOCK_S)
            spool.maintain()  # a page that was synced is asked for again when it is written
        assert read_all(spool.reader_fds()) == said
        spool.close()
        filler.unlink()
        # ext4 gives the room back some time after the file is gone.
        wait_until(lambda: store.samples(path) and boundary(path) == 0, what="the whole recording in the file")
        assert read_file(path) == said


def test_a_disk_that_somebody_else_fills_ends_nothing(tmp_path: Path) -> None:
    on_small_disk(the_disk_is_filled_by_somebody_else, tmp_path, size="64m")


@pytest.mark.parametrize("block_bytes", [1024, 4096])
def test_pages_that_were_reserved_and_cannot_be_had_end_nothing(block_bytes: int, tmp_path: Path) -> None:
    on_small_ext4(the_disk_is_filled_by_somebody_else, tmp_path, size="32m", block_bytes=block_bytes)
