"""What goes wrong with a speech service: each fault has a reason, a sentence and a hint, and does not last."""

import asyncio
import os
import socket
from email.utils import formatdate
from time import monotonic, time

import pytest

from support.cloud import FLAC, client, served
from support.speech import until
from support.speech_server import (
    HTML,
    answers,
    closed_port,
    dribble,
    endless,
    half,
    hang_up,
    held,
    reset,
    says,
    serving,
    silent,
    slow,
)
from v2m.domain.errors import EngineReason, EngineUnavailableError
from v2m.infrastructure._secrets import ApiKey

pytestmark = pytest.mark.faults

FAULTS = {
    "hang up": (hang_up, EngineReason.NETWORK, "broke off"),
    "reset": (reset, EngineReason.NETWORK, "broke off"),
    "half an answer": (half, EngineReason.NETWORK, "broke off"),
    "web page": (HTML, EngineReason.GARBLED, "a web page"),
    "other JSON": (answers(200, b'{"choices": []}'), EngineReason.GARBLED, "no transcription"),
    "no JSON": (answers(200, b"Hello"), EngineReason.GARBLED, "no transcription"),
    "compressed": (answers(200, b"\x1f\x8b", Content_Encoding="gzip"), EngineReason.GARBLED, "compressed"),
    "endless body": (endless, EngineReason.GARBLED, "more than 4 MiB"),
    "401": (answers(401), EngineReason.AUTH, "GROQ_API_KEY"),
    "403": (answers(403), EngineReason.AUTH, "GROQ_API_KEY"),
    "404": (answers(404), EngineReason.REFUSED, "no such address or model"),
    "413": (answers(413), EngineReason.REFUSED, "too large"),
    "429": (answers(429, Retry_After="60"), EngineReason.QUOTA, "60 s"),
    "500": (answers(500, b"oops", "text/plain"), EngineReason.SERVER, "status 500"),
    "301": (answers(301, Location="https://elsewhere.example/v1"), EngineReason.REFUSED, "elsewhere"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_has_a_reason_a_sentence_and_a_hint_and_leaves_the_next_request_alone(name):
    behaviour, reason, message = FAULTS[name]

    async def scene():
        async with served(max_retries=0) as (service, speech):
            service.default = behaviour
            with pytest.raises(EngineUnavailableError, match=message) as caught:
                await speech.transcribe(FLAC)
            assert caught.value.reason is reason
            assert f"localhost:{service.port}" in str(caught.value)
            assert caught.value.hint
            assert speech.trouble == str(caught.value)
            service.default = says("Well again.")
            before = len(service.requests)
            assert (await speech.transcribe(FLAC)).text == "Well again."
            assert len(service.requests) == before + 1, "nothing stands between a fault and the next request"
            assert speech.trouble == ""

    asyncio.run(scene())


@pytest.mark.parametrize("behaviour", [silent, dribble, slow(60, says())], ids=["silent", "dribble", "slow"])
def test_the_deadline_is_for_all_of_it(behaviour):
    async def scene():
        async with served(timeout_s=0.4) as (service, speech):
            service.default = behaviour
            with pytest.raises(EngineUnavailableError, match="gave no text") as caught:
                await speech.transcribe(FLAC)
            assert caught.value.reason is EngineReason.TIMEOUT
            await until(lambda: service.open == 0)
            service.default = says()
            assert (await speech.transcribe(FLAC, deadline=monotonic() + 10)).text == "Hello there."

    asyncio.run(scene())


def test_a_service_that_is_not_there():
    async def scene():
        async with client(f"https://localhost:{closed_port()}/v1", timeout_s=5) as speech:
            await speech.warm()
            assert "refuses connections" in speech.trouble
            assert speech.connection == "closed"
            with pytest.raises(EngineUnavailableError, match="refuses connections") as caught:
                await speech.transcribe(FLAC)
            assert caught.value.reason is EngineReason.NETWORK
        async with client("https://no-such-host.invalid/v1") as speech:
            with pytest.raises(EngineUnavailableError, match="cannot be found") as caught:
                await speech.transcribe(FLAC)
            assert caught.value.reason is EngineReason.NETWORK
        for address in ("https://localhost:99999/v1", "https://[::1/v1", "https://", "", "https://a..b\u0378/v1"):
            async with client(address) as speech:
                with pytest.raises(EngineUnavailableError, match="no address"):
                    await speech.transcribe(FLAC)

    asyncio.run(scene())


def test_a_service_that_takes_no_connection_is_not_waited_for_long():
    async def scene():
        with socket.create_server(("127.0.0.1", 0)) as deaf:
            async with client(f"https://localhost:{deaf.getsockname()[1]}/v1", timeout_s=30) as speech:
                with pytest.raises(EngineUnavailableError, match="does not answer") as caught:
                    await speech.transcribe(FLAC)
                assert caught.value.reason is EngineReason.TIMEOUT
                await speech.warm()
                assert "does not answer" in speech.trouble

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("certificate", "message", "hint"),
    [
        ("expired", "certificate has expired", "clock"),
        ("other host", "not valid for 'localhost'", "cloud.ca_file"),
        ("unknown authority", "unable to get local issuer|self.signed", "cloud.ca_file"),
    ],
)
def test_a_service_that_cannot_prove_who_it_is_gets_nothing(certificate, message, hint):
    async def scene():
        async with served(server={"certificate": certificate}) as (service, speech):
            with pytest.raises(EngineUnavailableError, match=message) as caught:
                await speech.transcribe(FLAC)
            assert caught.value.reason is EngineReason.NETWORK
            assert hint in (caught.value.hint or "")
            assert (service.connections, service.requests) == (1, []), "asked once: it would not help to ask again"

    asyncio.run(scene())


def test_the_systems_authorities_do_not_know_our_service():
    async def scene():
        async with served(ca_file=None) as (service, speech):
            with pytest.raises(EngineUnavailableError, match="does not prove who it is"):
                await speech.transcribe(FLAC)
            assert service.requests == []

    asyncio.run(scene())


def test_https_where_the_service_speaks_http():
    async def scene():
        async with serving(tls=False) as service, client(f"https://localhost:{service.port}") as speech:
            with pytest.raises(EngineUnavailableError, match="No encrypted connection") as caught:
                await speech.transcribe(FLAC)
            assert "https" in (caught.value.hint or "")

    asyncio.run(scene())


@pytest.mark.parametrize("content", [b"", b"no certificate", None])
def test_a_file_of_authorities_that_holds_none(tmp_path, content):
    path = tmp_path / "authority.pem"
    if content is not None:
        path.write_bytes(content)

    async def scene():
        async with served(ca_file=path) as (_, speech):
            with pytest.raises(EngineUnavailableError, match="ca_file"):
                await speech.transcribe(FLAC)
            await speech.warm()
            assert "cloud.ca_file" in speech.trouble

    asyncio.run(scene())


# --- asking again ---


def test_a_fault_of_the_service_is_asked_again():
    async def scene():
        async with served() as (service, speech):
            service.script = [answers(500), answers(503)]
            assert (await speech.transcribe(FLAC)).text == "Hello there."
            assert len(service.requests) == 3
            assert {len(request.body) for request in service.requests} == {service.requests[0].length}
            service.script = [answers(500)] * 9
            with pytest.raises(EngineUnavailableError):
                await speech.transcribe(FLAC)
            assert len(service.requests) == 6, "three times in all"

    asyncio.run(scene())


def test_a_wait_that_fits_into_the_deadline_is_waited():
    async def scene():
        async with served() as (service, speech):
            service.script = [answers(429, Retry_After="0.3")]
            started = monotonic()
            assert (await speech.transcribe(FLAC)).text == "Hello there."
            assert monotonic() - started >= 0.3

    asyncio.run(scene())


@pytest.mark.parametrize("dated", [False, True], ids=["seconds", "date"])
def test_a_wait_that_does_not_fit_is_told_at_once(dated):
    async def scene():
        told = formatdate(time() + 30, usegmt=True) if dated else "30"
        async with served(timeout_s=5) as (service, speech):
            service.script = [answers(429, Retry_After=told)]
            started = monotonic()
            with pytest.raises(EngineUnavailableError) as caught:
                await speech.transcribe(FLAC)
            assert monotonic() - started < 4
            assert caught.value.reason is EngineReason.QUOTA
            assert 20 < caught.value.retry_after_s <= 30
            assert (await speech.transcribe(FLAC)).text == "Hello there."

    asyncio.run(scene())


def test_a_refusal_that_stays_is_not_asked_again():
    async def scene():
        async with served() as (service, speech):
            for behaviour in (answers(400), answers(401), answers(413), HTML, answers(302)):
                service.requests.clear()
                service.default = behaviour
                with pytest.raises(EngineUnavailableError):
                    await speech.transcribe(FLAC)
                assert len(service.requests) == 1

    asyncio.run(scene())


def test_a_key_that_was_changed_is_read_again_after_a_refusal(tmp_path):
    file = tmp_path / "key"
    file.write_text("old\n")
    file.chmod(0o600)

    async def scene():
        async with served(api_key=ApiKey("GROQ_API_KEY", file=file)) as (service, speech):
            await speech.transcribe(FLAC)
            file.write_text("new\n")
            await speech.transcribe(FLAC)
            service.script = [answers(401)]
            assert (await speech.transcribe(FLAC)).text == "Hello there."
            keys = [request.headers["authorization"] for request in service.requests]
            assert keys == ["Bearer old", "Bearer old", "Bearer old", "Bearer new"]

    asyncio.run(scene())


# --- cancelling ---


def test_what_is_cancelled_is_sent_no_further():
    big = os.urandom(3_000_000)  # less than the kernel takes off our hands

    async def scene():
        async with served(server={"tls": False}) as (service, speech):
            service.script = [held]
            async with asyncio.TaskGroup() as group:
                upload = group.create_task(speech.transcribe(big))
                await service.holding.wait()
                await asyncio.sleep(0.2)  # what the buffers on the way take, they have
                upload.cancel()
            service.go_on.set()
            (request,) = service.requests
            await until(lambda: request.broken_off)
            assert len(request.body) < request.length
            assert speech.connection == "closed"
            await asyncio.sleep(0.1)
            assert len(service.requests) == 1
            assert (await speech.transcribe(FLAC)).text == "Hello there."

    asyncio.run(scene())


def test_a_request_that_is_cancelled_while_it_waits_is_seen_by_the_service_at_once():
    async def scene():
        async with served() as (service, speech):
            service.script = [silent]
            async with asyncio.TaskGroup() as group:
                upload = group.create_task(speech.transcribe(FLAC))
                await until(lambda: service.requests and len(service.requests[0].body) == service.requests[0].length)
                upload.cancel()
            await until(lambda: service.requests[0].broken_off)
            assert len(service.requests) == 1

    asyncio.run(scene())
