"""The client of speech services, against a real service on loopback: requests and connections."""

import asyncio
import os

import pytest

from support.certificates import authority
from support.cloud import FLAC, KEY, client, served
from support.speech import until
from support.speech_server import answers, hang_up, says, serving, silent, slow
from v2m.domain.errors import EngineReason, EngineUnavailableError
from v2m.infrastructure._http_pool import MAX_CONNECTIONS
from v2m.infrastructure._secrets import ApiKey
from v2m.infrastructure.engines.openai_services import PRESETS, build_speech

pytestmark = pytest.mark.integration


def test_a_request_is_what_the_protocol_asks_for():
    async def scene():
        async with served() as (service, speech):
            service.default = says(" Hello there.", segments=[{"avg_logprob": -0.25, "tokens": [1]}])
            heard = await speech.transcribe(FLAC, language="en-GB", prompt="GitHub, ComfyUI")
            assert (heard.text, heard.confidence, heard.language) == ("Hello there.", -0.25, "en")
            (request,) = service.requests
            assert (request.method, request.path) == ("POST", "/v1/audio/transcriptions")
            assert request.headers["authorization"] == f"Bearer {KEY}"
            assert request.headers["user-agent"] == "v2m/test"
            assert "cookie" not in request.headers
            assert request.fields() == {
                "model": b"whisper-1",
                "language": b"en",
                "prompt": b"GitHub, ComfyUI",
                "response_format": b"verbose_json",
                "file": FLAC,
            }

    asyncio.run(scene())


def test_what_is_not_known_is_not_sent():
    async def scene():
        async with served(timed=True) as (service, speech):
            await speech.transcribe(FLAC)
            assert service.requests[0].fields().keys() == {
                "model",
                "response_format",
                "timestamp_granularities[]",
                "file",
            }
            body = bytes(service.requests[0].body)
            assert body.count(b"timestamp_granularities[]") == 2
            await speech.transcribe(FLAC, prompt="word " * 1000)
            prompt = service.requests[1].fields()["prompt"].decode()
            assert 500 < len(prompt) <= 600
            assert prompt.endswith("word")

    asyncio.run(scene())


def test_a_model_that_tells_log_probabilities_is_asked_for_them():
    async def scene():
        async with served(model="gpt-4o-transcribe") as (service, speech):
            service.default = says("Hi", logprobs=[{"token": "Hi", "logprob": -0.5}])
            assert (await speech.transcribe(FLAC)).words[0].confidence == -0.5
            assert service.requests[0].fields()["include[]"] == b"logprobs"
            assert service.requests[0].fields()["response_format"] == b"json"

    asyncio.run(scene())


def test_a_service_that_knows_plain_json_only_is_asked_for_that_ever_after():
    async def scene():
        async with served() as (service, speech):
            service.script = [answers(400, b'{"error": {"message": "response_format verbose_json is not compatible"}}')]
            assert (await speech.transcribe(FLAC)).text == "Hello there."
            await speech.transcribe(FLAC)
            forms = [request.fields()["response_format"] for request in service.requests]
            assert forms == [b"verbose_json", b"json", b"json"]

    asyncio.run(scene())


def test_twenty_dictations_with_gaps_cost_one_handshake():
    async def scene():
        async with served() as (service, speech):
            await speech.warm()
            assert (service.handshakes, speech.connection) == (1, "open")
            for _ in range(20):
                await speech.warm()
                await asyncio.sleep(0.1)
                await speech.transcribe(FLAC)
                await asyncio.sleep(0.1)
            assert (service.connections, service.handshakes, speech.handshakes) == (1, 1, 1)
            assert len(service.requests) == 20
            assert len(service.probes) == 1, "a connection that has just answered is not asked whether it lives"

    asyncio.run(scene())


@pytest.mark.parametrize(("keepalive_s", "handshakes"), [(600.0, 1), (5.0, 2)])
def test_a_gap_of_six_seconds_is_survived_because_connections_are_kept_so_long(keepalive_s, handshakes):
    async def scene():
        async with served(keepalive_s=keepalive_s) as (service, speech):
            await speech.transcribe(FLAC)
            await asyncio.sleep(6.0)
            await speech.transcribe(FLAC)
            assert service.handshakes == handshakes

    asyncio.run(scene())


def test_warming_sends_no_audio_and_carries_the_key_only_if_it_is_at_hand():
    async def scene():
        command = ApiKey("GROQ_API_KEY", command=["echo", KEY])
        async with served(api_key=command) as (service, speech):
            await speech.warm()
            (probe,) = service.probes
            assert (probe.method, probe.path, bytes(probe.body)) == ("HEAD", "/v1/models", b"")
            assert "authorization" not in probe.headers
            speech.drop()
            await speech.fetch_key()
            await speech.warm()
            assert service.probes[1].headers["authorization"] == f"Bearer {KEY}"
            assert service.requests == []

    asyncio.run(scene())


def test_an_upload_waits_for_a_connection_that_is_being_made():
    async def scene():
        async with served() as (service, speech):
            service.on_probe = slow(0.3, answers(200))
            async with asyncio.TaskGroup() as group:
                group.create_task(speech.warm())
                await asyncio.sleep(0)
                group.create_task(speech.warm())
                await speech.transcribe(FLAC)
            assert (service.connections, len(service.probes)) == (1, 1)

    asyncio.run(scene())


def test_a_connection_that_the_service_closed_is_made_anew_by_warming():
    async def scene():
        async with served(server={"idle_s": 0.2}) as (service, speech):
            await speech.transcribe(FLAC)
            await until(lambda: service.open == 0)
            await until(lambda: speech.connection == "closed")
            await speech.warm()
            assert (service.handshakes, speech.connection) == (2, "open")
            await speech.transcribe(FLAC)
            assert service.handshakes == 2

    asyncio.run(scene())


def test_without_warming_it_is_made_anew_by_the_request():
    async def scene():
        async with served(server={"idle_s": 0.2}) as (service, speech):
            await speech.transcribe(FLAC)
            await until(lambda: service.open == 0)
            assert (await speech.transcribe(FLAC)).text == "Hello there."
            assert service.handshakes == 2

    asyncio.run(scene())


def test_a_kept_connection_that_dies_under_a_request_is_replaced_without_a_word():
    async def scene():
        async with served(max_retries=0) as (service, speech):
            await speech.transcribe(FLAC)
            service.script = [hang_up]
            assert (await speech.transcribe(FLAC)).text == "Hello there."
            assert [request.connection for request in service.requests] == [1, 1, 2]
            service.script = [hang_up, hang_up]
            with pytest.raises(EngineUnavailableError):  # a second one in a row is no accident
                await speech.transcribe(FLAC)

    asyncio.run(scene())


def test_a_connection_that_a_router_has_forgotten_is_replaced_while_the_user_speaks():
    async def scene():
        async with served() as (service, speech):
            await speech.transcribe(FLAC)
            service.mute()
            speech._pool.used_at -= 60.0
            await speech.warm()
            assert (service.connections, speech.connection) == (2, "open")
            assert (await speech.transcribe(FLAC)).text == "Hello there."
            assert [request.connection for request in service.requests] == [1, 2]

    asyncio.run(scene())


def test_after_the_machine_slept_nothing_is_sent_into_an_old_connection():
    async def scene():
        async with served() as (service, speech):
            await speech.transcribe(FLAC)
            service.mute()
            speech._pool._slept_s -= 3600.0
            await speech.warm()
            assert service.connections == 2
            speech._pool._slept_s -= 3600.0
            service.mute()
            assert (await speech.transcribe(FLAC)).text == "Hello there."
            assert [request.connection for request in service.requests] == [1, 3]

    asyncio.run(scene())


def test_connections_are_dropped_on_demand_and_requests_under_way_find_another():
    async def scene():
        async with served() as (service, speech):
            service.script = [silent]
            async with asyncio.TaskGroup() as group:
                request = group.create_task(speech.transcribe(FLAC))
                await until(lambda: service.requests)
                speech.drop()
                assert (await request).text == "Hello there."
            assert service.connections == 2

    asyncio.run(scene())


def test_several_uploads_at_once_all_arrive_and_leave_one_connection():
    async def scene():
        async with served() as (service, speech):
            async with asyncio.TaskGroup() as group:
                uploads = [group.create_task(speech.transcribe(FLAC)) for _ in range(9)]
            assert {upload.result().text for upload in uploads} == {"Hello there."}
            assert 1 < service.connections <= MAX_CONNECTIONS
            await until(lambda: service.open == 1)

    asyncio.run(scene())


def test_closing_leaves_no_connection_and_no_descriptor():
    async def scene():
        before = len(os.listdir("/proc/self/fd"))
        async with serving() as service:
            async with client(service.base_url) as speech:
                await speech.transcribe(FLAC)
            await speech.aclose()
            await until(lambda: service.open == 0)
            with pytest.raises(EngineUnavailableError):
                await speech.transcribe(FLAC)
            await speech.warm()
            assert service.connections == 1
        await until(lambda: len(os.listdir("/proc/self/fd")) <= before + 2)  # the loop's own

    asyncio.run(scene())


def test_the_presets_are_addresses_of_services():
    assert PRESETS.keys() == {"groq", "openai", "custom"}
    for name in ("groq", "openai"):
        preset = PRESETS[name]
        assert preset.base_url.startswith("https://")
        assert preset.base_url.endswith("/v1")
        assert preset.variable.endswith("_API_KEY")


def test_a_client_is_built_from_a_preset_and_what_differs():
    async def scene():
        async with serving() as service:
            speech = build_speech(
                PRESETS["groq"],
                base_url=service.base_url,
                key="sk-mine",
                ca_file=authority(),
                timeout_s=5,
                user_agent="v2m/1",
            )
            await speech.transcribe(b"fLaC")
            assert service.requests[0].headers["authorization"] == "Bearer sk-mine"
            assert service.requests[0].fields()["model"] == b"whisper-large-v3-turbo"
            await speech.aclose()
            own = build_speech(
                PRESETS["custom"],
                base_url=service.base_url,
                model="mine",
                ca_file=authority(),
                timeout_s=5,
                user_agent="v2m/1",
            )
            await own.transcribe(b"fLaC")
            assert "authorization" not in service.requests[1].headers
            assert service.requests[1].fields()["model"] == b"mine"
            await own.aclose()
        unset = build_speech(PRESETS["openai"], timeout_s=5, user_agent="v2m/1")
        with pytest.raises(EngineUnavailableError, match="OPENAI_API_KEY is not set") as caught:
            await unset.transcribe(b"fLaC")
        assert caught.value.reason is EngineReason.AUTH
        nowhere = build_speech(PRESETS["custom"], timeout_s=5, user_agent="v2m/1")
        with pytest.raises(EngineUnavailableError, match="no address") as caught:
            await nowhere.transcribe(b"fLaC")
        assert "transcription.openai.base_url" in (caught.value.hint or "")

    asyncio.run(scene())
