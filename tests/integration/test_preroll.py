"""Sound from before START in a real PipeWire graph, beside a second recording that says what there was to be heard."""

import asyncio
import re
from pathlib import Path

import numpy as np
import pytest

from support import speech
from support.audio import write_wav
from support.capture import store
from support.daemon import wait_until
from support.pipewire import PipewireSession, pipewire
from support.witness import Take, armed, start, witness
from v2m.infrastructure._spool import SpoolDirectory
from v2m.infrastructure.capture.pipewire import PipewireMicrophone
from v2m.infrastructure.engines.moonshine import MoonshineEngine

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]
__all__ = ["pipewire", "store"]

RATE = speech.RATE
QUANTUM = 86  # samples: 256/48000
HALF_A_SECOND = 8000
ATTEMPTS = 4  # the virtual microphone and its feeder drop graph cycles on a busy machine


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wav(tmp_path_factory.mktemp("noise") / "noise.wav", seconds=60)


@pytest.mark.parametrize("preroll_ms", [50, 1000, 2000])
def test_a_recording_begins_before_start_without_a_gap(
    preroll_ms: int, store: SpoolDirectory, pipewire: PipewireSession, noise: Path
) -> None:
    async def attempt() -> tuple[Take, list[int]]:
        async with witness(store) as by, armed(preroll_ms) as microphone:
            with pipewire.feeding(noise):
                await by.hears_sound()
                await by.hears(2 * RATE + HALF_A_SECOND)
                take = await start(microphone, store, by)
                await take.goes_on(HALF_A_SECOND)
                await take.stop()
                await by.hears(800)
            return take, take.places(by, around=take.report.preroll)

    for _ in range(ATTEMPTS):
        take, places = asyncio.run(attempt())
        assert take.report.preroll == take.spool.preroll == preroll_ms * RATE // 1000
        assert take.report.seconds_since_start >= 0.5
        if len(places) == 1:
            break
    assert len(places) == 1, "samples are missing or doubled"
    begun_before = take.asked_at - places[0]
    assert abs(begun_before - take.report.preroll) <= 2 * QUANTUM, "the two meet at START"


def test_the_next_recording_repeats_nothing_and_misses_nothing(
    store: SpoolDirectory, pipewire: PipewireSession, noise: Path
) -> None:
    async def attempt() -> tuple[Take, Take, list[list[int]]]:
        async with witness(store) as by, armed(1000) as microphone:
            with pipewire.feeding(noise):
                await by.hears_sound()
                await by.hears(RATE + HALF_A_SECOND)
                first = await start(microphone, store, by)
                await first.goes_on(HALF_A_SECOND)
                await first.stop()
                second = await start(microphone, store, by)
                await second.goes_on(HALF_A_SECOND)
                await second.stop()
                await by.hears(800)
            return first, second, [first.places(by, around=len(first.pcm)), second.places(by, around=0)]

    for _ in range(ATTEMPTS):
        first, second, places = asyncio.run(attempt())
        if [len(each) for each in places] == [1, 1]:
            break
    ((first_at,), (second_at,)) = places
    assert second_at == first_at + len(first.pcm), "it begins with the sample after the first one's last"
    assert second.report.preroll < RATE // 10, "what came between the two, and no more"


def test_a_microphone_armed_just_now_gives_what_it_has(store: SpoolDirectory, pipewire: PipewireSession) -> None:
    async def scenario() -> None:
        async with witness(store) as by:
            before = by.head
            async with armed(2000) as microphone:
                await asyncio.to_thread(wait_until, lambda: pipewire.sources_of("v2m"), what="the link")
                await by.hears(3200)
                take = await start(microphone, store, by)
                await take.stop()
                assert 0 < take.report.preroll <= take.asked_at - before + QUANTUM
                assert take.report.preroll < 2 * RATE

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "microphone", [PipewireMicrophone(policy="armed"), PipewireMicrophone()], ids=["armed", "released"]
)
def test_without_preroll_a_recording_begins_at_start(
    microphone: PipewireMicrophone, store: SpoolDirectory, pipewire: PipewireSession
) -> None:
    async def scenario() -> None:
        async with witness(store) as by:
            await microphone.warm()
            await by.hears(HALF_A_SECOND)
            for _ in range(2):
                take = await start(microphone, store, by)
                await take.stop()
                assert take.report.preroll == 0
                assert len(take.pcm) <= by.head - take.asked_at + QUANTUM
            await microphone.aclose()

    asyncio.run(scenario())


def test_own_links_stay_for_a_microphone_that_listens(store: SpoolDirectory) -> None:
    async def scenario(session: PipewireSession) -> None:
        session.lose_manager()
        async with armed(1000) as microphone:
            for preroll in (False, True):
                spool = store.take(1)
                recording = await microphone.open(spool)
                await recording.first_sample()
                assert recording.source == "v2m virtual microphone"
                assert (spool.preroll > 0) == preroll
                await recording.close()
                spool.close()
                assert await asyncio.to_thread(session.sources_of, "v2m") == ["v2m_mic"]
                await asyncio.sleep(0.1)  # something to be heard
            await microphone.release()
            await asyncio.to_thread(wait_until, lambda: not session.links(), what="our links to go")

    with PipewireSession() as session, session.activated():
        asyncio.run(scenario(session))


# --- the word that began too early ---

KEY_AFTER = 3 * RATE // 10  # the key goes down 300 ms after the word began


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def decoded(engine: MoonshineEngine, pcm: np.ndarray) -> str:
    stream = engine.open_stream("en")
    stream.feed(pcm.astype(np.int16).tobytes())
    return stream.finish().text


@pytest.fixture(scope="module")
def engine() -> MoonshineEngine:
    engine = MoonshineEngine(folder=speech.wheel_assets() / "tiny-en")
    engine.load()
    return engine


@pytest.mark.parametrize("name", ["beckett-3", "two_cities-2", "two_cities-7", "two_cities-8"])
def test_a_word_that_began_before_the_key_is_recognised(
    name: str,
    engine: MoonshineEngine,
    store: SpoolDirectory,
    tmp_path: Path,
    pipewire: PipewireSession,
) -> None:
    clip = next(clip for clip in speech.wheel_clips() if clip.id == name)
    wav = write_wav(tmp_path / "clip.wav", pcm=speech.silence(0.5) + clip.pcm + speech.silence(0.3))
    loudest = np.abs(np.frombuffer(clip.pcm, dtype=np.int16).astype(int)).max()

    async def attempt() -> Take:
        async with witness(store) as by, armed(600) as microphone:
            with pipewire.feeding(wav) as feeder:
                begun = await by.hears_sound(level=0.1 * loudest)
                await by.reaches(begun + KEY_AFTER)
                take = await start(microphone, store, by)
                await asyncio.to_thread(feeder.wait)
            await take.stop()
            return take

    first = words(clip.text)[0]
    for _ in range(ATTEMPTS):
        take = asyncio.run(attempt())
        heard = words(decoded(engine, take.pcm))[:1]
        without = words(decoded(engine, take.pcm[take.report.preroll :]))[:1]
        if heard == [first] and not take.report.gap:
            break
    assert heard == [first]
    assert without != [first]
