"""What the daemon and the worker tell each other over a socket pair: two lengths, JSON, then bytes if there are any.

The descriptors of the audio travel beside an `Open` as SCM_RIGHTS. A recording is named by a job number
of the daemon's, so that the same dictation can be decoded twice. Text is in `Partial` and `Result` only.
"""

import json
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final, get_args, get_origin

from v2m.domain.errors import EngineError, UnreadableAudioError
from v2m.domain.ports import EngineCapabilities
from v2m.domain.transcript import PartialTranscript, Passage, Segment, Transcript

_LENGTHS: Final = struct.Struct(">II")  # of the JSON, of the bytes behind it

MAX_PART_BYTES: Final = 64 << 20  # of either; ten minutes of FLAC are 19 MB

Passages = list[list[Any]]  # [start_s, end_s, text] each, as JSON has them


class GarbledError(Exception):
    """What came is none of these messages: the process at the other end is broken, or somebody else's."""


@dataclass(frozen=True, slots=True)
class Open:
    """To the worker: a recording has begun; the descriptors of its audio come with this message."""

    job: int
    language: str
    vad: bool
    file: bool  # the descriptor is a sound file, not a spool
    descriptors: int  # how many; two are a spool's file and the memory in which it may go on
    live: bool = True  # somebody waits for it; else it makes way for those
    partials: bool = False  # send a Partial whenever more text is known
    encoded: bool = False  # send each closed segment as Encoded


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
class Confined:
    """From the worker, its first word: whether it has given up its rights, and why not, or not wholly."""

    held: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Able:
    """From the worker: what the engine can do has changed."""

    capabilities: dict[str, Any]  # fields of EngineCapabilities

    def known(self) -> EngineCapabilities:
        """Return it as the application knows it."""
        try:
            return EngineCapabilities(**{**self.capabilities, "languages": tuple(self.capabilities["languages"])})
        except (TypeError, KeyError) as error:
            raise GarbledError("capabilities that are none") from error


@dataclass(frozen=True, slots=True)
class Ready(Able):
    """From the worker: the model is loaded."""


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
    """From the worker, whenever it looked at more of a recording that goes on."""

    job: int
    heard_until: int  # samples looked at
    speech_until: int  # where the last speech among them ends
    speaking: bool  # a word was being spoken at the end


@dataclass(frozen=True, slots=True)
class Partial:
    """From the worker: the text of a recording so far; the first `stable` characters stay."""

    job: int
    text: str
    stable: int
    heard_s: float
    passages: Passages  # closed since the last one
    length_s: float | None = None  # of the whole file, where its header tells

    def transcript(self) -> PartialTranscript:
        """Return it as the application knows it."""
        return PartialTranscript(self.text, self.stable, self.heard_s, _passages(self.passages), self.length_s)


@dataclass(frozen=True, slots=True)
class Encoded:
    """From the worker: a closed segment, padding included, as a FLAC file; before the recording's Result."""

    job: int
    start: int
    end: int
    continues: bool
    speech_start: int
    speech_end: int
    flac: bytes

    @property
    def segment(self) -> Segment:
        """Where it stands in the recording."""
        return Segment(self.start, self.end, self.continues, self.speech_start, self.speech_end)


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
    suppressed: str = ""
    language: str = ""
    passages: Passages = field(default_factory=list)

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
            passages=_passages(self.passages),
            suppressed=self.suppressed,
            language=self.language,
        )


@dataclass(frozen=True, slots=True)
class Error:
    """From the worker: this recording cannot be decoded; the others can."""

    job: int
    message: str
    hint: str | None
    unreadable: bool = False  # another decoder may read this file

    def as_exception(self) -> EngineError:
        """Return it as the application knows it."""
        kind = UnreadableAudioError if self.unreadable else EngineError
        return kind(self.message, hint=self.hint)


Message = (
    Open | Finish | Abandon | Confined | Ready | Able | Failed | Working | Heard | Partial | Encoded | Result | Error
)
_PASSAGES: Final = [[start, end, str] for start in (int, float) for end in (int, float)]
_KINDS: Final = {kind.__name__: kind for kind in get_args(Message)}


def pack(message: Message) -> bytes:
    """Return the bytes of a message."""
    attached = b""
    if isinstance(message, Encoded):
        attached, message = message.flac, replace(message, flac=b"")
    values = asdict(message)
    values.pop("flac", None)
    body = json.dumps([type(message).__name__, values], ensure_ascii=False).encode("utf-8", "replace")
    return b"".join((_LENGTHS.pack(len(body), len(attached)), body, attached))


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
        """Yield each message that is complete now. Raises GarbledError."""
        self._pending += data
        while len(self._pending) >= _LENGTHS.size:
            length, attached = _LENGTHS.unpack_from(self._pending)
            if max(length, attached) > MAX_PART_BYTES:
                raise GarbledError("a message that is too large")
            middle = _LENGTHS.size + length
            end = middle + attached
            if len(self._pending) < end:
                return
            body, flac = bytes(self._pending[_LENGTHS.size : middle]), bytes(self._pending[middle:end])
            del self._pending[:end]
            try:
                yield _message(body, flac)
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                raise GarbledError("no message") from error


def _message(body: bytes, flac: bytes) -> Message:
    """Return the message. Raises ValueError, TypeError, KeyError, RecursionError."""
    name, values = json.loads(body)
    kind = _KINDS[name]
    if kind is Encoded:
        values["flac"] = flac
    for each in fields(kind):
        if each.name in values and not _fits(values[each.name], each.type):
            raise TypeError(each.name)
    message: Message = kind(**values)
    return message


def _fits(value: object, wanted: Any) -> bool:  # noqa: ANN401 - as annotations are
    """Tell whether a value of JSON is what a field takes; a whole number will do where any will."""
    if wanted == Passages:
        return isinstance(value, list) and all(
            isinstance(one, list) and [type(part) for part in one] in _PASSAGES for one in value
        )
    kinds = get_args(wanted) or (wanted,)
    if isinstance(value, int) and not isinstance(value, bool) and float in kinds:
        return True
    return type(value) in kinds or (get_origin(wanted) is dict and isinstance(value, dict))


def _passages(found: Passages) -> tuple[Passage, ...]:
    return tuple(Passage(*each) for each in found)
