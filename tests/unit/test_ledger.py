"""The ledger: what the history refuses is written as soon as it takes something again, in its order, and once."""

import asyncio

import pytest

from v2m.application.ledger import Ledger
from v2m.domain.dictation import HistoryEntry, Phase
from v2m.domain.errors import HistoryError
from v2m.infrastructure.history.memory import MemoryHistory

pytestmark = pytest.mark.unit


class Moody(MemoryHistory):
    """Refuses to be written to while `full`; may take its time."""

    def __init__(self):
        super().__init__()
        self.full = False
        self.gate = None  # an Event that a write waits for
        self.steps = []

    async def _check(self, step):
        if self.gate is not None:
            await self.gate.wait()
        if self.full:
            raise HistoryError("full")
        self.steps.append(step)

    async def begin(self, entry):
        await asyncio.shield(self._begin(entry))

    async def move(self, dictation, phase, **changes):
        # What was handed over is written, whatever becomes of the caller: as the one in a file does it.
        await asyncio.shield(self._move(dictation, phase, changes))

    async def _begin(self, entry):
        await self._check("begin")
        await super().begin(entry)

    async def _move(self, dictation, phase, changes):
        await self._check(phase)
        await super().move(dictation, phase, **changes)

    async def scrub(self, dictation, **changes):
        await self._check("scrub")
        await MemoryHistory.move(self, dictation, Phase.DISCARDED, raw="", text="", **changes)


class Scene:
    """A history, its ledger, and what was told."""

    def __init__(self):
        self.history, self.told = Moody(), []
        self.ledger = Ledger(self.history, on_trouble=self.told.append, again_s=0.02)

    async def begin(self, dictation=1):
        await self.ledger.begin(HistoryEntry(dictation, 0, Phase.RECORDING))

    async def carry(self, dictation=1):
        for phase, changes in ((Phase.CAPTURED, {}), (Phase.TRANSCRIBED, {"text": "words"}), (Phase.HELD, {})):
            await self.ledger.move(dictation, phase, **changes)

    async def row(self, dictation=1):
        return await self.history.get(dictation)


def played(scenario):
    async def main():
        scene = Scene()
        await scenario(scene)
        return scene

    return asyncio.run(main())


@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize("by", ["catch_up", "another dictation"])
def test_what_was_refused_is_written_with_the_next_that_is_taken(begun, by):
    async def scenario(scene):
        scene.history.full = not begun
        await scene.begin()
        scene.history.full = True
        await scene.carry()
        assert scene.ledger.is_late(1)
        assert (await scene.row() is None) == (not begun)
        scene.history.full = False
        if by == "catch_up":
            await scene.ledger.catch_up()
        else:
            await scene.begin(2)
        row = await scene.row()
        assert (row.phase, row.text) == (Phase.HELD, "words")
        assert not scene.ledger.is_late(1)

    assert played(scenario).told == ["full"]  # once, not with every step


def test_it_is_tried_again_by_itself():
    async def scenario(scene):
        scene.history.full = True
        await scene.begin()
        scene.history.full = False
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            trying = group.create_task(scene.ledger.run())
            while await scene.row() is None:
                await asyncio.sleep(0.01)
            trying.cancel()

    played(scenario)


def test_steps_are_written_in_their_order_and_once_while_others_wait():
    async def scenario(scene):
        await scene.begin()
        scene.history.gate = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            first = group.create_task(scene.ledger.move(1, Phase.CAPTURED))
            await asyncio.sleep(0)
            group.create_task(scene.ledger.catch_up())
            group.create_task(scene.ledger.move(1, Phase.TRANSCRIBED, text="words"))
            group.create_task(scene.ledger.move(1, Phase.HELD))
            await asyncio.sleep(0)
            first.cancel()  # what was handed to the history is written
            scene.history.gate.set()
        assert scene.history.steps == ["begin", Phase.CAPTURED, Phase.TRANSCRIBED, Phase.HELD]
        assert (await scene.row()).text == "words"

    played(scenario)


def test_words_that_are_to_be_forgotten_never_come_to_the_disk():
    async def scenario(scene):
        scene.history.full = True
        await scene.begin()
        await scene.ledger.move(1, Phase.TRANSCRIBED, raw="secret", text="secret")
        await scene.ledger.scrub(1, reason="A password.")
        scene.history.full = False
        await scene.ledger.catch_up()
        row = await scene.row()
        assert (row.phase, row.raw, row.text) == (Phase.DISCARDED, "", "")

    played(scenario)


def test_a_scrub_that_is_refused_is_made_up_for():
    async def scenario(scene):
        await scene.begin()
        await scene.ledger.move(1, Phase.CAPTURED)
        await scene.ledger.move(1, Phase.TRANSCRIBED, raw="secret", text="secret")
        scene.history.full = True
        await scene.ledger.scrub(1, reason="A password.")
        scene.history.full = False
        await scene.ledger.catch_up()
        row = await scene.row()
        assert (row.phase, row.raw, row.text) == (Phase.DISCARDED, "", "")

    played(scenario)


def test_the_steps_of_a_row_that_was_deleted_hold_nobody_up():
    async def scenario(scene):
        await scene.begin()
        scene.history.full = True
        await scene.ledger.move(1, Phase.CAPTURED)
        scene.history.full = False
        scene.history._rows.clear()
        await scene.begin(2)
        assert not scene.ledger.is_late(1)
        assert (await scene.row(2)).phase is Phase.RECORDING

    played(scenario)
