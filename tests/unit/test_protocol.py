"""The wire without a socket: bytes in, values out."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2m.client import MAX_PAYLOAD_SIZE
from v2m.core import ipc_protocol as wire
from v2m.core.ipc_protocol import (
    ControlByte,
    FrameDecoder,
    Request,
    encode_frame,
    failure,
    parse_request,
    success,
)
from v2m.domain.errors import CaptureError, CaptureReason, FrameTooLargeError, ProtocolError, StateError

pytestmark = pytest.mark.unit

PROTOCOL = Path(__file__).resolve().parents[2] / "PROTOCOL.md"

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
requests = st.builds(
    Request,
    cmd=st.text(min_size=1, max_size=30),
    data=st.dictionaries(st.text(max_size=10), values, max_size=5),
    id=st.none() | st.integers() | st.text(max_size=20),
)


def framed(request: Request) -> bytes:
    envelope: dict[str, Any] = {"cmd": request.cmd, "data": request.data}
    return encode_frame(envelope if request.id is None else {**envelope, "id": request.id})


def decode(chunks: list[bytes]) -> list[Request | str]:
    """Feed chunks as a connection would; a bad frame ends it, a bad body does not."""
    decoder, found = FrameDecoder(), list[Request | str]()
    for chunk in chunks:
        decoder.feed(chunk)
        try:
            while (body := decoder.next_body()) is not None:
                try:
                    found.append(parse_request(body))
                except ProtocolError as error:
                    found.append(str(error))
        except ProtocolError as error:
            return [*found, type(error).__name__]
    return found


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted(place % (len(data) + 1) for place in places)
    return [data[a:b] for a, b in zip([0, *ends], [*ends, len(data)], strict=True)]


@given(st.lists(requests, max_size=5), st.lists(st.integers(0, 10_000), max_size=12))
def test_any_cutting_of_the_stream_gives_the_same_requests(sent: list[Request], places: list[int]) -> None:
    stream = b"".join(map(framed, sent))
    assert decode(cut(stream, places)) == sent
    assert decode([bytes([byte]) for byte in stream]) == sent


@given(st.binary(max_size=200) | st.builds(lambda tail: b"\0\0\0" + tail, st.binary(max_size=60)))
def test_garbage_whole_is_garbage_byte_by_byte(garbage: bytes) -> None:
    assert decode([garbage]) == decode([bytes([byte]) for byte in garbage])


@given(st.binary(max_size=300))
def test_a_body_is_a_request_or_a_protocol_error(body: bytes) -> None:
    with suppress(ProtocolError):
        assert isinstance(parse_request(body), Request)


@pytest.mark.parametrize("size", [0, 1, 1 << 16, MAX_PAYLOAD_SIZE])
def test_every_legal_length_begins_with_zero(size: int) -> None:
    assert size.to_bytes(4, "big")[0] == 0
    assert MAX_PAYLOAD_SIZE < 1 << 24


def test_a_frame_of_the_cap_passes_and_one_more_byte_does_not() -> None:
    decoder = FrameDecoder()
    decoder.feed(MAX_PAYLOAD_SIZE.to_bytes(4, "big") + b"x" * MAX_PAYLOAD_SIZE)
    assert len(decoder.next_body() or b"") == MAX_PAYLOAD_SIZE
    decoder.feed((MAX_PAYLOAD_SIZE + 1).to_bytes(4, "big"))
    with pytest.raises(FrameTooLargeError):
        decoder.next_body()


def test_an_answer_above_the_cap_is_never_made() -> None:
    empty = len(encode_frame({"t": ""})) - 4
    assert len(encode_frame({"t": "x" * (MAX_PAYLOAD_SIZE - empty)})) == MAX_PAYLOAD_SIZE + 4
    with pytest.raises(FrameTooLargeError):
        encode_frame({"t": "x" * (MAX_PAYLOAD_SIZE - empty + 1)})


@pytest.mark.parametrize(
    ("start", "hint"),
    [(b'{"cmd": "PING"}', "4 bytes"), (b"[1]", "4 bytes"), (b"GET / HTTP/1.1", "PROTOCOL"), (b"\x06", "PROTOCOL")],
)
def test_what_is_no_frame_is_told_what_is_missing(start: bytes, hint: str) -> None:
    decoder = FrameDecoder()
    decoder.feed(start)
    with pytest.raises(ProtocolError) as caught:
        decoder.next_body()
    assert hint in (caught.value.hint or "")


def test_an_empty_frame_is_refused() -> None:
    decoder = FrameDecoder()
    decoder.feed(bytes(4))
    with pytest.raises(ProtocolError):
        decoder.next_body()


def test_a_begun_frame_is_pending() -> None:
    decoder = FrameDecoder()
    assert not decoder.pending
    decoder.feed(b"\0\0")
    assert decoder.pending
    decoder.feed(b"\0\x02{}")
    decoder.next_body()
    assert not decoder.pending


BAD_BODIES = [
    b"\xff\xfe", b"", b"{", b"[]", b"1", b"null", b'"PING"', b"{}", b'{"cmd": 1}', b'{"cmd": null}',
    b'{"cmd": ["PING"]}',
    b'{"cmd": "PING", "data": []}', b'{"cmd": "PING", "data": "x"}', b'{"cmd": "PING", "id": 1.5}',
    b'{"cmd": "PING", "id": true}', b'{"cmd": "PING", "id": {}}', b"[" * 5000 + b"]" * 5000, b'{"cmd":' * 5000,
]  # fmt: skip


@pytest.mark.parametrize("body", BAD_BODIES, ids=lambda body: body[:24].decode("latin-1"))
def test_a_bad_body_is_a_sentence(body: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"\.$"):
        parse_request(body)


def test_the_documents_request_is_read() -> None:
    body = b'{ "cmd": "PING", "data": { "optional": "payload" } }'
    assert parse_request(body) == Request("PING", {"optional": "payload"})


def test_the_documents_response_is_the_shape_of_ours() -> None:
    assert success({"state": "idle"}) == json.loads('{ "status": "success", "data": { "state": "idle" } }')


def test_missing_data_is_empty_and_other_keys_are_ignored() -> None:
    assert parse_request(b'{"cmd":"X","data":null,"version":9,"id":"a"}') == Request("X", {}, "a")


def test_a_refusal_carries_code_message_hint_state_and_reason() -> None:
    error = CaptureError("No microphone.", reason=CaptureReason.NO_DEVICE, hint="v2m devices")
    assert failure(error, "idle", 3) == {
        "status": "error",
        "error": {
            "code": "capture_failed",
            "message": "No microphone.",
            "hint": "v2m devices",
            "reason": "no_device",
        },
        "data": {"state": "idle"},
        "id": 3,
    }
    assert "reason" not in failure(StateError("No."), "idle")["error"]


def test_the_socket_path_is_read_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("/one/a.sock", "/two/b.sock"):
        monkeypatch.setenv("V2M_SOCKET", path)
        assert str(wire.SOCKET_PATH) == path


def test_every_control_byte_stands_in_the_document() -> None:
    text = PROTOCOL.read_text(encoding="utf-8")
    for byte in ControlByte:
        assert f"| `0x{byte:02X}` | {byte.name} |" in text


def test_every_sample_of_the_document_is_valid() -> None:
    blocks = PROTOCOL.read_text(encoding="utf-8").split("```json\n")[1:]
    samples = [json.loads(block.partition("```")[0]) for block in blocks]
    assert {"cmd": "PING", "data": {"optional": "payload"}} in samples
    assert {"status": "success", "data": {"state": "idle"}} in samples
