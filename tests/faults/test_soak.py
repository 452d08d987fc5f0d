"""A sample of `scripts/bench soak`: nothing is left of a dictation but its row and its audio."""

import pytest
from bench.daemon import SCRIPTED
from bench.soak import soak

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]


def test_descriptors_threads_and_memory_stay():
    script = {"V2M_TRANSCRIPTION__SCRIPT": '["dictation {n}"]', "V2M_AUDIO__MIN_RECORDING_MS": "1"}
    rows = soak("scripted", 100, 50, 0.0, **SCRIPTED, **script)
    growing = {row.name: row.value for row in rows if not row.ok and "p99" not in row.name}
    assert growing == {}
