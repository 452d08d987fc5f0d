"""What the daemon and the worker tell each other: length-prefixed JSON over a socket pair.

The descriptor of the audio travels beside an `Open` as SCM_RIGHTS. A recording is named by a job number
of the daemon's, so that the same dictation can be decoded twice. Text is in a `Result` only.
"""

import json
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, get_args

from v2m.domain.transcript import Transcript

_LENGTH: Final = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class Open:
    """To the worker: a recording has begun; the descriptor of its audio comes with this message."""

    job: int
    language: str
    vad: bool
    file: bool  # the descriptor is a sound file, not a spool


@dataclass(frozen=True, slots=True)
class Finish:
    """To the worker: the recording ended at `samples` (a sound file at its end); answer with a Result."""

    job: int
    samples: int


@dataclass(frozen=True, slots=True)
class Abandon:
    """To the worker: nobody wants this recording any more; no answer."""

    job: int


@dataclass(frozen=True, slots=True)
class Ready:
    """From the worker: the model is loaded."""

    capabilities: dict[str, Any]  # fields of EngineCapabilities


@dataclass(frozen=True, slots=True)
class Failed:
    """From the worker, its last word: the model cannot be loaded."""

    code: str
    message: str
    hint: str | None


@dataclass(frozen=True, slots=True)
class Working:
    """From the worker, up to twice a second, with each step of its work: it is alive."""


@dataclass(frozen=True, slots=True)
class Heard:
    """From the worker: there is speech in this recording up to a sample."""

    job: int
    speech_until: int


@dataclass(frozen=True, slots=True)
class Result:
    """From the worker: the text of a finished recording."""

    job: int
    text: str
    duration_s: float
    speech_s: float
    confidence: float | None
    vad_ms: float
    vad_errors: int
    decode_ms: float
    segments: int

    def transcript(self, engine: str) -> Transcript:
        """Return it as the application knows it."""
        return Transcript(
            self.text,
            engine,
            duration_s=self.duration_s,
            speech_s=self.speech_s,
            confidence=self.confidence,
            vad_ms=self.vad_ms,
            decode_ms=self.decode_ms,
            segments=self.segments,
        )


@dataclass(frozen=True, slots=True)
class Error:
    """From the worker: this recording cannot be decoded; the others can."""

    job: int
    message: str
    hint: str | None


Message = Open | Finish | Abandon | Ready | Failed | Working | Heard | Result | Error
_KINDS: Final = {kind.__name__: kind for kind in get_args(Message)}


def pack(message: Message) -> bytes:
    """Return the bytes of a message."""
    body = json.dumps([type(message).__name__, asdict(message)], ensure_ascii=False).encode("utf-8", "replace")
    return _LENGTH.pack(len(body)) + body


def send_now(connection: socket.socket, message: Message, descriptors: Sequence[int]) -> bool:
    """Send without waiting; False when the other end has not read the last thousand messages.

    One that is gone is not told here: whoever reads from it sees the end.
    """
    data = pack(message)
    try:
        return socket.send_fds(connection, [data], descriptors) == len(data)
    except BlockingIOError:
        return False
    except OSError:
        return True


class Unpacker:
    """Turns bytes, however they were cut, back into messages."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield each message that is complete now."""
        self._pending += data
        while len(self._pending) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._pending)
            end = _LENGTH.size + length
            if len(self._pending) < end:
                return
            name, fields = json.loads(self._pending[_LENGTH.size : end])
            del self._pending[:end]
            yield _message(name, fields)


def _message(name: str, fields: dict[str, Any]) -> Message:
    message: Message = _KINDS[name](**fields)
    return message
