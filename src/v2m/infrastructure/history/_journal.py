"""SQLite's write-ahead log, read as bytes: is it whole, and what stands in it when it is not.

SQLite takes a broken frame for the end of the log and overwrites what follows: rows that were committed would be
gone without a word. Layout: https://www.sqlite.org/fileformat2.html, section 4.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

PAGE_BYTES: Final = 4096  # SQLite's default since 3.12; nothing of ours asks for another
_HEADER: Final = struct.Struct(">IIIIIIII")  # magic, format, page size, sequence, salts, checksums
_FRAME: Final = struct.Struct(">IIIIII")  # page, database size after a commit or 0, salts, checksums
_BIG_ENDIAN: Final = 1  # the magic's last bit
_WORD: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Frame:
    """A page as the log has it."""

    page: int  # from 1
    content: bytes
    commits: bool
    sound: bool  # SQLite would accept it after the frame before


def is_damaged(journal: bytes) -> bool:
    """Tell whether a commit stands behind a broken place. A last transaction that was never committed is no damage."""
    if len(journal) < _HEADER.size + _FRAME.size + PAGE_BYTES:
        return False
    if _checksum(journal[:24], _order(journal)) != _HEADER.unpack_from(journal)[6:]:
        return True
    broken = False
    for frame in frames(journal):
        broken |= not frame.sound
        if broken and frame.commits:
            return True
    return False


def ends_early(size: int) -> bool:
    """Tell by a log's size whether it was cut."""
    return size > 0 and (size < _HEADER.size or (size - _HEADER.size) % (_FRAME.size + PAGE_BYTES) != 0)


def frames(journal: bytes) -> Iterator[Frame]:
    """Yield what was written since the log was begun, broken or not; leftovers of an earlier log are left out."""
    if len(journal) < _HEADER.size + _FRAME.size + PAGE_BYTES:
        return
    order = _order(journal)
    *_, salt1, salt2, sum1, sum2 = _HEADER.unpack_from(journal)
    salts, before = (salt1, salt2), (sum1, sum2)
    step = _FRAME.size + PAGE_BYTES
    if _checksum(journal[:24], order) != before:  # the first frame knows the salts too
        salts = _FRAME.unpack_from(journal, _HEADER.size)[2:4]
    for start in range(_HEADER.size, len(journal) - step + 1, step):
        page, size, found1, found2, *sums = _FRAME.unpack_from(journal, start)
        if (found1, found2) == salts:
            content = journal[start + _FRAME.size : start + step]
            sound = _checksum(journal[start : start + 8] + content, order, before) == tuple(sums)
            yield Frame(page, content, bool(size), sound)
        before = (sums[0], sums[1])


def _order(journal: bytes) -> str:
    return ">" if journal[3] & _BIG_ENDIAN else "<"


def _checksum(data: bytes, order: str, start: tuple[int, int] = (0, 0)) -> tuple[int, int]:
    first, second = start
    words = iter(struct.unpack(f"{order}{len(data) // 4}I", data))
    for one, other in zip(words, words, strict=True):
        first = (first + one + second) & _WORD
        second = (second + other + first) & _WORD
    return first, second
