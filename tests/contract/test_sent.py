"""What left the machine is taken down by every history, also where a request was cut short or the row is gone."""

import asyncio

import pytest

from v2m.application.ledger import Ledger
from v2m.application.receipts import Receipts
from v2m.domain.dictation import HistoryEntry, Phase, Sent, with_sent
from v2m.domain.errors import HistoryError
from v2m.infrastructure.history.memory import MemoryHistory
from v2m.infrastructure.history.sqlite import SqliteHistory

pytestmark = pytest.mark.contract

GROQ = Sent("audio", "groq", "api.groq.com", 1000)
KEEP = {"retention_days": 30, "keep_audio_s": 3600.0, "keep_trouble_audio_s": 3600.0}


@pytest.fixture(params=["memory", "sqlite"])
def play(request, tmp_path):
    async def scene(act):
        history = MemoryHistory(**KEEP) if request.param == "memory" else SqliteHistory(tmp_path / "h.db", **KEEP)
        await history.open()
        try:
            return await act(history)
        finally:
            await history.aclose()

    return lambda act: asyncio.run(scene(act))


def entry(dictation=1):
    return HistoryEntry(dictation, 1_767_225_600_000_000_000, Phase.RECORDING)


def test_it_adds_up_by_host_whatever_the_phase_and_survives_a_scrub(play):
    async def act(history):
        await history.begin(entry())
        await history.add_sent(1, GROQ)
        await history.move(1, Phase.CAPTURED)
        await history.add_sent(1, Sent("audio", "groq", "api.groq.com", 500))
        await history.add_sent(1, Sent("audio", "groq", "api.groq.com", -200, requests=0))
        await history.add_sent(1, Sent("text", "openai", "api.openai.com", 7))
        await history.scrub(1)
        return (await history.get(1)).sent

    assert play(act) == (Sent("audio", "groq", "api.groq.com", 1300, 2), Sent("text", "openai", "api.openai.com", 7))


def test_a_row_that_is_gone_is_no_error(play):
    async def act(history):
        await history.add_sent(9, GROQ)
        return await history.get(9)

    assert play(act) is None


def test_local_engines_tell_nothing(play):
    async def act(history):
        await history.begin(entry())
        return (await history.get(1)).sent

    assert play(act) == ()


def test_what_was_cut_short_stays_as_a_request_of_what_left():
    told = with_sent(with_sent((), GROQ), Sent("audio", "groq", "api.groq.com", -1000, requests=0))
    assert told == (Sent("audio", "groq", "api.groq.com", 0, 1),)


class Refusing(MemoryHistory):
    """A history on a disk that is full at first."""

    def __init__(self) -> None:
        super().__init__()
        self.refusals = 1

    async def add_sent(self, dictation, sent):
        if self.refusals:
            self.refusals -= 1
            raise HistoryError("The disk is full.")
        await super().add_sent(dictation, sent)


def test_a_history_that_refuses_is_told_and_asked_again(monkeypatch):
    monkeypatch.setattr("v2m.application.receipts.AGAIN_S", 0.01)

    async def scene():
        told = []
        history = Refusing()
        receipts = Receipts(Ledger(history, on_trouble=told.append))
        await history.begin(entry())
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(receipts.run())
            receipts.note(1, GROQ)
            receipts.note(0, GROQ)  # a file
            await receipts.settle()
            writing.cancel()
        return told, (await history.get(1)).sent

    assert asyncio.run(scene()) == (["The disk is full."], (GROQ,))
