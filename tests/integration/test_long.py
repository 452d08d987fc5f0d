"""Long dictations: half an hour is complete to the sample, silence is not kept, and the end is told."""

import asyncio
import io
from array import array
from pathlib import Path

import pytest
import soundfile

from support.container import ask, private_home, run
from support.dictating import dictating
from support.speech import RATE, running, silence, until
from v2m.domain.errors import NoSpeechError
from v2m.infrastructure.engines.scripted import ScriptedTranscriber

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

HALF_HOUR = 1800 * RATE + 123  # samples: a last block that is not full
SILENT_S = 240  # two hours are in the bench


async def record(spool, pcm):
    """Store as fast as pages are made ready; return how many samples were stored."""
    stored, view = 0, memoryview(pcm)
    while stored < len(pcm) // 2:
        taken = spool.append(view[2 * stored : 2 * stored + RATE])
        stored += taken
        if not taken:
            await asyncio.sleep(0.005)
    return stored


def test_half_an_hour_reaches_the_speech_process_to_the_sample(tmp_path):
    minute = array("h", (at * 31 % 20_011 - 10_000 for at in range(60 * RATE))).tobytes()  # no two blocks are alike
    pcm = (minute * 31)[: 2 * HALF_HOUR]
    segments = []

    async def scene():
        async with (
            running(engine="scripted", texts=["part"]) as transcriber,
            dictating(
                transcriber,
                tmp_path,
                max_recording_s=1860,
                on_encoded=lambda segment, flac: segments.append((segment, flac)),
            ) as (spool, utterance),
        ):
            assert await record(spool, pcm) == HALF_HOUR
            heard = await utterance.finish(spool.head)
            return heard, spool.overrun, transcriber.loads

    heard, overrun, loads = asyncio.run(scene())
    assert (round(heard.duration_s * RATE), overrun, loads) == (HALF_HOUR, 0, 1)
    assert heard.segments == len(segments)
    assert heard.text.lower().split() == ["part"] * len(segments)
    end = 0
    for segment, flac in segments:
        assert segment.start == end
        end = segment.end
        samples, rate = soundfile.read(io.BytesIO(flac), dtype="int16")
        assert (rate, samples.tobytes() == pcm[2 * segment.start : 2 * segment.end]) == (RATE, True)
    assert end == HALF_HOUR


def test_silence_gives_no_text_and_is_not_kept_in_memory(tmp_path):
    def own_kib(pid):
        """Without the audio, whose pages belong to a file."""
        return int(Path(f"/proc/{pid}/status").read_text().split("RssAnon:")[1].split()[0])

    async def scene():
        async with (
            running() as transcriber,
            dictating(transcriber, tmp_path, max_recording_s=SILENT_S + 60) as (spool, utterance),
        ):
            await record(spool, silence(60))
            await until(lambda: utterance.heard_until > 59 * RATE)
            before = own_kib(transcriber.pid)
            await record(spool, silence(SILENT_S - 60))
            heard = await utterance.finish(spool.head)
            return heard, own_kib(transcriber.pid) - before

    heard, more = asyncio.run(scene())
    assert (heard.text, heard.segments, heard.duration_s) == ("", 0, SILENT_S)
    assert more < (SILENT_S - 60) * RATE * 2 / 1024 / 2  # half of the audio


def test_the_longest_recording_is_a_setting_and_is_told_before_it_ends(tmp_path, monkeypatch):
    settings, _ = private_home(tmp_path, monkeypatch)

    async def scenario(container, output, notifier):
        await ask(container, "START_RECORDING")
        while "It ends by itself in 60 s." not in [note.body for note in notifier.shown]:
            await asyncio.sleep(0.02)
        recorded = container.dictations.recording.spool.head
        with pytest.raises(NoSpeechError):
            await ask(container, "STOP_RECORDING")
        return recorded

    recorded = run({**settings, "audio.max_recording_s": 61}, scenario, transcriber=ScriptedTranscriber([]))
    assert recorded >= RATE
