"""What is fuzzed: a target takes any bytes and returns; whatever it raises is a broken promise.

The same functions are run by hypothesis in every test run, and for as long as one likes by `scripts/fuzz`.
"""

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress

from v2m.application.commands import Command, parse_command
from v2m.config import Settings, merge, read_layers
from v2m.core.ipc_protocol import MAX_PAYLOAD_SIZE, FrameDecoder, parse_request
from v2m.domain.audio import SAMPLE_BYTES
from v2m.domain.errors import ConfigError, EngineUnavailableError, ProtocolError, StorageError
from v2m.domain.transcript import Hypothesis
from v2m.infrastructure._http_pool import Reply
from v2m.infrastructure._spool_reader import SpoolReader
from v2m.infrastructure.engines._answers import parse_answer
from v2m.infrastructure.engines._messages import GarbledError, Unpacker
from v2m.infrastructure.engines._refusals import dislikes_format, refusal
from v2m.infrastructure.history._cells import found_rows
from v2m.infrastructure.history._rows import is_row

KEY = "sk-very-secret-0123456789"
STEPS = (1, 3, 7, 64, 4096)  # bytes of one read
COLUMNS = 19


def codec(data: bytes) -> None:
    """Frames become requests, requests commands; anything else is a ProtocolError, however the bytes were cut."""
    if not data:
        return
    size, stream = STEPS[data[0] % len(STEPS)], data[1:]
    decoder = FrameDecoder()
    with suppress(ProtocolError):
        for start in range(0, len(stream), size):
            decoder.feed(stream[start : start + size])
            while (body := decoder.next_body()) is not None:
                assert 0 < len(body) <= MAX_PAYLOAD_SIZE
                with suppress(ProtocolError):
                    request = parse_request(body)
                    assert isinstance(parse_command(request.cmd, request.data), Command)


def worker(data: bytes) -> None:
    """What the speech process sends becomes messages of known kinds, or a GarbledError."""
    with suppress(GarbledError):
        for message in Unpacker().feed(data):
            if hasattr(message, "known"):
                message.known()


def configuration(data: bytes) -> None:
    """A file of settings gives settings, or a ConfigError of one sentence without a secret."""
    text = data.decode("utf-8", "replace")
    problem = ""
    try:
        assert isinstance(merge(read_layers({}, text=text)), Settings)
    except ConfigError as error:
        problem = str(error) or "an error without a sentence: pydantic"
    assert "pydantic" not in problem


def answers(data: bytes) -> None:
    """A service's answer is a text, or an EngineUnavailableError that quotes no key."""
    status = (200, 200, 400, 401, 413, 429, 500, 302)[data[0] % 8] if data else 200
    kind = ("application/json", "text/html", "")[len(data) % 3]
    reply = Reply(status, {"content-type": kind, "retry-after": data[:12].decode("latin-1")}, data[1:])
    dislikes_format(reply)
    if status != 200:
        assert KEY not in str(refusal(reply, host="localhost", variable="OPENAI_API_KEY", key=KEY))
        return
    with suppress(EngineUnavailableError):
        heard = parse_answer(reply, "localhost")
        assert isinstance(heard, Hypothesis)
        heard.text.encode("utf-8", "replace")


def spool(data: bytes) -> None:
    """A file is a recording whose every sample can be read, or a StorageError."""
    fd = os.memfd_create("fuzz", os.MFD_CLOEXEC)
    os.write(fd, data)
    try:
        reader = SpoolReader(fd)
    except StorageError:
        return
    with reader:
        head = reader.head
        assert 0 <= head * SAMPLE_BYTES <= len(data)
        pcm = reader.pcm(0, head + 1000)
        assert len(pcm) == head * SAMPLE_BYTES
        pcm.release()


def rows(data: bytes) -> None:
    """The bytes of a damaged history give rows that can be written again, or none."""
    half = len(data) // 2
    for database, journal in ((data, b""), (data[:half], data[half:])):
        for found in found_rows(database, journal, most_columns=COLUMNS):
            assert isinstance(found.id, int)
            is_row({"id": found.id, "moved_ns": found.columns[1:2]})


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "codec": codec,
    "worker": worker,
    "configuration": configuration,
    "answers": answers,
    "spool": spool,
    "rows": rows,
}


def seeds() -> Mapping[str, list[bytes]]:
    """Return good input of each target, to begin with."""
    frame = json.dumps({"cmd": "START_RECORDING", "data": {"env": {"DISPLAY": ":0"}}}).encode()
    from v2m.infrastructure.engines import _messages as wire

    return {
        "codec": [b"\x04" + len(frame).to_bytes(4, "big") + frame],
        "worker": [
            wire.pack(wire.Result(1, "text", 1.0, 1.0, None, 0.0, 0, 0.0, 1)),
            wire.pack(wire.Encoded(1, 0, 512, False, 0, 512, b"fLaC")),
            wire.pack(wire.Partial(1, "text", 2, 0.5, [[0.0, 0.5, "text"]])),
        ],
        "configuration": [
            b'[audio]\ndevice = "x"\n[transcription]\nbackend = "scripted"\nlanguages = ["en"]\n',
            b'[[policy]]\napp = "foot"\ndeliver = "copy"\n[transcription.whisper.vad_parameters]\nthreshold = 0.5\n',
        ],
        "answers": [
            b'\0{"text": "Hello there.", "segments": [{"avg_logprob": -0.1, "tokens": [1]}], "language": "english"}',
            b'\0{"text": "Hi", "logprobs": [{"token": "Hi", "logprob": -1}], "words": [{"word": "Hi", "start": 0}]}',
            b'\3{"error": {"message": "no", "code": "invalid"}}',
        ],
        "spool": [_spool()],
        "rows": [_database()],
    }


def _spool() -> bytes:
    from support.speech import write_spool

    (fd,) = write_spool(None, bytes(640))
    try:
        return os.pread(fd, 1 << 16, 0)
    finally:
        os.close(fd)


def _database() -> bytes:
    import tempfile
    from pathlib import Path

    from v2m.domain.dictation import HistoryEntry, Phase
    from v2m.infrastructure.history._rows import entry_columns
    from v2m.infrastructure.history._schema import open_database

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.db"
        database = open_database(path)
        for number in range(1, 40):
            entry = HistoryEntry(number, 1_767_225_600_000_000_000 + number, Phase.DELIVERED, text="word " * number)
            columns = {**entry_columns(entry), "moved_ns": entry.started_ns}
            names = ", ".join(columns)
            marks = ", ".join(f":{name}" for name in columns)
            database.execute(f"INSERT INTO dictation ({names}) VALUES ({marks})", columns)
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()
        return path.read_bytes()
