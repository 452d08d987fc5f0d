"""The account of a recording, the same for every back end."""

from typing import Final

from v2m.domain.audio import SAMPLE_RATE_HZ, CaptureReport
from v2m.domain.ports import Spool

_GAP_S: Final = 0.05  # missing against the clock; graph quanta of up to 1024/48000 differ by 0.021


def report(spool: Spool, *, source: str, backend: str, lost: str | None = None) -> CaptureReport:
    """Say what was recorded; audio that the clock says is missing is a gap."""
    elapsed_s = (spool.last_sample_ns - spool.first_sample_ns) / 1e9
    return CaptureReport(
        samples=spool.head,
        preroll=spool.preroll,
        overrun=spool.overrun,
        gap=elapsed_s - (spool.head - spool.preroll) / SAMPLE_RATE_HZ > _GAP_S,
        peak=spool.peak,
        source=source,
        backend=backend,
        lost=lost,
    )
