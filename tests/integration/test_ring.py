"""The ring of the capture library, compiled by itself and counted sample by sample."""

import ctypes
import shutil
import struct
import subprocess
from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2m.domain.audio import (
    OFFSET_ALLOCATED,
    OFFSET_FIRST_NS,
    OFFSET_HEAD,
    OFFSET_OVERRUN,
    OFFSET_PREROLL,
    SAMPLE_RATE_HZ,
    SPOOL_HEADER_BYTES,
)

pytestmark = pytest.mark.integration

SOURCES = Path(__file__).resolve().parents[2] / "native" / "capture"
LONGEST = 2 * SAMPLE_RATE_HZ
QUANTUM_NS = 5_333_333
INTERRUPTION_NS = 500_000_000


class Ring(ctypes.Structure):
    """`struct ring`."""

    _fields_ = (
        ("capacity", ctypes.c_uint32),
        ("held", ctypes.c_uint32),
        ("next", ctypes.c_uint32),
        ("heard_ns", ctypes.c_int64),
        ("samples", ctypes.c_int16 * LONGEST),
    )


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    if shutil.which("cc") is None:
        pytest.skip("the ring is compiled for this: run scripts/setup")
    target = tmp_path_factory.mktemp("ring") / "ring.so"
    checks = ("-fsanitize=undefined,bounds", "-fsanitize-undefined-trap-on-error")
    sources = [SOURCES / "ring.c", SOURCES / "spool.c"]
    subprocess.run(["cc", "-std=gnu11", "-O1", "-shared", "-fPIC", *checks, *sources, "-o", target], check=True)
    loaded = ctypes.CDLL(str(target))
    for name, *arguments in (
        ("ring_reserve", ctypes.c_uint32),
        ("ring_append", ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int64),
        ("ring_pour", ctypes.c_void_p, ctypes.c_int64),
        ("ring_clear",),
        ("ring_release",),
    ):
        function = getattr(loaded, name)
        function.restype, function.argtypes = None, [ctypes.POINTER(Ring), *arguments]
    loaded.spool_append.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64]
    loaded.spool_append.restype = None
    return loaded


class Bench:
    """A ring, a spool, and a source that counts: no sample is like its neighbours."""

    def __init__(self, library: ctypes.CDLL, capacity: int, *, room: int = 200_000) -> None:
        self.library = library
        self.ring = Ring()
        self.spool = ctypes.create_string_buffer(SPOOL_HEADER_BYTES + 2 * room)
        struct.pack_into("=Q", self.spool, OFFSET_ALLOCATED, room)
        self.now_ns = 10**12
        self.count = 0
        library.ring_reserve(self.ring, capacity)

    def block(self, samples: int) -> ctypes.Array[ctypes.c_char]:
        pcm = array("h", ((at % 65_521) - 32_000 for at in range(self.count, self.count + samples)))
        self.count += samples
        self.now_ns += QUANTUM_NS
        return ctypes.create_string_buffer(pcm.tobytes(), 2 * samples)

    def hear(self, samples: int) -> None:
        block = self.block(samples)
        self.library.ring_append(self.ring, block, samples, self.now_ns)

    def record(self, samples: int) -> None:
        """Do as the data thread does with a block after START."""
        block = self.block(samples)
        self.library.ring_pour(self.ring, self.spool, self.now_ns)
        self.library.spool_append(self.spool, block, samples)

    def field(self, offset: int) -> int:
        return int(struct.unpack_from("=Q", self.spool, offset)[0])

    @property
    def recorded(self) -> list[int]:
        """The numbers of the samples that were recorded."""
        pcm = array("h", bytes(self.spool)[SPOOL_HEADER_BYTES:][: 2 * self.field(OFFSET_HEAD)])
        return [value + 32_000 for value in pcm]

    @property
    def is_blank(self) -> bool:
        return not any(bytes(self.ring.samples))


@given(
    capacity=st.integers(1, 400),
    heard=st.lists(st.integers(1, 500), max_size=12),
    live=st.lists(st.integers(1, 200), min_size=1, max_size=4),
)
def test_a_recording_is_one_piece_from_before_start_on(library, capacity, heard, live):
    bench = Bench(library, capacity)
    for samples in heard:
        bench.hear(samples)
    preroll = min(capacity, sum(heard))
    for samples in live:
        bench.record(samples)
    assert bench.recorded == list(range(sum(heard) - preroll, bench.count))
    assert bench.field(OFFSET_PREROLL) == preroll
    assert bench.field(OFFSET_FIRST_NS) > 0
    assert bench.is_blank


@given(first=st.lists(st.integers(1, 300), max_size=5), between=st.lists(st.integers(1, 300), max_size=5))
def test_nothing_is_in_two_recordings(library, first, between):
    bench = Bench(library, 200)
    for samples in first:
        bench.hear(samples)
    bench.record(100)
    stopped = bench.count
    bench.spool = Bench(library, 1).spool
    for samples in between:
        bench.hear(samples)
    bench.record(10)
    assert bench.recorded == list(range(max(stopped, bench.count - 10 - 200), bench.count))


def test_the_longest_is_two_seconds(library):
    bench = Bench(library, LONGEST + 5000)
    for _ in range(500):
        bench.hear(85)
    bench.record(85)
    assert bench.field(OFFSET_PREROLL) == LONGEST
    assert len(bench.recorded) == LONGEST + 85


def test_without_a_capacity_nothing_is_kept(library):
    bench = Bench(library, 0)
    bench.hear(100)
    assert bench.is_blank
    bench.record(7)
    assert bench.recorded == list(range(100, 107))
    assert bench.field(OFFSET_PREROLL) == 0


def test_sound_from_before_an_interruption_is_forgotten(library):
    bench = Bench(library, 400)
    bench.hear(100)
    bench.now_ns += INTERRUPTION_NS
    bench.hear(20)
    bench.record(5)
    assert bench.recorded == list(range(100, 125))

    late = Bench(library, 400)
    late.hear(100)
    late.now_ns += INTERRUPTION_NS
    late.record(5)
    assert late.recorded == list(range(100, 105))
    assert late.is_blank


def test_a_recording_that_is_taken_up_again_gets_nothing_from_before(library):
    bench = Bench(library, 400)
    bench.hear(50)
    bench.record(5)
    bench.hear(100)
    bench.record(5)
    assert bench.recorded == [*range(55), *range(155, 160)]
    assert bench.field(OFFSET_PREROLL) == 50
    assert bench.is_blank


def test_cleared_memory_holds_no_sound(library):
    bench = Bench(library, 400)
    bench.hear(300)
    assert not bench.is_blank
    library.ring_clear(bench.ring)
    assert bench.is_blank
    bench.record(5)
    assert bench.recorded == list(range(300, 305))
    library.ring_release(bench.ring)


def test_what_finds_no_room_in_the_spool_is_counted(library):
    bench = Bench(library, 400, room=100)
    bench.hear(300)
    bench.record(5)
    assert bench.recorded == list(range(100))
    assert bench.field(OFFSET_OVERRUN) == 205
