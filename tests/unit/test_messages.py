"""What the daemon and the worker tell each other: nothing is changed on the way, however it is cut."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2m.domain.transcript import Passage, Segment
from v2m.infrastructure.engines import _messages as wire

pytestmark = pytest.mark.unit

numbers = st.integers(0, 2**40)
seconds = st.floats(0, 1e6)
passages = st.lists(st.tuples(seconds, seconds, st.text()).map(list), max_size=3)
BUILDERS = [
    st.builds(
        wire.Open, numbers, st.text(), st.booleans(), st.booleans(), st.integers(1, 2), st.booleans(), st.booleans()
    ),
    st.builds(wire.Finish, numbers, numbers),
    st.builds(wire.Abandon, numbers),
    st.builds(wire.Confined, st.booleans(), st.text()),
    st.builds(wire.Working),
    st.builds(wire.Heard, numbers, numbers, numbers, st.booleans()),
    st.builds(wire.Ready, st.dictionaries(st.text(), st.text() | st.booleans())),
    st.builds(wire.Able, st.dictionaries(st.text(), st.text() | st.booleans())),
    st.builds(wire.Partial, numbers, st.text(), numbers, seconds, passages, st.none() | seconds),
    st.builds(wire.Encoded, *[numbers] * 3, st.booleans(), numbers, numbers, st.binary()),
    st.builds(wire.Error, numbers, st.text(), st.none() | st.text(), st.booleans()),
    st.builds(wire.Failed, st.text(), st.text(), st.none() | st.text()),
    st.builds(
        wire.Result,
        numbers,
        st.text(),
        seconds,
        seconds,
        st.none() | st.floats(-20, 0),
        seconds,
        numbers,
        seconds,
        numbers,
        st.text(),
        st.text(),
        passages,
    ),
]
messages = st.one_of(BUILDERS)


@given(st.lists(messages, max_size=8), st.data())
def test_messages_survive_any_cutting(sent, data):
    stream = b"".join(wire.pack(message) for message in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    unpacker, received = wire.Unpacker(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        received += list(unpacker.feed(stream[start:end]))
    assert received == sent


@given(st.tuples(*BUILDERS))
def test_no_message_is_missing_here(one_of_each):
    assert {type(message) for message in one_of_each} == set(get_args(wire.Message))


def test_segments_and_passages_are_what_they_were():
    segment = Segment(10, 900, True, 20, 800)
    sent = wire.Encoded(1, segment.start, segment.end, segment.continues, *segment.key, b"fLaC\0\xff")
    (received,) = wire.Unpacker().feed(wire.pack(sent))
    assert received.segment == segment
    assert received.flac == b"fLaC\0\xff"
    (partial,) = wire.Unpacker().feed(wire.pack(wire.Partial(1, "One two", 3, 2.5, [[0.0, 1.5, "One"]])))
    assert partial.transcript().passages == (Passage(0.0, 1.5, "One"),)
