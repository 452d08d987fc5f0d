"""One recording inside the worker, without a process: windows, a broken detector, guesses, the end."""

import math
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.listening import Detector, Growing, listening
from v2m.domain.segments import WINDOW_SAMPLES, SegmentRules
from v2m.domain.transcript import Hypothesis, Segment
from v2m.infrastructure.engines._flow import Flow
from v2m.infrastructure.engines._listener import WINDOW_BYTES, Guess, loudness, utterance
from v2m.infrastructure.engines.scripted import ScriptedEngine

pytestmark = pytest.mark.unit


def test_the_detector_gets_whole_windows_and_the_last_one_filled_up():
    audio, vad = Growing(2 * WINDOW_SAMPLES + 100), Detector()
    listener = listening(audio, vad)
    listener.advance(10)
    assert len(vad.windows) == 2
    assert not listener.behind
    listener.finish(audio.head)
    assert listener.behind
    assert listener.advance(10) == []
    assert listener.ended
    assert not listener.behind
    assert [len(window) for window in vad.windows] == [WINDOW_BYTES] * 3
    assert vad.windows[2] == audio.samples[-100:].tobytes() + bytes(WINDOW_BYTES - 200)
    assert b"".join(vad.windows).rstrip(b"\0") == audio.samples.tobytes().rstrip(b"\0")


def test_a_turn_looks_at_no_more_windows_than_it_may():
    vad = Detector()
    listener = listening(Growing(50 * WINDOW_SAMPLES), vad)
    listener.advance(8)
    assert len(vad.windows) == 8
    assert listener.behind


def test_a_broken_detector_loses_no_words_and_is_counted():
    audio = Growing(20 * WINDOW_SAMPLES)
    listener = listening(audio, Detector(*[None] * 20))
    listener.finish(audio.head)
    (segment,) = listener.advance(50)
    listener.note(segment, Hypothesis("heard"))
    result = listener.result()
    assert (segment.start, segment.end) == (0, audio.head)
    assert (result.text, result.vad_errors) == ("heard", 20)


def test_speech_is_reported_as_far_as_it_was_heard():
    listener = listening(Growing(10 * WINDOW_SAMPLES), Detector(0.1, 0.9, 0.4, 0.1))
    listener.advance(10)
    assert listener.speech_until == 2 * WINDOW_SAMPLES


def test_a_broken_detector_makes_nobody_wait_for_the_end_of_a_word_for_ever():
    listener = listening(Growing(20 * WINDOW_SAMPLES), Detector(*[None] * 20))
    listener.advance(50)
    assert listener.speaking  # the recorder waits no longer than its tail
    assert not listening(Growing(20 * WINDOW_SAMPLES), None).speaking


def spoken(windows=20, silence=4, **changes):
    """Return a listener that has heard so much speech and silence, and its audio, of which there is more."""
    audio = Growing((windows + silence + 500) * WINDOW_SAMPLES)
    audio.head = (windows + silence) * WINDOW_SAMPLES
    listener = listening(audio, Detector(*[0.9] * windows, *[0.0] * silence, *[0.9] * 5), **changes)
    listener.advance(1000)
    return listener, audio


def test_a_pause_is_guessed_at_once():
    listener, audio = spoken()
    segment = listener.tentative()
    assert segment.key == (0, 20 * WINDOW_SAMPLES)
    listener.guessed_at = segment.key
    assert listener.tentative() is None
    assert not listener.is_outdated()
    audio.head += 3 * WINDOW_SAMPLES  # somebody speaks on
    listener.advance(1000)
    assert listener.is_outdated()
    audio.head += 7 * WINDOW_SAMPLES
    listener.advance(1000)
    assert listener.tentative().key == (0, 29 * WINDOW_SAMPLES)


@pytest.mark.parametrize("changes", [{"live": False}, {"rules": SegmentRules(tentative_s=math.inf)}])
def test_nothing_is_guessed_where_nobody_waits(changes):
    listener, _ = spoken(**changes)
    assert listener.tentative() is None


def test_nothing_is_guessed_once_the_recording_has_ended():
    listener, audio = spoken()
    listener.finish(audio.head)
    assert listener.tentative() is None


def test_an_end_that_lies_behind_is_here():
    listener, _ = spoken()
    position = listener.position
    listener.finish(100)
    listener.advance(10)
    assert listener.ended
    assert listener.result().duration_s == position / 16_000


def test_a_right_guess_serves_the_segment_and_a_wrong_one_does_not():
    listener, audio = spoken()
    listener.guess = Guess(listener.tentative(), Hypothesis("guessed"), 7.0)
    listener.finish(audio.head)
    (segment,) = listener.advance(1000)
    assert listener.take_guess(segment) == Hypothesis("guessed")
    assert listener.decode_ms == 7.0
    assert listener.take_guess(segment) is None

    listener, audio = spoken()
    listener.guess = Guess(listener.tentative(), Hypothesis("guessed"), 7.0)
    audio.head += 5 * WINDOW_SAMPLES
    listener.finish(audio.head)
    (segment,) = listener.advance(1000)
    assert listener.take_guess(segment) is None
    assert listener.decode_ms == 0


def test_a_streaming_engine_gets_everything_from_before_the_first_word_once():
    audio = Growing(300 * WINDOW_SAMPLES)
    listener = listening(audio, Detector(*[0.0] * 50, *[0.9] * 100, *[0.0] * 60, *[0.9] * 90), streaming=True)
    assert listener.advance(50) == []
    assert listener.begun is None
    assert listener.advance(10) == []
    assert listener.begun == 50 * WINDOW_SAMPLES - 4000
    stream = ScriptedEngine(["one two three four five"], streaming=True).open_stream("auto")
    flow = listener.flow = Flow(stream, audio, listener.begun)
    flow.feed(listener.position)
    assert flow.text == ""
    assert listener.advance(170) == []  # a pause of 2 s parts nothing
    flow.feed(listener.position)
    assert flow.text == "one two three four five"
    listener.finish(audio.head)
    (segment,) = listener.advance(500)
    assert (segment.start, segment.end) == (50 * WINDOW_SAMPLES - 4000, 300 * WINDOW_SAMPLES)
    assert flow.finish(segment.end, lambda: None).text == "one two three four five"
    assert flow.fed == segment.end


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 40), max_size=20), st.integers(0, WINDOW_SAMPLES - 1))
def test_however_a_recording_grows_and_is_looked_at_the_segments_are_the_same(steps, rest):
    probabilities = [0.9] * 120 + [0.0] * 30 + [0.9] * 20 + [0.0] * 8 + [0.9] * 10
    samples = len(probabilities) * WINDOW_SAMPLES + rest
    whole = listening(Growing(samples), Detector(*probabilities))
    whole.finish(samples)
    expected = whole.advance(1000)
    audio, found = Growing(samples), []
    audio.head = 0
    listener = listening(audio, Detector(*probabilities))
    for step in steps:
        audio.head = min(samples, audio.head + step * WINDOW_SAMPLES // 3)
        found += listener.advance(step)
        listener.tentative()
    audio.head = samples
    listener.finish(samples)
    while not listener.ended:
        found += listener.advance(7)
    assert found == expected
    assert listener.result().duration_s == samples / 16_000


def test_an_engine_hears_the_same_however_long_the_silence_was_when_it_was_asked():
    audio = Growing(60 * WINDOW_SAMPLES)
    speech = (20 * WINDOW_SAMPLES, 40 * WINDOW_SAMPLES)
    heard = [utterance(audio, Segment(9_000, end * WINDOW_SAMPLES, False, *speech)) for end in (42, 44, 48)]
    assert heard[0] == heard[1] == heard[2]
    assert heard[0] == audio.pcm(9_000, 42 * WINDOW_SAMPLES) + bytes(3_200)
    assert utterance(audio, Segment(9_000, 41 * WINDOW_SAMPLES, False, *speech)) < heard[0]


def test_speech_that_is_cut_is_heard_as_it_is():
    audio = Growing(60 * WINDOW_SAMPLES)
    assert utterance(audio, Segment(0, 9_000, False, 0, 9_000)) == audio.pcm(0, 9_000)


def test_half_an_hour_is_covered_to_the_sample():
    samples = 1800 * 16_000 + 123
    audio = Growing(0)
    audio.head = samples
    audio.pcm = lambda start, end: bytes(2 * (end - start))
    listener, found = listening(audio, None), []
    listener.finish(samples)
    while not listener.ended:
        found += listener.advance(1000)
    assert [segment.start for segment in found] == [0, *(segment.end for segment in found[:-1])]
    assert found[-1].end == samples


def test_loudness_is_the_mean_magnitude():
    assert loudness(bytes(WINDOW_BYTES)) == 0
    assert loudness(array("h", [-32768] * WINDOW_SAMPLES).tobytes()) == 1
    assert loudness(array("h", [16384, -16384] * 256).tobytes()) == 0.5
