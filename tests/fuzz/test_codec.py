"""Whatever bytes arrive in whatever pieces, the decoder gives requests or a ProtocolError, and nothing else."""

import random
from contextlib import suppress

import pytest

from v2m.application.commands import Command, parse_command
from v2m.core.ipc_protocol import HEADER_BYTES, MAX_PAYLOAD_SIZE, FrameDecoder, encode_frame, parse_request
from v2m.domain.errors import ProtocolError

pytestmark = pytest.mark.fuzz

ROUNDS = 20_000
SEED = b"v2m"  # the same bytes every time: a failure can be looked at
GOOD = [
    encode_frame({"cmd": cmd, "data": data})
    for cmd, data in (
        ("PING", {}),
        ("START_RECORDING", {"language": "en", "env": {"DISPLAY": ":0"}}),
        ("TYPE_TEXT", {"text": "Grüße 日本語", "deliver": "copy"}),
        ("LIST_HISTORY", {"limit": 5, "before": 3}),
        ("RETRY_DICTATION", {"dictation": 1, "vad": False, "timeout_s": 0.5}),
    )
]


def mutated(dice: random.Random) -> bytes:
    """Return good frames with bytes changed, removed, doubled and inserted."""
    stream = bytearray(b"".join(dice.choices(GOOD, k=dice.randint(1, 3))))
    for _ in range(dice.randint(0, 8)):
        place = dice.randrange(len(stream) or 1)
        match dice.randrange(4):
            case 0 if stream:
                stream[place] = dice.randrange(256)
            case 1:
                del stream[place : place + dice.randint(1, 9)]
            case 2:
                stream[place:place] = dice.randbytes(dice.randint(1, 6))
            case _:
                stream += stream[place:]
    return bytes(stream[:4096])


def take_in(stream: bytes, dice: random.Random) -> None:
    """Act as a connection: frames to requests to commands."""
    decoder = FrameDecoder()
    while stream:
        size = dice.choice((1, 3, 7, 64, 4096))
        decoder.feed(stream[:size])
        stream = stream[size:]
        while (body := decoder.next_body()) is not None:
            assert 0 < len(body) <= MAX_PAYLOAD_SIZE
            with suppress(ProtocolError):
                request = parse_request(body)
                assert isinstance(parse_command(request.cmd, request.data), Command)


def test_no_bytes_break_the_decoder() -> None:
    dice = random.Random(SEED)
    for _ in range(ROUNDS):
        with suppress(ProtocolError):
            take_in(mutated(dice), dice)


def test_a_stream_of_noise_is_refused_by_its_header() -> None:
    dice = random.Random(SEED)
    for _ in range(ROUNDS):
        noise = dice.randbytes(HEADER_BYTES)
        decoder = FrameDecoder()
        decoder.feed(noise)
        length = int.from_bytes(noise, "big")
        if 0 < length <= MAX_PAYLOAD_SIZE:
            assert decoder.next_body() is None
        else:
            with pytest.raises(ProtocolError):
                decoder.next_body()
