"""One request and one answer, for both clients: what can go wrong, frames, the blocking socket.

Apart from `client`, so that each page stays short; standard library only, for the same reason.
"""

import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from v2m.utils.paths import BadSocketPathError, socket_path

MAX_PAYLOAD_SIZE: Final = 1 << 20  # both ways; below 2**24, so the first byte of a frame is always 0
HEADER_BYTES: Final = 4
PROTOCOL_VERSION: Final = 1  # of commands and answers; raised when an older client or daemon would misread them

ANSWER_S: Final = 5.0  # for an answer that waits for no work; a failing microphone takes up to 1 s of it
PATIENT: Final = frozenset(  # answered when the work is done, however long that takes
    {
        "STOP_RECORDING",
        "TOGGLE_RECORDING",
        "RETRY_DICTATION",
        "TRANSCRIBE_FILE",
        "TYPE_TEXT",
        "DELIVER_AGAIN",
        "UNDO_DELIVERY",
        "SWAP_TEXT",
    }
)
CONNECT_S: Final = 1.0  # a full backlog: the daemon is stopped or drowning
CONNECT_PAUSE_S: Final = 0.02


class ClientError(Exception):
    """Why a call failed: a stable `code`, one sentence, what to do, the daemon's state if it answered."""

    def __init__(self, code: str, message: str, hint: str | None = None, state: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.state = state


class DaemonNotRunningError(ClientError):
    """Nobody listens on the socket."""

    def __init__(self) -> None:
        super().__init__("not_running", "The daemon is not running.", hint="v2m daemon start")


class DaemonTimeoutError(ClientError):
    """The daemon did not answer in time; what was asked may still happen."""

    def __init__(self) -> None:
        super().__init__("timeout", "The daemon did not answer in time.", hint="v2m status")


class OtherProtocolError(ClientError):
    """The daemon speaks another protocol than this client: one of the two was updated."""

    def __init__(self, theirs: object) -> None:
        message = f"This client speaks protocol {PROTOCOL_VERSION}, the daemon that runs speaks {theirs}."
        super().__init__("bad_request", message, hint="v2m daemon restart")


class CommandError(ClientError):
    """The daemon answered with an error."""


# --- one request, one answer: no I/O ------------------------------------------------------------------


def encode(cmd: str, data: Mapping[str, Any]) -> bytes:
    """Return a request as a frame. Raises ClientError before anything is sent."""
    import json

    try:
        body = json.dumps({"cmd": cmd, "data": data}, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ClientError("bad_request", "This cannot be sent: it is not JSON in UTF-8.") from error
    if len(body) > MAX_PAYLOAD_SIZE:
        raise ClientError("bad_request", f"The request has {len(body)} bytes; {MAX_PAYLOAD_SIZE} are allowed.")
    return len(body).to_bytes(HEADER_BYTES, "big") + body


def body_bytes(header: bytes) -> int:
    """Return the length a header announces. Raises ClientError when it cannot be ours."""
    length = int.from_bytes(header, "big")
    if not 0 < length <= MAX_PAYLOAD_SIZE:
        raise _not_ours()
    return length


def decode(body: bytes) -> dict[str, Any]:
    """Return the object a body holds. Raises ClientError when it holds none."""
    import json

    try:
        reply = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _not_ours() from error
    if not isinstance(reply, dict):
        raise _not_ours()
    return reply


def check_protocol(pong: dict[str, Any]) -> None:
    """Refuse the answer to PING of a daemon that speaks another protocol. Raises OtherProtocolError."""
    data = pong.get("data")
    theirs = data.get("protocol") if isinstance(data, dict) else None
    if theirs not in (None, PROTOCOL_VERSION):
        raise OtherProtocolError(theirs)


@contextmanager
def unanswered() -> Iterator[None]:
    """Surround a question whose answer is not needed. Raises OtherProtocolError, and nothing else of ours."""
    try:
        yield
    except OtherProtocolError:
        raise
    except ClientError:
        pass


def is_misunderstood(reply: dict[str, Any]) -> bool:
    """Tell whether a refusal may come from another protocol; only then PING is asked: a good answer costs no more."""
    error = reply.get("error")
    return isinstance(error, dict) and error.get("code") in ("bad_request", "unknown_command")


def result(reply: dict[str, Any]) -> dict[str, Any]:
    """Return `data` of a good answer. Raises CommandError."""
    data = reply.get("data")
    if reply.get("status") != "success" or not isinstance(data, dict):
        raise _refusal(reply)
    return data


def event(frame: dict[str, Any]) -> dict[str, Any]:
    """Return a frame of a subscription. Raises CommandError when it is a refusal."""
    if "event" not in frame:
        raise _refusal(frame)
    return frame


def _refusal(reply: dict[str, Any]) -> ClientError:
    error, data = reply.get("error"), reply.get("data")
    if not isinstance(error, dict):
        return _not_ours()
    state = data.get("state") if isinstance(data, dict) else None
    return CommandError(str(error.get("code", "internal")), str(error.get("message", "")), error.get("hint"), state)


def _not_ours() -> ClientError:
    return ClientError("internal", "The answer is not one of a v2m daemon.", hint="Is V2M_SOCKET right?")


def closed() -> ClientError:
    """Return the error for an answer that never came."""
    return ClientError("internal", "The daemon closed the connection before it answered.", hint="v2m status")


def patience(cmd: str, data: Mapping[str, Any], timeout_s: float | None) -> float | None:
    """Return how many seconds to wait for an answer, None for as long as it takes."""
    if timeout_s is not None:
        return timeout_s
    allowed = data.get("timeout_s")  # the daemon's own limit for this command; it answers when it is over
    if isinstance(allowed, int | float):
        return allowed + ANSWER_S
    return None if cmd in PATIENT else ANSWER_S


# --- sockets ------------------------------------------------------------------------------------------


def connect_now(path: str | Path | None) -> socket.socket | None:
    """Return a connected socket, None while the backlog is full; connecting to a Unix socket never waits."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        connection.connect(str(path or socket_path()))
    except BlockingIOError:
        connection.close()
        return None
    except (OSError, BadSocketPathError) as error:
        connection.close()
        raise _no_connection(error) from error
    return connection


def _no_connection(error: Exception) -> ClientError:
    if isinstance(error, FileNotFoundError | ConnectionRefusedError | NotADirectoryError):
        return DaemonNotRunningError()
    if isinstance(error, PermissionError):
        return ClientError("permission", "The daemon's socket belongs to another user.", hint="v2m doctor")
    return ClientError("bad_config", str(error), hint="Set V2M_SOCKET to an absolute path of at most 107 bytes.")


def connect(path: str | Path | None) -> socket.socket:
    """Return a connected socket. Raises ClientError within `CONNECT_S`."""
    deadline = time.monotonic() + CONNECT_S
    while (connection := connect_now(path)) is None:
        if time.monotonic() > deadline:
            raise DaemonTimeoutError
        time.sleep(CONNECT_PAUSE_S)
    return connection


def has_ended(connection: socket.socket) -> bool:
    """Tell whether the daemon has closed it (an idle connection may be, when there are too many)."""
    connection.settimeout(0)
    try:
        return not connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True


def deadline_in(patience_s: float | None) -> float | None:
    """Return when patience ends, on the monotonic clock."""
    return None if patience_s is None else time.monotonic() + patience_s


def _set_time_left(connection: socket.socket, deadline: float | None) -> None:
    left = None if deadline is None else deadline - time.monotonic()
    if left is not None and left <= 0:
        raise DaemonTimeoutError
    connection.settimeout(left)


def send(connection: socket.socket, frame: bytes, deadline: float | None) -> None:
    """Send header and body in one call. Raises DaemonTimeoutError."""
    _set_time_left(connection, deadline)
    try:
        with refused_early():
            connection.sendall(frame)
    except TimeoutError as error:
        raise DaemonTimeoutError from error


def refused_early() -> suppress:
    """Return what surrounds a send: a daemon that has too many clients answers first, then closes."""
    return suppress(BrokenPipeError, ConnectionResetError)


def receive(connection: socket.socket, deadline: float | None) -> dict[str, Any]:
    """Read one frame. Raises ClientError."""
    header = _read_exactly(connection, HEADER_BYTES, deadline)
    return decode(_read_exactly(connection, body_bytes(header), deadline))


def _read_exactly(connection: socket.socket, size: int, deadline: float | None) -> bytes:
    read = bytearray()
    while len(read) < size:
        _set_time_left(connection, deadline)
        try:
            chunk = connection.recv(size - len(read))
        except TimeoutError as error:
            raise DaemonTimeoutError from error
        except ConnectionResetError as error:
            raise closed() from error
        if not chunk:
            raise closed()
        read += chunk
    return bytes(read)


def wait_for_more(connection: socket.socket) -> bool:
    """Wait for the next frame to begin; tell whether there is one."""
    connection.settimeout(None)
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except ConnectionResetError:
        return False
