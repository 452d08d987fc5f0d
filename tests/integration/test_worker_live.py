"""The speech process while somebody speaks: guesses, partial texts, verdicts, FLAC, and who comes first."""

import asyncio
import io
import itertools
import os
import random

import pytest
import soundfile

from support.audio import write_wav
from support.dictating import STEP_BYTES, dictating, say, three_ways
from support.speech import (
    RATE,
    heard,
    noise,
    running,
    silence,
    transcribe,
    until,
    wheel_clips,
    word_error_rate,
    write_spool,
)
from v2m.domain.ports import TranscribeOptions

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

OPTIONS = TranscribeOptions()
SILERO = "--vad=silero"  # for the scripted engine, which otherwise takes everything for speech


def speech():
    """Return five utterances with pauses of half a second to three seconds, and their texts."""
    chosen = [wheel_clips()[number] for number in (0, 1, 3, 5, 12)]
    pauses = (0.5, 0.7, 3.2, 0.9, 1.0)
    pcm = b"".join(clip.pcm + silence(pause_s) for clip, pause_s in zip(chosen, pauses, strict=True))
    return pcm, " ".join(clip.text for clip in chosen)


def test_a_pause_is_decoded_at_once_and_that_text_is_taken_when_the_key_goes_up(tmp_path):
    partials = []

    async def scene():
        async with (
            running(SILERO, engine="scripted", texts=["take {n}"]) as transcriber,
            dictating(transcriber, tmp_path, on_partial=partials.append) as (spool, utterance),
        ):
            await say(spool, utterance, wheel_clips()[1].pcm + silence(0.3))
            await until(lambda: partials)
            return await utterance.finish(spool.head)

    found = asyncio.run(scene())
    assert (partials[0].text, partials[0].stable) == ("take 1", 0)
    assert (found.text, found.segments) == ("take 1", 1)
    assert partials[-1].text == "take 1"
    assert len(partials) == 2  # the guess, and the same once it is certain


def test_without_guesses_the_text_comes_at_the_end(tmp_path):
    partials = []

    async def scene():
        async with (
            running(SILERO, "--tentative-s=inf", engine="scripted", texts=["take {n}"]) as transcriber,
            dictating(transcriber, tmp_path, on_partial=partials.append) as (spool, utterance),
        ):
            await say(spool, utterance, wheel_clips()[1].pcm + silence(0.5))
            assert partials == []
            return (await utterance.finish(spool.head)).text

    assert asyncio.run(scene()) == "take 1"


def test_what_partials_promise_is_in_the_text_and_nothing_is_told_twice(tmp_path):
    pcm, text = speech()
    partials = []

    async def scene():
        async with (
            running() as transcriber,
            dictating(transcriber, tmp_path, on_partial=partials.append) as (spool, utterance),
        ):
            await say(spool, utterance, pcm)
            return await utterance.finish(spool.head)

    found = asyncio.run(scene())
    assert len(partials) >= 3
    promised = ""
    for partial in partials:
        assert partial.text.startswith(promised)
        promised = partial.text[: partial.stable]
        assert partial.heard_s <= found.duration_s
    assert found.text.startswith(promised)
    assert [passage for partial in partials for passage in partial.passages] == list(found.passages)
    assert found.passages[-1].end_s <= found.duration_s
    assert word_error_rate([(text, found.text)]) <= 0.15


def test_a_word_is_being_spoken_until_it_is_not(tmp_path):
    clip = wheel_clips()[-3]

    async def scene():
        async with (
            running(SILERO, engine="scripted") as transcriber,
            dictating(transcriber, tmp_path) as (spool, utterance),
        ):
            assert not utterance.speaking
            await utterance.quiet()
            await say(spool, utterance, silence(1))
            assert not utterance.speaking
            for at in range(0, len(clip.pcm), STEP_BYTES):
                await say(spool, utterance, clip.pcm[at : at + STEP_BYTES])
                if utterance.speaking:
                    break
            assert utterance.speaking
            async with asyncio.TaskGroup() as group:
                waiting = group.create_task(utterance.quiet())
                await asyncio.sleep(0)
                assert not waiting.done()
                await say(spool, utterance, silence(1))
            assert not utterance.speaking

    asyncio.run(scene())


def test_without_a_detector_nobody_is_waited_for(tmp_path):
    async def scene():
        async with (
            running(engine="scripted") as transcriber,
            dictating(transcriber, tmp_path) as (spool, utterance),
        ):
            await say(spool, utterance, wheel_clips()[0].pcm)
            assert utterance.speech_until > 0
            assert not utterance.speaking

    asyncio.run(scene())


# --- FLAC ---------------------------------------------------------------------------------------------


def unpacked(flac):
    samples, rate = soundfile.read(io.BytesIO(flac), dtype="int16")
    assert rate == RATE
    return samples.tobytes()


@pytest.mark.parametrize("engine", ["none", "scripted"])
def test_each_closed_segment_comes_as_flac_without_loss_and_once(tmp_path, engine):
    pcm, _ = speech()
    encoded = []

    async def scene():
        async with (
            running(SILERO, engine=engine) as transcriber,
            dictating(transcriber, tmp_path, on_encoded=lambda *one: encoded.append(one)) as (spool, utterance),
        ):
            assert transcriber.loads == 1
            half = len(pcm) // 4 * 2
            await say(spool, utterance, pcm[:half])
            assert encoded
            os.kill(transcriber.pid, 9)  # the next process closes the same segments again
            await until(lambda: transcriber.loads == 2)
            await say(spool, utterance, pcm[half:])
            found = await utterance.finish(spool.head)
            assert len(encoded) == found.segments
            return found

    found = asyncio.run(scene())
    assert found.text == ""
    starts = [segment.start for segment, _ in encoded]
    assert starts == sorted(set(starts))
    for segment, flac in encoded:
        assert unpacked(flac) == pcm[2 * segment.start : 2 * segment.end]
        assert segment.start <= segment.speech_start < segment.speech_end <= segment.end


def test_a_recording_without_speech_has_nothing_to_send():
    async def scene():
        async with running(engine="none") as transcriber:
            encoded = []
            pcm = noise(5, -40)
            utterance = transcriber.open(1, write_spool(None, pcm), OPTIONS, None, lambda *one: encoded.append(one))
            found = await utterance.finish(len(pcm) // 2)
            assert (found.text, found.engine, encoded) == ("", "none", [])
            assert transcriber.capabilities.name == "none"

    asyncio.run(scene())


# --- who comes first ----------------------------------------------------------------------------------


def test_a_dictation_goes_before_a_file_which_loses_nothing(tmp_path):
    pcm = b"".join(clip.pcm for clip in wheel_clips()) * 2
    file = write_wav(tmp_path / "long.wav", pcm=pcm)

    async def scene():
        async with running() as transcriber:

            async def long():
                utterance = transcriber.open(0, [os.open(file, os.O_RDONLY)], TranscribeOptions(file=True))
                return (await utterance.finish(0)).text

            undisturbed = await long()
            async with asyncio.TaskGroup() as group:
                disturbed = group.create_task(long())
                await asyncio.sleep(0)
                for _ in range(5):
                    assert (await transcribe(transcriber, wheel_clips()[1].pcm)).text == "No matter."
                    assert not disturbed.done()
            assert disturbed.result() == undisturbed

    asyncio.run(scene())


def test_any_order_of_dictations_gives_the_same_words():
    chosen = [clip.pcm for clip in wheel_clips()[:8]] + [noise(3, -40), silence(1)]
    order = list(range(len(chosen)))
    random.Random(1).shuffle(order)
    first = heard(*chosen)
    second = heard(*(chosen[number] for number in order))
    assert [found.text for found in second] == [first[number].text for number in order]
    assert [found.speech_s for found in second] == [first[number].speech_s for number in order]


def test_the_same_recording_gives_the_same_words_live_by_file_and_by_retry(tmp_path):
    pauses = itertools.cycle((0, 0.1, 0.2, 0.5))
    recordings = [clip.pcm + silence(next(pauses)) for clip in wheel_clips()[::2]] + [speech()[0]]

    async def scene():
        async with running() as transcriber:
            return [await three_ways(transcriber, tmp_path / str(at), pcm) for at, pcm in enumerate(recordings)]

    found = asyncio.run(scene())
    assert sum(len(set(texts)) == 1 for texts in found) >= 0.95 * len(found)
    assert any(live for live, _, _ in found)


# --- engines that stream, texts that nobody believes --------------------------------------------------


def test_a_streaming_engine_hears_from_the_first_word_on_and_is_cut_nowhere(tmp_path):
    partials = []
    pcm = silence(2) + wheel_clips()[10].pcm + silence(1) + wheel_clips()[11].pcm  # 12 s, with a pause

    async def scene():
        words = " ".join(f"w{number}" for number in range(30))
        async with (
            running(SILERO, engine="scripted", texts=[words], streaming=True) as transcriber,
            dictating(transcriber, tmp_path, on_partial=partials.append) as (spool, utterance),
        ):
            assert transcriber.capabilities.streaming
            await say(spool, utterance, silence(2))
            assert partials == []
            await say(spool, utterance, pcm[4 * RATE :])
            await until(lambda: partials and len(partials[-1].text.split()) >= 10)
            return await utterance.finish(spool.head)

    found = asyncio.run(scene())
    assert found.segments == 1
    assert len(found.text.split()) == 30
    counts = [len(partial.text.split()) for partial in partials]
    assert counts == sorted(counts)
    assert all(partial.stable == 0 for partial in partials[:-1])
    assert partials[-1].stable == len(found.text)


def test_an_invented_text_is_told_apart_and_not_given_as_text():
    async def scene(pcm, options=OPTIONS):
        invented = {"texts": ["Thank you for watching."], "confidence": -0.9}
        async with running(SILERO, engine="scripted", **invented) as transcriber:
            return await transcribe(transcriber, pcm, options)

    pcm = wheel_clips()[1].pcm
    found = asyncio.run(scene(pcm))
    assert (found.text, found.suppressed, found.passages) == ("", "Thank you for watching.", ())
    found = asyncio.run(scene(pcm, TranscribeOptions(vad=False)))
    assert (found.text, found.suppressed) == ("Thank you for watching.", "")
