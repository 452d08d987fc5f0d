"""The Wayland wire format: words of the host's byte order, padded strings with NUL. Bytes only, no I/O."""

import struct
from typing import Final

HEADER_BYTES: Final = 8
MAX_MESSAGE_BYTES: Final = 4096  # libwayland closes the connection of whoever sends more
FIRST_SERVER_ID: Final = 0xFF000000


def uints(*values: int) -> bytes:
    """Return unsigned 32-bit words."""
    return struct.pack(f"={len(values)}I", *values)


def string(text: str) -> bytes:
    """Return a string argument: length with NUL, bytes, NUL, padding."""
    data = text.encode() + b"\0"
    return struct.pack("=I", len(data)) + data + b"\0" * (-len(data) % 4)


def message(object_id: int, opcode: int, body: bytes = b"") -> bytes:
    """Return a complete message.

    Raises:
        ValueError: it is longer than a compositor takes.
    """
    size = HEADER_BYTES + len(body)
    if size > MAX_MESSAGE_BYTES:
        raise ValueError(f"A Wayland message of {size} bytes; {MAX_MESSAGE_BYTES} are allowed.")
    return struct.pack("=IHH", object_id, opcode, size) + body


def take_message(buffer: bytearray) -> tuple[int, int, bytes] | None:
    """Remove the first complete message from the buffer: (object, opcode, body); None when there is none.

    Raises:
        ValueError: the announced size cannot be one.
    """
    if len(buffer) < HEADER_BYTES:
        return None
    object_id, opcode, size = struct.unpack_from("=IHH", buffer)
    if size < HEADER_BYTES or size % 4:
        raise ValueError(f"A Wayland message announces {size} bytes.")
    if len(buffer) < size:
        return None
    body = bytes(buffer[HEADER_BYTES:size])
    del buffer[:size]
    return object_id, opcode, body


class Arguments:
    """Reads the arguments of one event in order; raises ValueError when they end too early."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._offset = 0

    def uint(self) -> int:
        """Read an unsigned word, an object id or a new id."""
        return int.from_bytes(self._take(4), _BYTE_ORDER)

    def data(self) -> bytes:
        """Read an array, or the bytes of a string with its NUL."""
        length = self.uint()
        content = self._take(length)
        self._take(-length % 4)
        return content

    def string(self) -> str:
        """Read a string; a null string is empty."""
        return self.data()[:-1].decode("utf-8", "replace")

    def _take(self, length: int) -> bytes:
        taken = self._body[self._offset : self._offset + length]
        if len(taken) < length:
            raise ValueError("A Wayland event ends too early.")
        self._offset += length
        return taken


_BYTE_ORDER: Final = "little" if struct.pack("=H", 1) == b"\1\0" else "big"
