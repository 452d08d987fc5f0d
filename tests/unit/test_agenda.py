"""What the model thread does next: live dictations before files, certain work before guesses, nothing in vain."""

import queue
import threading
from contextlib import contextmanager

import pytest

from support.listening import Detector, GatedEngine, Growing, listening
from v2m.domain.text.vocabulary import Vocabulary
from v2m.domain.transcript import Segment
from v2m.infrastructure.engines import _messages as wire
from v2m.infrastructure.engines._agenda import Agenda, Kind, Task
from v2m.infrastructure.engines._decoder import Decoder

pytestmark = pytest.mark.unit


class Desk:
    """A model thread at work, and what it tells."""

    def __init__(self):
        self.agenda = Agenda()
        self.engine = GatedEngine()
        self.told = queue.Queue()
        decoder = Decoder(
            self.engine,
            self.agenda,
            vocabulary=Vocabulary(),
            send=self._send,
            alive=lambda: None,
            finish=lambda one: self.told.put(one.result()),
        )
        self.thread = threading.Thread(target=decoder.run, daemon=True)
        self.thread.start()

    def _send(self, message):
        if not isinstance(message, wire.Working):
            self.told.put(message)

    def put(self, listener, segment=None):
        self.agenda.put(Task(Kind.END if segment is None else Kind.SEGMENT, listener, segment))

    def guess(self, listener, segment):
        """Offer a guess until the thread is idle enough to take it."""
        for _ in range(1000):
            if self.agenda.offer(Task(Kind.GUESS, listener, segment)):
                return self.engine.next_stream()
            threading.Event().wait(0.005)
        raise AssertionError("never idle")

    def answer(self):
        return self.told.get(timeout=10)


def recording(job, *, live=True, partials=False):
    return listening(Growing(50_000), Detector(), job=job, live=live, partials=partials)


def segment(number, end=None):
    start = 10_000 * number
    return Segment(start, end or start + 8_000, False, start, start + 7_000)


@pytest.fixture
def desk():
    desk = Desk()
    yield desk
    desk.engine.end()


@contextmanager
def busy_with(desk, listener, part):
    """While the model thread decodes a segment."""
    desk.put(listener, part)
    yield desk.engine.next_stream()


def test_dictations_come_before_files_and_each_in_order(desk):
    file, one, two = recording(1, live=False), recording(2), recording(3)
    with busy_with(desk, one, segment(0)) as first:
        desk.put(file, segment(0))
        desk.put(file)
        desk.put(two, segment(0))
        desk.put(two)
        desk.put(one, segment(1))
        desk.put(one)
        first.gate.set()
    for _ in range(3):
        desk.engine.next_stream().gate.set()
    answers = [desk.answer() for _ in range(3)]
    assert [(answer.job, answer.text) for answer in answers] == [(3, "take 2"), (2, "take 1 take 3"), (1, "take 4")]


def test_the_decode_of_a_file_is_abandoned_for_a_dictation_and_made_again(desk):
    file, live = recording(1, live=False), recording(2)
    with busy_with(desk, file, segment(0)) as abandoned:
        desk.put(file)
        desk.put(live, segment(0))
        desk.put(live)
        assert abandoned.abandoned
    desk.engine.next_stream().gate.set()
    assert desk.answer().text == "take 2"
    desk.engine.next_stream().gate.set()
    assert desk.answer().text == "take 3"
    assert desk.engine.streams[2].fed == abandoned.fed


def test_the_end_of_a_dictation_does_not_wait_for_a_file(desk):
    file, live = recording(1, live=False), recording(2)
    with busy_with(desk, file, segment(0)) as abandoned:
        desk.put(live)
        assert desk.answer().job == 2
        assert abandoned.abandoned


def test_a_file_makes_no_way_for_another_file_nor_a_dictation_for_anything(desk):
    file, live = recording(1, live=False), recording(2)
    with busy_with(desk, file, segment(0)) as stream:
        desk.put(recording(3, live=False), segment(0))
        assert not stream.abandoned
        stream.gate.set()
    desk.engine.next_stream().gate.set()
    with busy_with(desk, live, segment(0)) as stream:
        desk.put(recording(4), segment(0))
        desk.put(file)
        assert not stream.abandoned
        stream.gate.set()


def test_a_guess_is_taken_only_while_there_is_nothing_else_to_do(desk):
    live, other = recording(1), recording(2)
    with busy_with(desk, live, segment(0)) as stream:
        assert not desk.agenda.offer(Task(Kind.GUESS, other, segment(0)))
        stream.gate.set()
    guess = desk.guess(other, segment(0))
    assert not desk.agenda.offer(Task(Kind.GUESS, live, segment(1)))
    guess.gate.set()


def test_a_right_guess_is_not_decoded_again_however_it_was_padded(desk):
    live = recording(1, partials=True)
    guess = desk.guess(live, segment(0, end=7_500))
    guess.gate.set()
    assert desk.answer() == wire.Partial(1, "take 1", 0, 0.0, [])
    desk.put(live, segment(0, end=8_000))
    desk.put(live)
    partial = desk.answer()
    assert (partial.text, partial.stable, partial.passages) == ("take 1", 6, [[0.0, 0.5, "take 1"]])
    assert desk.answer().text == "take 1"
    assert len(desk.engine.streams) == 1


def test_a_running_guess_that_is_right_is_waited_for(desk):
    live = recording(1)
    guess = desk.guess(live, segment(0))
    desk.put(live, segment(0))
    desk.put(live)
    assert not guess.abandoned
    guess.gate.set()
    assert desk.answer().text == "take 1"
    assert len(desk.engine.streams) == 1


@pytest.mark.parametrize("other", [True, False])
def test_a_guess_at_something_else_is_abandoned_and_may_be_made_again(desk, other):
    live = recording(1)
    live.guessed_at = segment(0).key
    guess = desk.guess(live, segment(0))
    if other:
        desk.put(recording(2, live=False), segment(0))
    else:
        desk.put(live, segment(1))
    assert guess.abandoned
    desk.engine.next_stream().gate.set()
    desk.put(live)
    assert desk.answer().text == ("" if other else "take 2")
    assert live.guessed_at is None


def test_a_guess_whose_speech_goes_on_is_abandoned(desk):
    live = recording(1)
    live.guessed_at = segment(0).key
    guess = desk.guess(live, segment(0))
    desk.agenda.retract(recording(2))
    assert not guess.abandoned
    desk.agenda.retract(live)
    assert guess.abandoned
    desk.guess(live, segment(0)).gate.set()
    assert live.guessed_at is None


def test_what_nobody_wants_is_neither_finished_nor_begun(desk):
    unwanted, wanted = recording(1), recording(2)
    with busy_with(desk, unwanted, segment(0)) as stream:
        desk.put(unwanted, segment(1))
        desk.put(wanted, segment(0))
        unwanted.abandon()
        desk.agenda.withdraw(unwanted)
        assert stream.abandoned
    desk.engine.next_stream().gate.set()
    desk.put(wanted)
    assert desk.answer().text == "take 2"
    assert len(desk.engine.streams) == 2
    assert unwanted.result().text == ""


def test_a_recording_is_settled_when_nothing_of_it_is_queued_or_going_on(desk):
    live, other = recording(1), recording(2)
    assert desk.agenda.is_settled(live)
    with busy_with(desk, live, segment(0)) as stream:
        desk.put(other, segment(0))
        assert not desk.agenda.is_settled(live)
        assert not desk.agenda.is_settled(other)
        stream.gate.set()
    last = desk.engine.next_stream()
    assert desk.agenda.is_settled(live)
    last.gate.set()


def test_what_an_engine_can_do_is_told_when_it_changes(desk):
    from dataclasses import asdict, replace

    changed = replace(desk.engine.capabilities, gpu=True, notice="CPU from now on.")
    with busy_with(desk, recording(1), segment(0)) as stream:
        desk.engine.capabilities = changed
        stream.gate.set()
    assert desk.answer() == wire.Able(asdict(changed))
