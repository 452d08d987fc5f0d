"""Rows read from the bytes of a database that SQLite will not read: page by page, whatever is broken around them.

Layout: https://www.sqlite.org/fileformat2.html, sections 1.6 and 2.1. A page whose accounts balance is read by its
own list of cells; on any other, whatever has the shape of our rows is taken.
"""

import re
import struct
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from v2m.infrastructure.history._journal import PAGE_BYTES, frames

_LEAF: Final = 13  # a page with rows of a table
_FILE_HEADER_BYTES: Final = 100  # on page 1
_LOCAL_BYTES: Final = PAGE_BYTES - 35  # the largest row that needs no overflow page
_LEAST_BYTES: Final = (PAGE_BYTES - 12) * 32 // 255 - 23
_INTEGER_BYTES: Final = (0, 1, 2, 3, 4, 6, 8)  # by serial type
_REAL, _ZERO, _ONE, _BLOB = 7, 8, 9, 12
_RESERVED: Final = frozenset({10, 11})
_FEWEST_COLUMNS: Final = 17  # of the first schema; later ones were added at the end
_HEAD: Final = re.compile(rb"(?=[\x12-\x40]\x00)")  # a record's length of header, then the id, which is stored as NULL

Record = tuple[Any, ...]


class Found(NamedTuple):
    """A row's id and its columns, the first of them None."""

    id: int
    columns: Record


def found_rows(database: bytes, journal: bytes, *, most_columns: int) -> Iterator[Found]:
    """Yield every row of our table, some perhaps in several versions; later ones come later."""
    pages = {
        number: database[start : start + PAGE_BYTES].ljust(PAGE_BYTES, b"\0")
        for number, start in enumerate(range(0, len(database), PAGE_BYTES), 1)
    }
    broken = []
    for frame in frames(journal):
        if frame.sound:
            pages[frame.page] = frame.content
        else:
            broken.append(frame.content)  # its number may be what is broken
    for number, page in pages.items():
        yield from _rows(page, _FILE_HEADER_BYTES if number == 1 else 0, pages, most_columns)
    for page in broken:
        yield from _rows(page, 0, pages, most_columns)


def _rows(page: bytes, start: int, pages: Mapping[int, bytes], most_columns: int) -> Iterator[Found]:
    listed = _listed(page, start, pages, most_columns)
    if listed is not None:
        yield from listed
        return
    for match in _HEAD.finditer(page):
        yield from _around(page, match.start(), pages, most_columns)


def _listed(page: bytes, start: int, pages: Mapping[int, bytes], most_columns: int) -> list[Found] | None:
    """Return the rows that a page lists; None when it is none of ours, or its accounts do not balance."""
    kind, free, count, content, fragments = struct.unpack_from(">BHHHB", page, start)
    end = start + 8 + 2 * count
    if kind != _LEAF or not end <= content <= PAGE_BYTES:
        return None
    used, found = fragments, []
    for place in struct.unpack_from(f">{count}H", page, start + 8):
        cell = _cell(page, place, pages, most_columns)
        if cell is None:
            return None
        used += cell[1]
        found.append(cell[0])
    seen = set()
    while free and free not in seen and free <= PAGE_BYTES - 4:
        seen.add(free)
        free, size = struct.unpack_from(">HH", page, free)
        used += size
    return found if content + used == PAGE_BYTES else None


def _cell(page: bytes, place: int, pages: Mapping[int, bytes], most_columns: int) -> tuple[Found, int] | None:
    """Return the row at a place and how many bytes it takes there."""
    size, at = _varint(page, place)
    row_id, at = _varint(page, at)
    payload, end = _payload(page, at, size, pages)
    record = _record(payload, most_columns) if len(payload) == size else None
    return None if record is None else (Found(row_id, record), max(4, end - place))


def _around(page: bytes, head: int, pages: Mapping[int, bytes], most_columns: int) -> Iterator[Found]:
    """Yield the row whose record begins at `head`, if its id and its length stand before it."""
    for first in range(head - 1, max(-1, head - 10), -1):
        row_id, at = _varint(page, first)
        if at != head:
            continue
        for place in range(first - 1, max(-1, first - 6), -1):
            cell = _cell(page, place, pages, most_columns) if _varint(page, place)[1] == first else None
            if cell is not None and cell[0].id == row_id:
                yield cell[0]
                return


def _payload(page: bytes, at: int, size: int, pages: Mapping[int, bytes]) -> tuple[bytes, int]:
    """Return a row's bytes, also those on overflow pages, and where its cell ends; too few when a page is missing."""
    local = size
    if size > _LOCAL_BYTES:
        local = _LEAST_BYTES + (size - _LEAST_BYTES) % (PAGE_BYTES - 4)
        local = local if local <= _LOCAL_BYTES else _LEAST_BYTES
    payload, end = page[at : at + local], at + local
    if local == size:
        return payload, end
    following, parts, missing = int.from_bytes(page[end : end + 4]), [payload], size - local
    while missing > 0 and (more := pages.get(following)) is not None:
        parts.append(more[4 : 4 + min(missing, PAGE_BYTES - 4)])
        missing -= len(parts[-1])
        following = int.from_bytes(more[:4])
    return b"".join(parts), end + 4


def _record(payload: bytes, most_columns: int) -> Record | None:
    """Return the columns of a record; None when it cannot be a row of ours."""
    head, at = _varint(payload, 0)
    kinds = []
    while at < head <= len(payload):
        kind, at = _varint(payload, at)
        kinds.append(kind)
    if at != head or not _FEWEST_COLUMNS <= len(kinds) <= most_columns or kinds[0] != 0:
        return None
    sizes = [_size(kind) for kind in kinds]
    if _RESERVED.intersection(kinds) or at + sum(sizes) != len(payload):
        return None
    columns = []
    for kind, size in zip(kinds, sizes, strict=True):
        columns.append(_value(kind, payload[at : at + size]))
        at += size
    return tuple(columns)


def _size(kind: int) -> int:
    if kind < len(_INTEGER_BYTES):
        return _INTEGER_BYTES[kind]
    return (kind - _BLOB) // 2 if kind >= _BLOB else 8 * (kind == _REAL)


def _value(kind: int, data: bytes) -> Any:  # noqa: ANN401 - any value of a column
    if kind == 0:
        return None
    if kind >= _BLOB:
        return data.decode("utf-8", "replace") if kind % 2 else data
    if kind == _REAL:
        return struct.unpack(">d", data)[0]
    return kind - _ZERO if kind in (_ZERO, _ONE) else int.from_bytes(data, signed=True)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at a place and where it ends; what goes past the end is 0, and ends there."""
    value = 0
    for step, byte in enumerate(data[at : at + 9]):
        if step == 8:
            value = value << 8 | byte
            return value - (1 << 64 if value >> 63 else 0), at + 9
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + step + 1
    return 0, len(data)
