"""Reads what an ONNX file says about its model, without loading the model: some libraries end the process instead."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

# Numbers of the fields of ModelProto and StringStringEntryProto (onnx/onnx.proto), and protobuf's wire types.
_GRAPH: Final = 7
_METADATA: Final = 14
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_ENTRY_BYTES: Final = 1 << 20  # one entry of the metadata is a few words, seldom a list of languages


def read_metadata(file: Path) -> dict[str, str]:
    """Return the model's own remarks by name; a few reads, whatever the size of the file.

    Raises:
        ValueError: the file is empty, cut off, or no ONNX model.
        OSError: it cannot be read.
    """
    remarks: dict[str, str] = {}
    has_graph = False
    with file.open("rb") as stream:
        size = file.stat().st_size
        for number, length in _fields(stream, size):
            if number == _METADATA and length <= _MAX_ENTRY_BYTES:
                key, value = _entry(stream, length)
                remarks[key] = value
            else:
                has_graph |= number == _GRAPH and length > 0
                stream.seek(length, 1)
            if stream.tell() > size:
                raise ValueError(f"{file.name} is cut off.")
    if not has_graph:
        raise ValueError(f"{file.name} is no ONNX model.")
    return remarks


def _fields(stream: BinaryIO, end: int) -> Iterator[tuple[int, int]]:
    """Yield number and length of each field with content, which the caller reads or skips."""
    while stream.tell() < end:
        number, wire = divmod(_varint(stream), 8)
        if number == 0 or wire not in (_VARINT, _FIXED64, _BYTES, _FIXED32):
            raise ValueError(f"{Path(stream.name).name} is no ONNX model.")
        if wire == _BYTES:
            yield number, _varint(stream)
        elif wire == _VARINT:
            _varint(stream)
        else:
            stream.seek(8 if wire == _FIXED64 else 4, 1)


def _entry(stream: BinaryIO, length: int) -> tuple[str, str]:
    """Return the two texts of an entry."""
    texts = {1: b"", 2: b""}
    for number, size in _fields(stream, stream.tell() + length):
        texts[number] = stream.read(size)
    return texts[1].decode("utf-8", "replace"), texts[2].decode("utf-8", "replace")


def _varint(stream: BinaryIO) -> int:
    """Return a number of at most 64 bits, seven bits a byte, the lowest first."""
    value = 0
    for shift in range(0, 70, 7):
        byte = stream.read(1)
        if not byte:
            break
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError(f"{Path(stream.name).name} is cut off, or no ONNX model.")
