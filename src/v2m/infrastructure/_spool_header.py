"""The words of a spool's header, as the process that writes the spool sees them."""

from v2m.domain.audio import (
    OFFSET_FIRST_NS,
    OFFSET_FLAGS,
    OFFSET_HEAD,
    OFFSET_LAST_NS,
    OFFSET_LEVEL,
    OFFSET_OVERRUN,
    OFFSET_PEAK,
    OFFSET_PREROLL,
    SpoolFlag,
)


class SpoolHeader:
    """What the callback tells; `_show` says where the header is."""

    def _show(self, header: memoryview) -> None:
        # Native casts load and store a whole word at once; struct's "=" formats go byte by byte.
        self._u64, self._i64, self._u32 = header.cast("Q"), header.cast("q"), header.cast("I")
        header.release()

    @property
    def head(self) -> int:
        """Samples stored so far."""
        return self._u64[OFFSET_HEAD // 8]

    @property
    def preroll(self) -> int:
        """Samples at the beginning that were heard before START."""
        return self._u64[OFFSET_PREROLL // 8]

    @property
    def overrun(self) -> int:
        """Samples that found no room."""
        return self._u64[OFFSET_OVERRUN // 8]

    @property
    def peak(self) -> int:
        """Greatest absolute sample so far, 0…32768."""
        return self._u32[OFFSET_PEAK // 4]

    @property
    def first_sample_ns(self) -> int:
        """CLOCK_MONOTONIC of the first sample, 0 before."""
        return self._i64[OFFSET_FIRST_NS // 8]

    @property
    def last_sample_ns(self) -> int:
        """CLOCK_MONOTONIC of the latest samples, 0 before."""
        return self._i64[OFFSET_LAST_NS // 8]

    @property
    def flags(self) -> SpoolFlag:
        """What is known about the recording."""
        return SpoolFlag(self._u32[OFFSET_FLAGS // 4])

    def take_level(self) -> int:
        """Return the greatest absolute sample since the last call."""
        level = self._u32[OFFSET_LEVEL // 4]
        self._u32[OFFSET_LEVEL // 4] = 0
        return level
