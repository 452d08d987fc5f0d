"""Where a recording is cut, as a function of probabilities alone; how the texts are joined."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2m.domain.segments import (
    HANG_WINDOWS,
    WINDOW_S,
    WINDOW_SAMPLES,
    Segmenter,
    SegmentRules,
    join_texts,
    stable_length,
)
from v2m.domain.transcript import Segment

pytestmark = pytest.mark.unit

PADDING = 4000  # 250 ms
PAUSE = 19  # windows: 0.6 s
MINIMUM = 94  # 3 s
LONG_PAUSE = 94
MAXIMUM = 468  # 15 s


def cut(probabilities, samples=None, rules=None):
    segmenter = Segmenter(rules)
    segments = [segment for value in probabilities for segment in segmenter.push(value)]
    return segments + segmenter.close(len(probabilities) * WINDOW_SAMPLES if samples is None else samples)


def closed_after(probabilities):
    """Return after how many windows the first segment was given out, None when only at the end."""
    segmenter = Segmenter()
    for count, value in enumerate(probabilities, 1):
        if segmenter.push(value):
            return count
    return None


def at(first, last, *, before=PADDING, after=PADDING, continues=False):
    speech = first * WINDOW_SAMPLES, (last + 1) * WINDOW_SAMPLES
    return Segment(max(0, speech[0] - before), speech[1] + after, continues, *speech)


def test_silence_gives_nothing():
    assert cut([0.0] * 500) == []
    assert cut([]) == []


def test_speech_begins_at_a_half_and_goes_on_from_0_35():
    assert cut([0.0] * 20 + [0.49] * 50 + [0.0] * 20) == []
    speech = [0.0] * 20 + [0.5] * 10 + [0.35] * 40 + [0.34] * 20
    assert cut(speech) == [at(20, 69)]


def test_a_pause_of_0_6_s_closes_a_stretch_of_3_s():
    assert closed_after([0.9] * MINIMUM + [0.0] * (PAUSE - 1) + [0.9]) is None
    assert closed_after([0.9] * MINIMUM + [0.0] * PAUSE) == MINIMUM + PAUSE
    assert closed_after([0.9] * (MINIMUM - 1) + [0.0] * PAUSE) is None


def test_a_short_stretch_is_closed_by_3_s_of_silence():
    assert closed_after([0.9] * 10 + [0.0] * (LONG_PAUSE - 1) + [0.9]) is None
    assert closed_after([0.9] * 10 + [0.0] * LONG_PAUSE) == 10 + LONG_PAUSE


def test_a_pause_inside_a_short_stretch_does_not_part_it():
    speech = [0.0] * 20 + [0.9] * 20 + [0.0] * 40 + [0.9] * 20 + [0.0] * 20
    assert cut(speech) == [at(20, 99)]


def test_at_15_s_it_is_cut_where_the_second_half_is_quietest():
    speech = [0.9] * MAXIMUM
    speech[100:107] = [0.36] * 7  # quieter still, but in the first half
    speech[300:307] = [0.4] * 7
    assert closed_after(speech) == MAXIMUM
    first, second = cut(speech + [0.9] * 50)
    assert first == at(0, 302, after=0)
    assert second == at(303, MAXIMUM + 49, before=0, after=0, continues=True)


def test_a_cut_that_falls_into_a_short_pause_begins_a_new_sentence():
    speech = [0.9] * MAXIMUM
    speech[300:312] = [0.1] * 12
    _, second = cut(speech)
    assert not second.continues


def test_a_cut_with_only_silence_after_it_opens_nothing():
    speech = [0.9] * (MAXIMUM - 15) + [0.0] * 15
    assert cut(speech) == [at(0, MAXIMUM - 16)]


def test_padding_is_250_ms_and_stays_inside_the_recording():
    assert cut([0.9] * 10) == [at(0, 9, after=0)]
    (clamped,) = cut([0.0] * 2 + [0.9] * 10, samples=12 * WINDOW_SAMPLES - 100)
    assert (clamped.start, clamped.end) == (0, 12 * WINDOW_SAMPLES - 100)
    assert cut([0.0] * 50 + [0.9] * 10 + [0.0] * 15) == [at(50, 59)]


def test_less_than_0_2_s_of_speech_gives_nothing():
    assert cut([0.9] * 6 + [0.0] * 20) == []
    assert cut([0.9] * 6 + [0.45] * 30) == []
    assert cut([0.9] * 7 + [0.0] * 20) != []


def test_the_seconds_of_speech_are_those_of_the_segments():
    segmenter = Segmenter()
    for value in [0.0] * 20 + [0.9] * 50 + [0.0] * LONG_PAUSE + [0.9] * 3 + [0.0] * LONG_PAUSE:
        segmenter.push(value)
    assert segmenter.speech_s == pytest.approx(50 * WINDOW_S)


def test_whole_decodes_everything_and_cuts_where_the_signal_is_weakest():
    quiet = [0.2] * 1000
    quiet[350] = 0.0
    segments = cut(quiet, rules=SegmentRules.whole())
    assert segments[0].start == 0
    assert segments[-1].end == 1000 * WINDOW_SAMPLES
    assert all(one.end == two.start for one, two in itertools.pairwise(segments))
    assert any(abs(segment.end - 350 * WINDOW_SAMPLES) <= 3 * WINDOW_SAMPLES for segment in segments)
    assert cut([0.0] * 100_000, rules=SegmentRules.whole(float("inf"))) == [at(0, 99_999, after=0)]


probability = st.one_of(st.sampled_from([0.0, 0.1, 0.34, 0.35, 0.4, 0.49, 0.5, 0.9, 1.0]), st.floats(0, 1))
runs = st.lists(st.tuples(probability, st.integers(1, 200)), max_size=20).map(
    lambda parts: [value for value, count in parts for _ in range(count)]
)


def fed(probabilities, rules=None):
    segmenter = Segmenter(rules)
    for value in probabilities:
        segmenter.push(value)
    return segmenter


def test_after_128_ms_of_silence_the_open_stretch_is_offered_with_the_padding_there_is():
    assert fed([0.9] * 20 + [0.0] * 3).tentative() is None
    assert fed([0.0] * 20 + [0.9] * 20 + [0.0] * 4).tentative() == at(20, 39, after=4 * WINDOW_SAMPLES)
    assert fed([0.0] * 20 + [0.9] * 20 + [0.0] * 15).tentative() == at(20, 39)
    assert fed([0.0] * 20 + [0.9] * 6 + [0.0] * 10).tentative() is None  # no word
    assert fed([0.0] * 200).tentative() is None
    assert fed([0.9] * 20 + [0.0] * 10, SegmentRules(tentative_s=math.inf)).tentative() is None


@settings(deadline=None)
@given(st.integers(0, 40), st.integers(7, 400), st.integers(4, 30))
def test_what_was_offered_has_the_key_of_what_is_closed_unless_somebody_speaks_on(before, spoken, pause):
    speech = [0.0] * before + [0.9] * spoken
    offered = fed(speech + [0.0] * pause).tentative()
    closed = cut(speech + [0.0] * 100)
    if pause < PAUSE or spoken < MINIMUM:  # else it is closed already
        assert offered.key == closed[-1].key
        assert offered.end <= closed[-1].end
        resumed = cut(speech + [0.0] * pause + [0.9] * 20)
        assert all(segment.key != offered.key for segment in resumed)
    else:
        assert offered is None


def test_a_word_is_spoken_until_two_windows_in_a_row_are_quiet():
    assert not Segmenter().speaking
    assert not fed([0.45] * 10).speaking
    assert fed([0.9]).speaking
    assert fed([0.9] + [0.0] * (HANG_WINDOWS - 1)).speaking
    assert not fed([0.9] + [0.0] * HANG_WINDOWS).speaking
    assert fed([0.9] + [0.0] * HANG_WINDOWS + [0.4]).speaking


def test_a_stretch_has_begun_once_it_holds_a_word():
    assert fed([0.0] * 20 + [0.9] * 6).begun is None
    assert fed([0.0] * 20 + [0.9] * 7).begun == 20 * WINDOW_SAMPLES - PADDING
    assert fed([0.0] * 20 + [0.9] * 7 + [0.0] * LONG_PAUSE).begun is None


@settings(deadline=None)
@given(runs)
def test_looking_changes_nothing(probabilities):
    segmenter, segments = Segmenter(), []
    for value in probabilities:
        segments += segmenter.push(value)
        segmenter.tentative(), segmenter.begun, segmenter.speaking
    assert segments + segmenter.close(len(probabilities) * WINDOW_SAMPLES) == cut(probabilities)


@settings(deadline=None)
@given(runs)
def test_no_speech_is_lost_and_none_decoded_twice(probabilities):
    rules = SegmentRules(min_speech_s=0)
    segments = cut(probabilities, rules=rules)
    covered = [0] * len(probabilities)
    for segment in segments:
        for window in range(segment.start // WINDOW_SAMPLES, -(-segment.end // WINDOW_SAMPLES)):
            covered[window] += 1
    loud = [index for index, value in enumerate(probabilities) if value >= rules.threshold]
    assert all(covered[index] >= 1 for index in loud)
    bare = cut(probabilities, rules=SegmentRules(min_speech_s=0, padding_s=0))
    assert all(one.end <= two.start for one, two in itertools.pairwise(bare))
    assert all(one.end <= two.start for one, two in itertools.pairwise(segments))


@settings(deadline=None)
@given(runs)
def test_no_segment_is_longer_than_the_maximum_and_its_padding(probabilities):
    for segment in cut(probabilities):
        assert 0 <= segment.start < segment.end <= len(probabilities) * WINDOW_SAMPLES
        assert segment.end - segment.start <= MAXIMUM * WINDOW_SAMPLES + 2 * PADDING


@settings(deadline=None)
@given(runs, st.integers(0, 2000))
def test_a_segment_once_given_out_does_not_depend_on_what_follows(probabilities, at_window):
    segmenter = Segmenter()
    early = [segment for value in probabilities[:at_window] for segment in segmenter.push(value)]
    assert cut(probabilities)[: len(early)] == early


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([], ""),
        ([("Hello.", False), ("World.", False)], "Hello. World."),
        ([("", False), (" One ", False), ("", True), ("two", False)], "One two"),
        ([("We went home.", False), ("And then slept.", True)], "We went home and then slept."),
        ([("We went home.", False), ("And then slept.", False)], "We went home. And then slept."),
        ([("Home.", False), ("I slept.", True)], "Home I slept."),
        ([("Home.", False), ("I'm tired.", True)], "Home I'm tired."),
        ([("Home.", False), ("NASA did.", True)], "Home NASA did."),
        ([("In the", False), ("the house.", True)], "In the house."),
        ([("In the.", False), ("The house.", True)], "In the house."),
        ([("Really?", False), ("Yes.", True)], "Really? Yes."),
        ([("Wait...", False), ("what", True)], "Wait... what"),
        ([("Home.", False), ("...", True)], "Home ..."),
        ([("the", False), ("The", True)], "the"),
        ([("Élan.", False), ("Über", True)], "Élan über"),
    ],
)
def test_texts_are_joined_as_one_would_write_them(parts, text):
    assert join_texts(parts) == text


@given(st.lists(st.tuples(st.text(), st.booleans())))
def test_joining_never_fails(parts):
    joined = join_texts(parts)
    assert joined == joined.strip()


# What engines write: words, and the marks that joining looks at.
spoken = st.one_of(
    st.text(), st.lists(st.sampled_from(["The", "the", "I", "end", ".", "...", "?", " ", ", "])).map("".join)
)


@given(st.lists(st.tuples(spoken, st.booleans()), max_size=8))
def test_the_stable_start_of_a_join_never_changes(parts):
    whole = join_texts(parts)
    for count in range(len(parts) + 1):
        joined = join_texts(parts[:count])
        assert whole.startswith(joined[: stable_length(joined)])


def test_only_a_full_stop_may_go():
    assert stable_length("It ended.") == len("It ended")
    assert stable_length("It ended...") == len("It ended...")
    assert stable_length("Did it?") == len("Did it?")
    assert stable_length("") == 0


@given(st.lists(st.tuples(spoken, st.booleans()), max_size=8))
def test_joining_one_by_one_is_joining_at_once(parts):
    joined = ""
    for part in parts:
        joined = join_texts([(joined, False), part])
    assert joined == join_texts(parts)
