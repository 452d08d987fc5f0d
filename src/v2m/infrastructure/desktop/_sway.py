"""Sway's IPC (sway-ipc(7)): one question and one answer per connection, so that a restart is followed."""

import json
import struct
from typing import Any, Final

from v2m.domain.delivery import Session
from v2m.infrastructure.desktop._exchange import exchange

TROUBLE: Final = (OSError, ValueError, struct.error, RecursionError)

_HEADER: Final = struct.Struct("=6sII")  # magic, length of the payload, type of the message
_MAGIC: Final = b"i3-ipc"


async def ask(session: Session, kind: int, payload: bytes = b"") -> Any:  # noqa: ANN401 - JSON
    """Return the answer to a message; has no deadline of its own. Raises one of `TROUBLE`."""
    path = session.variables.get("SWAYSOCK", "")
    question = _HEADER.pack(_MAGIC, len(payload), kind) + payload
    answer = await exchange(path, question, is_complete=lambda received: len(received) >= _size(received))
    return json.loads(answer[_HEADER.size :])


def _size(received: bytearray) -> int:
    """Return how many bytes the whole answer has, as far as its header is there."""
    if len(received) < _HEADER.size:
        return _HEADER.size
    magic, length, _kind = _HEADER.unpack_from(received)
    if magic != _MAGIC:
        raise ValueError("This is not sway.")
    return _HEADER.size + int(length)
