"""A speech process that sends what is no message, broken or taken over, is replaced; the daemon's side stays."""

import asyncio
import json

import pytest

from support.speech import tended, transcribe, until, wheel_clips
from v2m.infrastructure.engines._messages import GarbledError, Result, Unpacker, pack
from v2m.infrastructure.engines._process import WorkerProcess

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

# The first life sends bytes of somebody else's, the next ones are as they should be.
SPOILT = """
import os, socket, sys
from pathlib import Path
lives, noise = Path(sys.argv.pop(1)), bytes.fromhex(sys.argv.pop(1))
if not lives.exists():
    lives.touch()
    channel = next(word for word in sys.argv if word.startswith("--channel=")).partition("=")[2]
    socket.socket(fileno=int(channel)).sendall(noise)
    sys.stdin = None
    import time
    time.sleep(60)
from v2m import worker
worker.main()
"""


def message(value, attached=b""):
    body = json.dumps(value).encode()
    return len(body).to_bytes(4, "big") + len(attached).to_bytes(4, "big") + body + attached


NOISE = {
    "noise": b"\x00\x00\x00\x05\x00\x00\x00\x00hello",
    "an endless message": b"\xff" * 64,
    "an unknown kind": message(["Typed", {"text": "rm"}]),
    "a missing field": message(["Result", {"job": 1}]),
    "a field too many": message(["Finish", {"job": 1, "samples": 2, "path": "/"}]),
    "a text that is none": message(["Partial", {"job": 1, "text": 5, "stable": 0, "heard_s": 0, "passages": []}]),
    "capabilities that are none": message(["Ready", {"capabilities": {"name": "x"}}]),
    "deep lists": (b"[" * 60_000).join((len(b"[" * 60_000).to_bytes(4, "big") + bytes(4), b"")),
}


@pytest.mark.parametrize("name", NOISE)
def test_what_is_no_message_is_an_error_of_its_own(name):
    with pytest.raises(GarbledError):
        [each.known() for each in Unpacker().feed(NOISE[name])]


def test_what_is_one_is_taken_whole():
    result = Result(1, "text", 1, 1.5, None, 0.0, 0, 0.0, 1, passages=[[0, 0.5, "text"]])
    assert list(Unpacker().feed(pack(result))) == [result]


@pytest.mark.parametrize("name", ["noise", "an endless message", "capabilities that are none"])
def test_such_a_process_is_replaced_and_the_recording_is_decoded(name, tmp_path, caplog):
    async def scene():
        worker = WorkerProcess(engine="scripted", options={"texts": ["by the second"]})
        index = worker._argv.index("-m")
        worker._argv[index : index + 2] = ["-c", SPOILT, str(tmp_path / "lives"), NOISE[name].hex()]
        async with tended(worker):
            await until(lambda: worker.loads == 1)
            return (await transcribe(worker, wheel_clips()[1].pcm)).text

    assert asyncio.run(scene()) == "by the second"
    assert "it is replaced" in caplog.text
