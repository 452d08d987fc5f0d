"""Key-up → final text at any moment of dictations of up to 10 min: decoded then, while speaking, and with guesses.

The clock is virtual: real recordings, detector, segmenter and decodes; a decode takes the CPU time that it was measured
to take, so that other work on this machine does not show. Left out: the socket and waking a thread, about 1 ms.
"""

import random
from collections.abc import Iterator
from statistics import median

from bench._rows import Row
from support.speech import RATE
from support.virtual import Desk, Recording, decodes, dictation, recorded
from v2m.domain.segments import Segmenter

MOST_P50_MS = 120
MOST_P95_MS = 300
MOST_AFTER_A_PAUSE_MS = 20
MOST_GROWTH = 1.2  # p95 of 5 … 10 min to p95 of 5 … 60 s
AFTER_S = 0.3  # behind the last word
SHORT_S, LONG_S = 60.0, 600.0
LENGTHS_S = (*[SHORT_S] * 5, LONG_S) * 2  # mixed: other work on this machine makes decodes dearer for a while
MOMENTS = 50  # per short dictation, and six times as many per long one

Moments = list[tuple[float, float]]  # when the key goes up, and how long the text takes; seconds


def measure(rounds: int = MOMENTS) -> list[Row]:
    """Measure `rounds` moments per short dictation."""
    recordings = [recorded(dictation(seconds, seed)) for seed, seconds in enumerate(LENGTHS_S)]
    chance = random.Random(0)
    moments = [sorted(_anywhere(recording, rounds, chance)) for recording in recordings]
    pauses = [[end + AFTER_S for end in recording.word_ends(AFTER_S + 0.05) if end > 5] for recording in recordings]
    rows: list[Row] = []
    for name, speculate in (("no guesses", False), ("5 s to 10 min", True)):
        ran = [_released(one, speculate, at) for one, at in zip(recordings, moments, strict=True)]
        rows += _any_moment(name, [each for one in ran for each in one], barred=speculate)
        rows += _after_a_pause(
            name, _flat(_released(*each) for each in _with(recordings, speculate, pauses)), speculate
        )
        rows.append(Row(f"key-up → text, {name}: work of the model", _work(recordings, speculate), "s/min"))
    batch = _flat(_batch(one, at[:: max(1, len(at) // 6)]) for one, at in zip(recordings, moments, strict=True))
    rows += _any_moment("5 s to 10 min, all decoded at key-up", batch, barred=False)
    rows.append(Row("detector", 1000 * median(one.vad_s for one in recordings), "ms", note="per window"))
    return rows


def _anywhere(recording: Recording, count: int, chance: random.Random) -> Iterator[float]:
    """Yield moments: of a short dictation from 5 s on, of a long one five of six in its second half."""
    if recording.seconds <= SHORT_S:
        return (chance.uniform(5.0, recording.seconds - 0.05) for _ in range(count))
    half = recording.seconds / 2
    return (
        chance.uniform(SHORT_S if number % 6 == 0 else half, half * (1 + (number % 6 > 0)) - 0.05)
        for number in range(6 * count)
    )


def _with(
    recordings: list[Recording], speculate: bool, at: list[list[float]]
) -> Iterator[tuple[Recording, bool, list[float]]]:
    return ((one, speculate, moments) for one, moments in zip(recordings, at, strict=True))


def _released(recording: Recording, speculate: bool, at: list[float]) -> Moments:
    """Let the key go up at each moment, in order, of one dictation that goes on."""
    desk, found = Desk(recording, speculate=speculate), []
    for released_s in at:
        desk.advance(released_s)
        found.append((released_s, desk.latency_s(released_s)))
    return found


def _batch(recording: Recording, at: list[float]) -> Moments:
    """Decode everything when the key goes up; the detector has listened before."""
    found = []
    for released_s in at:
        samples = round(released_s * RATE)
        segmenter, segments = Segmenter(), []
        for value in recording.probabilities[: samples // 512]:
            segments += segmenter.push(value)
        segments += segmenter.close(samples)
        found.append((released_s, sum(decodes()(recording, segment).cost_s for segment in segments)))
    return found


def _work(recordings: list[Recording], speculate: bool) -> float:
    """Return the model's seconds per minute of dictation."""
    seconds, work_s = 0.0, 0.0
    for recording in recordings:
        desk = Desk(recording, speculate=speculate)
        desk.advance(recording.seconds)
        seconds, work_s = seconds + recording.seconds, work_s + desk.work_s
    return 60 * work_s / seconds


def _any_moment(name: str, moments: Moments, *, barred: bool) -> list[Row]:
    times = [1000 * latency_s for _, latency_s in moments]
    early = [1000 * latency_s for at, latency_s in moments if at <= 60]
    late = [1000 * latency_s for at, latency_s in moments if at >= 300]
    title, note = f"key-up → text, {name}", f"{len(times)} moments, most {max(times):.0f} ms"
    bars = (MOST_P50_MS, MOST_P95_MS, MOST_GROWTH) if barred else (None, None, None)
    return [
        Row(f"{title}: p50", median(times), "ms", bars[0], note),
        Row(f"{title}: p95", _p95(times), "ms", bars[1]),
        Row(
            f"{title}: p95 at 5–10 min / at 5–60 s",
            _p95(late) / _p95(early),
            "",
            bars[2],
            f"{_p95(late):.0f} / {_p95(early):.0f} ms",
        ),
    ]


def _after_a_pause(name: str, moments: Moments, barred: bool) -> list[Row]:
    times = [1000 * latency_s for _, latency_s in moments]
    bar = MOST_AFTER_A_PAUSE_MS if barred else None
    title, note = f"key-up → text, {name}, {AFTER_S} s after a word", f"{len(times)} moments, p95 {_p95(times):.0f} ms"
    return [Row(f"{title}: p50", median(times), "ms", bar, note)]


def _flat(found: Iterator[Moments]) -> Moments:
    return [moment for moments in found for moment in moments]


def _p95(times: list[float]) -> float:
    return sorted(times)[round(0.95 * (len(times) - 1))]
