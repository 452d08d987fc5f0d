"""What a speech service, the way there and our own logs must not get to see."""

import asyncio
import logging
import traceback

import pytest

from support.cloud import FLAC, KEY, client, served
from support.speech import until
from support.speech_server import HTML, answers, half, hang_up, held, serving
from v2m.domain.errors import EngineReason, EngineUnavailableError

pytestmark = pytest.mark.integration

# --- secrets ---


def test_the_key_is_in_no_error_log_or_repr(caplog):
    caplog.set_level(logging.DEBUG)

    async def scene():
        told = []
        async with served(max_retries=1) as (service, speech):
            told += [repr(speech), repr(speech._key), repr(vars(speech))]
            await speech.warm()
            await speech.transcribe(FLAC)
            leaky = b'{"error": {"message": "bad key %s"}}' % KEY.encode()
            bad = [answers(status, leaky) for status in (400, 401, 402, 403, 404, 413, 429, 500)]
            for behaviour in [hang_up, half, HTML, *bad]:
                service.default = behaviour
                with pytest.raises(EngineUnavailableError) as caught:
                    await speech.transcribe(FLAC)
                told += [*traceback.format_exception(caught.value), repr(caught.value), str(caught.value.hint)]
        async with client("https://localhost:1/v1", max_retries=0) as speech:
            with pytest.raises(EngineUnavailableError) as caught:
                await speech.transcribe(FLAC)
            told += traceback.format_exception(caught.value)
        return told

    told = "\n".join([*asyncio.run(scene()), caplog.text])
    assert "Hello there." not in told
    assert KEY not in told
    assert len(told) > 1000


def test_a_key_does_not_travel_unencrypted_to_another_machine():
    async def scene():
        async with served(ca_file=None, server={"tls": False}) as (service, speech):
            await speech.transcribe(FLAC)
            assert "authorization" in service.requests[0].headers, "loopback stays in this machine"
            speech._pool.private = False  # as it is for any other http:// address
            await speech.transcribe(FLAC)
            assert "authorization" not in service.requests[1].headers
        async with client("http://192.0.2.1/v1") as speech:
            assert not speech._pool.private

    asyncio.run(scene())


def test_cookies_are_not_kept():
    async def scene():
        async with served() as (service, speech):
            service.script = [answers(200, b'{"text": "x"}', Set_Cookie="who=me; Path=/; Secure")]
            await speech.transcribe(FLAC)
            await speech.transcribe(FLAC)
            assert "cookie" not in service.requests[1].headers

    asyncio.run(scene())


# --- proxies ---


def test_a_proxy_of_the_environment_is_used_but_never_for_this_machine(monkeypatch):
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)

    async def scene():
        async with serving(tls=False) as proxy:
            monkeypatch.setenv("https_proxy", f"http://localhost:{proxy.port}")
            async with served() as (_, speech):
                assert (await speech.transcribe(FLAC)).text == "Hello there."
                assert proxy.connections == 0
            proxy.default = answers(407)
            async with client("https://speech.example/v1", max_retries=0) as speech:
                with pytest.raises(EngineUnavailableError, match="proxy") as caught:
                    await speech.transcribe(FLAC)
                assert caught.value.reason is EngineReason.NETWORK
                assert proxy.requests[0].method == "CONNECT"
                assert proxy.requests[0].path == "speech.example:443"
                assert "authorization" not in proxy.requests[0].headers
            monkeypatch.setenv("no_proxy", "speech.example")
            async with client("https://speech.example/v1", max_retries=0) as speech:
                with pytest.raises(EngineUnavailableError, match="cannot be found"):
                    await speech.transcribe(FLAC)
                assert len(proxy.requests) == 1

    asyncio.run(scene())


def test_what_is_cancelled_is_cut_off_on_the_way_to_a_proxy_too(monkeypatch):
    async def scene():
        async with serving(tls=False) as proxy:
            monkeypatch.setenv("http_proxy", f"http://localhost:{proxy.port}")
            async with client("http://speech.example/v1") as speech:
                assert (await speech.transcribe(FLAC)).text == "Hello there."
                assert proxy.requests[0].path == "http://speech.example/v1/audio/transcriptions"
                assert "authorization" not in proxy.requests[0].headers
                proxy.script = [held]
                async with asyncio.TaskGroup() as group:
                    upload = group.create_task(speech.transcribe(bytes(3_000_000)))
                    await proxy.holding.wait()
                    upload.cancel()
                proxy.go_on.set()
                await until(lambda: proxy.requests[1].broken_off)
                assert len(proxy.requests[1].body) < proxy.requests[1].length

    asyncio.run(scene())


def test_a_proxy_that_cannot_be_used_is_not_gone_around(monkeypatch):
    monkeypatch.setenv("all_proxy", "socks5://user:password@127.0.0.1:9050")
    monkeypatch.delenv("https_proxy", raising=False)

    async def scene():
        async with client("https://speech.example/v1") as speech:
            with pytest.raises(EngineUnavailableError, match="socks5") as caught:
                await speech.transcribe(FLAC)
            assert "password" not in str(caught.value)
            assert "NO_PROXY=speech.example" in (caught.value.hint or "")

    asyncio.run(scene())
