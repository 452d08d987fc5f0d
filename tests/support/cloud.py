"""Clients of a speech service on loopback, and dictations through one; the listening process is real."""

import io
import os
from contextlib import asynccontextmanager

import soundfile

from support.certificates import authority
from support.speech import RATE, read_wav, tended, wheel_assets, wheel_clips, write_spool
from support.speech_server import says, serving
from v2m.domain.ports import TranscribeOptions
from v2m.infrastructure._secrets import ApiKey
from v2m.infrastructure.engines._process import WorkerProcess
from v2m.infrastructure.engines.openai_http import OpenAiSpeech
from v2m.infrastructure.engines.openai_services import listening_arguments
from v2m.infrastructure.engines.openai_transcriber import OpenAiTranscriber

FLAC = b"fLaC" + os.urandom(20_000)
KEY = "sk-very-secret-0123456789"
OPTIONS = TranscribeOptions()


def build_client(base_url, **options):
    """Return a client of a service that trusts our authority."""
    defaults = {"model": "whisper-1", "api_key": ApiKey("GROQ_API_KEY", value=KEY), "timeout_s": 10.0}
    defaults |= {"ca_file": authority(), "user_agent": "v2m/test"}
    return OpenAiSpeech(base_url=base_url, **{**defaults, **options})


@asynccontextmanager
async def client(base_url, **options):
    """Yield a client of a service."""
    speech = build_client(base_url, **options)
    try:
        yield speech
    finally:
        await speech.aclose()


@asynccontextmanager
async def served(*, server=None, **options):
    """Yield a service and a client of it."""
    async with serving(**(server or {})) as service, client(service.base_url, **options) as speech:
        yield service, speech


@asynccontextmanager
async def transcribed(
    *, early=True, floor=None, allowed=(), timeout_s=20.0, ready=True, server=None, probe=None, **options
):
    """Yield a service, which tells how long each sound is, and a transcriber that uses it."""
    async with serving(**(server or {})) as service:
        service.default = transcribing
        service.on_probe = probe or service.on_probe
        transcriber = OpenAiTranscriber(
            WorkerProcess(engine="none", arguments=listening_arguments(upload_while_speaking=early)),
            lambda: build_client(service.base_url, timeout_s=timeout_s, **options),
            languages=("*",),
            allowed=allowed,
            timeout_s=timeout_s,
            upload_while_speaking=early,
            floor=floor,
        )
        async with tended(transcriber, ready=ready):
            yield service, transcriber


def through(service, settings, **more):
    """Return settings that name a service on this machine."""
    chosen = {
        "transcription.backend": "openai",
        "transcription.openai.preset": "custom",
        "transcription.openai.base_url": service.base_url,
        "transcription.openai.model": "whisper-1",
        "transcription.openai.timeout_s": 5,
        "cloud.ca_file": str(authority()),
    }
    return {**settings, **chosen, **more}


async def transcribing(exchange) -> None:
    """Say how many seconds of audio came."""
    await exchange.read_body()
    await says(f"It lasted {lasting(exchange.request):.0f} seconds.")(exchange)


def lasting(request) -> float:
    """Return the seconds of sound in a request."""
    return len(sound_in(request)) / RATE


def sound_in(request):
    """Return the samples of a request."""
    data, rate = soundfile.read(io.BytesIO(request.fields()["file"]), dtype="int16")
    assert (rate, data.ndim) == (RATE, 1)
    return data


def twelve_seconds() -> bytes:
    """Return speech without a long pause."""
    return read_wav(wheel_assets() / "two_cities.wav")[2 * RATE : 2 * 14 * RATE]


def sentence() -> bytes:
    """Return a short one."""
    return wheel_clips()[0].pcm


class Dictation:
    """Somebody who speaks into a spool while the transcriber listens."""

    def __init__(self, transcriber, spools, number=1, options=OPTIONS, on_partial=None):
        self.spool = spools.take(number, private=True)
        self.utterance = transcriber.open(number, self.spool.reader_fds(), options, on_partial)

    def say(self, *pcm):
        for each in pcm:
            assert self.spool.append(each) == len(each) // 2

    async def stop(self):
        samples = self.spool.head
        self.spool.close()
        return await self.utterance.finish(samples)


async def dictate(transcriber, pcm, options=OPTIONS):
    """Have a recording transcribed that has ended already."""
    return await transcriber.open(1, write_spool(None, pcm), options).finish(len(pcm) // 2)
