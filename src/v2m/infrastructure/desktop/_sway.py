"""Sway's IPC (sway-ipc(7)): one question and one answer per connection, so that a restart is followed; and events."""

import asyncio
import json
import struct
from typing import Any, Final

from v2m.domain.delivery import Session
from v2m.infrastructure.desktop._exchange import MAX_ANSWER_BYTES, exchange

TROUBLE: Final = (OSError, ValueError, struct.error, RecursionError)

_HEADER: Final = struct.Struct("=6sII")  # magic, length of the payload, type of the message
_MAGIC: Final = b"i3-ipc"


async def ask(session: Session, kind: int, payload: bytes = b"") -> Any:  # noqa: ANN401 - JSON
    """Return the answer to a message; has no deadline of its own. Raises one of `TROUBLE`."""
    path = session.variables.get("SWAYSOCK", "")
    answer = await exchange(path, message(kind, payload), is_complete=lambda received: len(received) >= _size(received))
    return json.loads(answer[_HEADER.size :])


def message(kind: int, payload: bytes = b"") -> bytes:
    """Return a message as it is sent."""
    return _HEADER.pack(_MAGIC, len(payload), kind) + payload


async def read_message(reader: asyncio.StreamReader) -> tuple[int, Any]:
    """Return type and content of the next answer or event of a kept connection; an event has bit 31 in its type.

    Raises one of `TROUBLE`, or EOFError at the end.
    """
    magic, length, kind = _HEADER.unpack(await reader.readexactly(_HEADER.size))
    if magic != _MAGIC or length > MAX_ANSWER_BYTES:
        raise ValueError("This is not sway.")
    return int(kind), json.loads(await reader.readexactly(length))


def _size(received: bytearray) -> int:
    """Return how many bytes the whole answer has, as far as its header is there."""
    if len(received) < _HEADER.size:
        return _HEADER.size
    magic, length, _kind = _HEADER.unpack_from(received)
    if magic != _MAGIC:
        raise ValueError("This is not sway.")
    return _HEADER.size + int(length)
