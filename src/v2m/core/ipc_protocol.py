"""The wire: frames, envelopes, control bytes. Bytes in, values out; no socket, no I/O.

Theory: every legal frame length is at most 2**20, so the first byte of a frame is always 0x00. A
connection whose first *and only* byte is a control byte is a trigger. One connection is one or the other.
A control byte is taken only when it arrives alone as the first read: 0x01…0x05 could also begin an
illegal length of 16…96 MiB, which one write shows at once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any, Final

from v2m.client import MAX_PAYLOAD_SIZE as _CAP
from v2m.client import PROTOCOL_VERSION as _VERSION
from v2m.domain.errors import FrameTooLargeError, ProtocolError, V2mError

PROTOCOL_VERSION: Final = _VERSION
MAX_PAYLOAD_SIZE: Final = _CAP
HEADER_BYTES: Final = 4


class CommandName(StrEnum):
    """Every command there is; a name without a handler stops the daemon at start."""

    PING = "PING"
    START_RECORDING = "START_RECORDING"
    STOP_RECORDING = "STOP_RECORDING"
    ABORT_RECORDING = "ABORT_RECORDING"
    TOGGLE_RECORDING = "TOGGLE_RECORDING"
    GET_STATUS = "GET_STATUS"
    SUBSCRIBE = "SUBSCRIBE"
    TYPE_TEXT = "TYPE_TEXT"
    TRANSCRIBE_FILE = "TRANSCRIBE_FILE"
    LIST_HISTORY = "LIST_HISTORY"
    DELETE_HISTORY = "DELETE_HISTORY"
    RETRY_DICTATION = "RETRY_DICTATION"
    DELIVER_AGAIN = "DELIVER_AGAIN"
    UNDO_DELIVERY = "UNDO_DELIVERY"
    SWAP_TEXT = "SWAP_TEXT"
    LIST_DEVICES = "LIST_DEVICES"
    LIST_OUTPUTS = "LIST_OUTPUTS"
    TEST_POLICY = "TEST_POLICY"
    CHECK_OUTPUTS = "CHECK_OUTPUTS"
    GET_CONFIG = "GET_CONFIG"
    UPDATE_CONFIG = "UPDATE_CONFIG"
    RELOAD_CONFIG = "RELOAD_CONFIG"
    PAUSE_DAEMON = "PAUSE_DAEMON"
    RESUME_DAEMON = "RESUME_DAEMON"
    SHUTDOWN = "SHUTDOWN"


class ControlByte(IntEnum):
    """What a hotkey says; `native/trigger/toak.c` holds the same numbers (a test compares)."""

    START = 0x01
    STOP = 0x02
    ABORT = 0x03
    TOGGLE = 0x04
    STATUS = 0x05


SLOT_BYTES: Final = range(0x11, 0x1A)  # START with profile slot 1…9


@dataclass(frozen=True, slots=True)
class Request:
    """One parsed frame of a client."""

    cmd: str
    data: dict[str, Any]
    id: str | int | None = None


def __getattr__(name: str) -> Any:  # noqa: ANN401 - module attribute protocol
    """`SOCKET_PATH` is read when it is asked for, so that importing reads no environment."""
    if name == "SOCKET_PATH":
        from v2m.utils.paths import socket_path

        return socket_path()
    raise AttributeError(name)


def encode_frame(payload: dict[str, Any]) -> bytes:
    """Return the payload as length and UTF-8 JSON.

    Raises:
        FrameTooLargeError: it would not fit; nothing is to be sent.
    """
    body = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    if len(body) > MAX_PAYLOAD_SIZE:
        raise FrameTooLargeError(
            f"The message has {len(body)} bytes; {MAX_PAYLOAD_SIZE} are allowed.", hint="Ask for less at once."
        )
    return len(body).to_bytes(HEADER_BYTES, "big") + body


class FrameDecoder:
    """Cuts a byte stream into frame bodies; never holds more than one frame's worth of promise."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def pending(self) -> bool:
        """Whether a frame has begun and is not complete."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take bytes as they come."""
        self._buffer += data

    def next_body(self) -> bytes | None:
        """Return the next complete body, None until there is one.

        Raises:
            FrameTooLargeError: the header announces more than the cap; the stream is unusable.
            ProtocolError: the header announces nothing, or is no header.
        """
        if len(self._buffer) < HEADER_BYTES:
            if self._buffer and self._buffer[0] != 0:
                raise _not_a_header(bytes(self._buffer))
            return None
        length = int.from_bytes(self._buffer[:HEADER_BYTES], "big")
        if self._buffer[0] != 0:
            raise _not_a_header(bytes(self._buffer[:HEADER_BYTES]))
        if length > MAX_PAYLOAD_SIZE:
            raise FrameTooLargeError(f"A frame of {length} bytes was announced; {MAX_PAYLOAD_SIZE} are allowed.")
        if length == 0:
            raise ProtocolError("An empty frame was sent.", hint='Send at least {"cmd": "PING"}.')
        end = HEADER_BYTES + length
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[HEADER_BYTES:end])
        del self._buffer[:end]
        return body


def _not_a_header(start: bytes) -> ProtocolError:
    if start.lstrip()[:1] in (b"{", b"["):
        return ProtocolError(
            "This looks like JSON without its length.",
            hint="Put 4 bytes in front of the JSON: its length in bytes, big endian.",
        )
    return ProtocolError(
        "This is neither a frame nor a control byte.",
        hint="See PROTOCOL.md: a 4-byte length and JSON, or one control byte alone.",
    )


def parse_request(body: bytes) -> Request:
    """Read the envelope; unknown envelope keys are ignored, missing `data` is empty.

    Raises:
        ProtocolError: not UTF-8, not JSON, nested too deeply, or of the wrong shape.
    """
    try:
        value = json.loads(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ProtocolError("The request is not UTF-8.") from error
    except (ValueError, RecursionError) as error:
        raise ProtocolError("The request is not JSON.", hint='Example: {"cmd": "PING"}') from error
    if not isinstance(value, dict):
        raise ProtocolError("The request is not a JSON object.", hint='Example: {"cmd": "PING"}')
    cmd, data, identity = value.get("cmd"), value.get("data", {}), value.get("id")
    if not isinstance(cmd, str):
        raise ProtocolError('The request has no "cmd".', hint='Example: {"cmd": "PING"}')
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise ProtocolError('"data" is not an object.')
    if isinstance(identity, bool) or not isinstance(identity, str | int | None):
        raise ProtocolError('"id" is neither text nor a whole number.')
    return Request(cmd, data, identity)


def success(data: dict[str, Any], identity: str | int | None = None) -> dict[str, Any]:
    """Return the envelope of a good answer; `data` holds `state`."""
    envelope: dict[str, Any] = {"status": "success", "data": data}
    return envelope if identity is None else {**envelope, "id": identity}


def failure(error: V2mError, state: str, identity: str | int | None = None) -> dict[str, Any]:
    """Return the envelope of a refusal."""
    about = {"code": error.code, "message": str(error), "hint": error.hint}
    reason = getattr(error, "reason", None)
    if reason is not None:
        about["reason"] = str(reason)
    envelope: dict[str, Any] = {"status": "error", "error": about, "data": {"state": state}}
    return envelope if identity is None else {**envelope, "id": identity}
